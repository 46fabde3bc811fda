"""The tests of the packages in plugins/, each by itself: `python tests/run_plugins.py [PYTEST OPTIONS]`.

Two packages at a time, because most tests wait for servers. What pytest says of a package is printed when it is done.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

PLUGINS = Path(__file__).parents[1] / "plugins"
AT_ONCE, PROCESSES = 2, 3
DISTRIBUTION = {"dcmrecv-events": "loadfile"}
"""How tests are given to processes, where they are not spread one by one: each process would start all servers."""

LONGEST = 2700
"""Seconds for the tests of one package: tests have time limits, servers that do not end have none."""


def run(package: Path, options: list[str]) -> subprocess.CompletedProcess[str]:
    # -P: what is tested is installed
    command = [sys.executable, "-P", "-m", "pytest", package, "-c", package / "pyproject.toml", "-n", PROCESSES]
    words = [*command, "--dist", DISTRIBUTION.get(package.name, "load"), *options]
    return subprocess.run(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONGEST, check=False
    )


def main(options: list[str]) -> int:
    packages = sorted(PLUGINS.glob("dcmrecv-*"))
    failed = []
    with ThreadPoolExecutor(AT_ONCE) as executor:
        running = {executor.submit(run, package, options): package for package in packages}
        for future in as_completed(running):
            done = future.result()
            print(f"{running[future].name}\n{done.stdout}", flush=True)
            if done.returncode:
                failed.append(running[future].name)
    print(f"{len(packages)} packages, failed: {', '.join(sorted(failed)) or 'none'}")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
