"""Fixtures of the end-to-end and the parity tests: receivers in fresh directories, ended when the test ends.

Ours is always an installed wheel: the one that tox installed for this interpreter, else one built here and installed
into a new environment that takes only the dependencies from this interpreter.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from support.paths import ROOT
from support.programs.certificates import Certificates
from support.programs.environment import make_environment, write_files
from support.programs.receivers import Receiver, Start, start_original, start_ours

CONFIG = """\
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
TransferSyntax3 = BigEndianExplicit
[[PresentationContexts]]
[All]
PresentationContext1 = VerificationSOPClass\\Plain
PresentationContext2 = CTImageStorage\\Plain
PresentationContext3 = MRImageStorage\\Plain
PresentationContext4 = SecondaryCaptureImageStorage\\Plain
PresentationContext5 = 1.2.826.0.1.3680043.9.9999.1\\Plain
PresentationContext6 = UltrasoundImageStorage\\Plain
PresentationContext7 = EncapsulatedPDFStorage\\Plain
[[Profiles]]
[Default]
PresentationContexts = All
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script of the installed wheel."""
    try:
        distribution("dcmrecv")
    except PackageNotFoundError:
        return make_environment(tmp_path_factory.mktemp("environment") / "venv", ROOT) / "bin" / "dcmrecv"
    return Path(sys.executable).with_name("dcmrecv")


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short path: the socket of sd_notify in it may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="dcmrecv-") as path:
        yield Path(path)


@pytest.fixture
def config(directory: Path) -> Path:
    """An association profile, `default`, with a private class among the known ones."""
    path = directory / "association.cfg"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def started(directory: Path) -> Iterator[list[Receiver]]:
    """All receivers of a test; those still running at its end must end cleanly."""
    receivers: list[Receiver] = []
    yield receivers
    endings = [receiver.end() for receiver in receivers]
    for receiver, code in zip(receivers, endings, strict=True):
        assert code in (None, receiver.clean_exit), f"ended with {code}:\n{receiver.log}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Keys and certificates of a receiver and of senders, good and bad."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def ours(program: Path, directory: Path, started: list[Receiver]) -> Start:
    """Starts our dcmrecv: `ours("-pm", "+ssd", files={"plugin.py": "..."})`; the files go into its directory first.

    `program` may name a dcmrecv that is installed elsewhere.
    """
    numbers = count()

    def start(*arguments: object, files: Mapping[str, str] | None = None, **options: Any) -> Receiver:
        home = directory / f"ours{next(numbers)}"
        write_files(home, files or {})
        receiver = start_ours(options.pop("program", program), home, *arguments, **options)
        started.append(receiver)
        return receiver

    return start


@pytest.fixture
def original(directory: Path, started: list[Receiver]) -> Start:
    """Starts DCMTK dcmrecv with the same options, for comparison."""
    numbers = count()

    def start(*arguments: object, **options: Any) -> Receiver:
        home = directory / f"original{next(numbers)}"
        home.mkdir(exist_ok=True)
        receiver = start_original(home, *arguments, **options)
        started.append(receiver)
        return receiver

    return start
