"""Virtual environments for packages that tests install: our wheel, a third party's plugin."""

from __future__ import annotations

import site
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def make_environment(directory: Path, *requirements: Path) -> Path:
    """A virtual environment that sees this interpreter's packages, with `requirements` installed into it.

    Nothing is downloaded: no dependencies, and the installed build backend is used.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True, timeout=150)
    [packages] = directory.glob("lib/python*/site-packages")
    (packages / "beside.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", directory / "bin" / "python"]
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    if requirements:
        subprocess.run([*pip, "install", *options, *requirements], check=True, timeout=150)
    return directory


def make_site(directory: Path, program: Path, *requirements: Path) -> Path:
    """A virtual environment with plugin packages and the dcmrecv of `program`; returns its dcmrecv."""
    environment = make_environment(directory / "venv", *requirements)
    [packages] = environment.glob("lib/python*/site-packages")
    with (packages / "beside.pth").open("a") as paths:
        paths.writelines(f"{path}\n" for path in program.parent.parent.glob("lib/python*/site-packages"))
    script = environment / "bin" / "dcmrecv"
    script.write_text(program.read_text().replace(str(program.parent), str(environment / "bin")))
    script.chmod(0o755)
    return script


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Make `directory` with `files` (relative path: text) in it."""
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
