"""Tests of the compiled parts with AddressSanitizer and UBSan: `python tests/fuzz/with_sanitizers.py [PYTEST OPTIONS]`.

Beside them a copy with a planted fault in each part, which has to be noticed: without that, a green run would say
nothing.
Needs gcc with its libasan, and Python's headers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (
    "dcmrecv_core",
    "plugins/dcmrecv_builtin",
    "docs/dcmrecv.1",
    "docs/dcmrecvctl.1",
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
)
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g"
UNCHECKED = ("boundscheck=True", "boundscheck=False")
PLANTED = {
    "dataset/regular_walk.pyx": (
        UNCHECKED,
        (" or place.end > self.now.limit", ""),
        ("min(self.now.limit, self.data.shape[0]) - at", "self.now.limit - at"),
    ),
    "proto/regular_requests.pyx": (UNCHECKED, ("if end - reader.at < PDV_HEADER", "if end < 0")),
}
"""A sequence may reach past the end of the data, a PDV header past that of the buffer; what follows is read."""

FOUND_BY = {"dataset/regular_walk.pyx": "walk", "proto/regular_requests.pyx": "requests"}
"""The fuzz targets that have to notice it."""

FOUND = "ERROR: AddressSanitizer: "
PATIENCE = 400
"""Seconds for the planted fault to be noticed, which ends the run; the mutants are always the same ones. A busy machine
comes to the one that shows it after a minute."""


def main() -> int:
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor() as executor:
        noticed = executor.submit(notice_faults, Path(directory, "faulty"))
        sound = Path(directory, "sound")
        build(sound)
        done = run(sound, sys.argv[1:])
        return done.returncode or noticed.result()


def notice_faults(faulty: Path) -> int:
    """Plant them; returns 1 if one of them is not noticed."""
    build(faulty, planted=True)
    for part, target in FOUND_BY.items():
        options = ["-k", f"test_mutants and {target}", "-o", f"timeout={2 * PATIENCE}"]
        done = run(faulty, options, PATIENCE, capture_output=True, text=True)
        if not done.returncode or FOUND not in done.stdout + done.stderr:
            print(done.stdout, done.stderr, f"the fault in {part} was not noticed", sep="\n", file=sys.stderr)
            return 1
        found = (done.stdout + done.stderr).partition(FOUND)[2].splitlines()[0]
        print(f"planted fault in {part} noticed: {found}", flush=True)
    return 0


def plant(path: Path, faults: tuple[tuple[str, str], ...]) -> None:
    source = path.read_text()
    for old, new in faults:
        if source.count(old) != 1:
            raise SystemExit(f"{path.name}: {old!r} is not there once")
        source = source.replace(old, new)
    path.write_text(source)


def build(target: Path, *, planted: bool = False) -> None:
    """Install the program with both sanitizers into a directory of its own, from a copy: what setuptools has compiled
    before, with other flags, would be used again, and so would this."""
    copy = target.with_name(f"{target.name}-sources")
    for name in SOURCES:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(ROOT / name, copy / name)
    for part, faults in PLANTED.items() if planted else ():
        plant(copy / "dcmrecv_core" / part, faults)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-cache-dir", "--target", target]
    environment = os.environ | {"CFLAGS": FLAGS, "LDFLAGS": FLAGS}
    subprocess.run([*command, copy], env=environment, check=True)


def run(parts: Path, options: list[str], seconds: int = 0, **how: object) -> subprocess.CompletedProcess[str]:
    """The tests of the compiled parts, with the program in `parts` and `seconds` for mutants, if given. Python's own
    allocator would hide what is read past the end of an object."""
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(parts), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "LD_PRELOAD": library.stdout.strip(),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0",  # an interpreter never frees all
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    if seconds:
        environment["FUZZ_SECONDS"] = str(seconds)
    command = [sys.executable, "-P", "-m", "pytest", ROOT / "tests" / "compiled", "-s", *options]
    return subprocess.run(list(map(str, command)), env=environment, check=False, **how)  # type: ignore[call-overload]


if __name__ == "__main__":
    raise SystemExit(main())
