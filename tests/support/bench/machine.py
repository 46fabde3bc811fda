"""The machine on which the benchmark ran."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def description(directory: Path) -> str:
    """A list in Markdown; `directory` is where the receivers store."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    facts = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"Linux {platform.release()}",
        "output on": _file_system(directory),
        "Python": platform.python_version(),
        "DCMTK": _first_line("/usr/bin/dcmrecv", "--version"),
        "pynetdicom": version("pynetdicom"),
        "Orthanc": _first_line("Orthanc", "--version"),
    }
    return "".join(f"- {name}: {fact}\n" for name, fact in facts.items())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    """Type and device of the mount that holds `directory`."""
    device = os.stat(directory).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[2] == wanted:
            kind, source, _ = line.rpartition(" - ")[2].split(" ", 2)
            return f"{kind} ({source})"
    return "unknown"


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return "not installed"
    return done.stdout.partition("\n")[0].strip("$ ")
