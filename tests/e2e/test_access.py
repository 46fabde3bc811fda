"""The installed package dcmrecv-access: how it rejects peers that are not allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.paths import ROOT
from support.programs.environment import make_site
from support.programs.receivers import Start
from support.protocol.pdus import ASSOCIATE_RJ, associate_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import IMPLICIT_LE, VERIFICATION

CONTEXTS = [(VERIFICATION, [IMPLICIT_LE])]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Path:
    return make_site(tmp_path_factory.mktemp("site"), program, ROOT / "plugins" / "dcmrecv-access")


def answer(port: int, calling: str, called: str) -> bytes:
    """Result, source and reason of the rejection (PS3.8 section 9.3.4), empty if there is none."""
    with RawAssociation(port) as association:
        association.send(associate_rq(CONTEXTS, calling=calling, called=called))
        kind, body = association.read_pdu()
        return body[1:4] if kind == ASSOCIATE_RJ else b""


def test_titles(ours: Start, site: Path) -> None:
    receiver = ours("--plugin", "access", "--allow-calling", "CT*,MR1", "--allow-called", "ARCHIVE", program=site)
    assert answer(receiver.port, "CT7", "ARCHIVE") == b""
    assert answer(receiver.port, "MR2", "ARCHIVE") == b"\1\1\3"
    assert answer(receiver.port, "CT7", "OTHER") == b"\1\1\7"


@pytest.mark.parametrize(("network", "expected"), [("127.0.0.0/8,::1", b""), ("10.0.0.0/8", b"\1\1\1")])
def test_networks(ours: Start, site: Path, network: str, expected: bytes) -> None:
    receiver = ours("--plugin", "access", "--allow-network", network, program=site)
    assert answer(receiver.port, "ANY", "ANY") == expected


def test_settings_file(ours: Start, site: Path) -> None:
    files = {"site.toml": 'plugin = ["access"]\n[plugins.access]\nallow_calling = "CT1"\n'}
    receiver = ours("--settings", "site.toml", program=site, files=files)
    assert answer(receiver.port, "CT1", "ANY") == b""
    assert answer(receiver.port, "CT2", "ANY") == b"\1\1\3"
