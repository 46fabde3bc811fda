"""Writes the components of an installation as CycloneDX JSON: `components.py dist` installs the wheel from dist, with
all extras, into an empty environment and lists what came.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def main(directory: Path) -> None:
    [wheel] = directory.glob("dcmrecv-*.whl")
    with tempfile.TemporaryDirectory() as place:
        venv.create(place, with_pip=True)
        python = Path(place, "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"{wheel}[digest,postgresql]"], check=True)
        subprocess.run([python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools"], check=True)
        output = directory / f"dcmrecv-{wheel.name.split('-')[1]}.cdx.json"
        command = [sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", "pyproject.toml"]
        words = ["--output-reproducible", "--output-format", "JSON", "--output-file"]
        subprocess.run([*command, *words, output, python], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
