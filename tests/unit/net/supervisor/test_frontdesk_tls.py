"""The parts of TLS one by one: DER, profiles, subjects, the look at a ClientHello, handshakes in the pool."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import RemoteProtocolError, TlsError
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.supervisor.frontdesk import FrontDesk
from dcmrecv_core.net.tls import der
from dcmrecv_core.net.tls.client_hello import wanted_length
from dcmrecv_core.net.tls.connection import subject_text
from dcmrecv_core.net.tls.context import ContextMaker
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.settings.tls_profiles import PROFILES, SUITES
from support.programs.original import original

HELLO = struct.pack(">BHH", 22, 0x0301, 100) + bytes(100)


@pytest.mark.dcmtk
def test_suites_are_the_originals() -> None:
    listed = original(["+cc"]).stdout.partition("ciphersuites are:\n")[2].split()
    assert listed == list(SUITES)


def test_profiles_have_only_suites_that_there_are() -> None:
    assert all(suite in SUITES for profile in PROFILES.values() for suite in profile.suites)


@pytest.mark.parametrize(
    ("data", "label"),
    [
        ("30 03 02 01 00 30 00", "PRIVATE KEY"),
        ("30 82 01 00 02 01 00 02 01 05", "RSA PRIVATE KEY"),
        ("30 03 02 01 01 04 00", "EC PRIVATE KEY"),
        ("30 03 30 00 04 00", "ENCRYPTED PRIVATE KEY"),
    ],
)
def test_kinds_of_keys(data: str, label: str) -> None:
    assert der.key_label(bytes.fromhex(data)) == label


@pytest.mark.parametrize(
    "data", [b"", b"0", b"0\x80", b"0\xff", b"-----BEGIN", b"0\x03\x02\x01\x00", b"0\x03\x04\x01\x00\x30"]
)
def test_what_is_no_key(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a private key in DER"):
        der.key_label(data)


def test_a_file_that_is_too_long_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(1 << 20))
    with pytest.raises(OSError, match="File too large"), der.readable(str(tmp_path / "long"), "CERTIFICATE"):
        pass


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (((("countryName", "DE"),), (("commonName", "ct1"),)), "CN=ct1,C=DE"),
        (((("commonName", "a"), ("userId", "b")),), "CN=a+UID=b"),
        (((("commonName", ' a,b+"\\\n '),),), 'CN=\\ a\\,b\\+\\"\\\\\\0A\\ '),
        ((), ""),
    ],
)
def test_subjects(subject: object, text: str) -> None:
    assert subject_text(subject) == text


@pytest.mark.parametrize(
    ("head", "length"), [(b"", 5), (b"\x16", 5), (b"\x16\x03\x01\x00", 5), (HELLO[:5], 105), (HELLO, 105)]
)
def test_how_much_is_needed(head: bytes, length: int) -> None:
    assert wanted_length(head) == length


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"\x01", "wrong version number"),
        (b"\x16\x02", "wrong version number"),
        (b"GET /", "http request"),
        (b"\x16\x03\x01\x40\x01", "packet length too long"),
        (b"\x16\x03\x01\x00\x00", "bad length"),
    ],
)
def test_what_is_no_tls(head: bytes, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^TLS error: {reason}$"):
        wanted_length(head)


class Desk:
    """A front desk with TLS and a real connection: SO_RCVLOWAT is TCP's."""

    def __init__(self) -> None:
        self.admitted: list[Handover] = []
        self.selector = selectors.DefaultSelector()
        self.desk = FrontDesk(self.selector, [], 30.0, self.admitted.append)
        self.desk.tls = True
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname(), timeout=5)
            ours, (address, port) = listener.accept()
        self.desk.welcome(ours, address, port, 1000.0)

    def turn(self) -> int:
        """Handle what is ready within a moment; how many events there were."""
        ready = self.selector.select(0.05)
        for key, _ in ready:
            key.data(key.fileobj, 1000.0)
        return len(ready)

    def say(self, data: bytes) -> None:
        self.peer.sendall(data)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.desk.close()
    made.selector.close()
    made.peer.close()
    for handover in made.admitted:
        handover.sock.close()


def test_a_slow_client_hello_wakes_nobody_and_is_left_to_the_worker(desk: Desk) -> None:
    for byte in HELLO[:4]:
        desk.say(bytes([byte]))
        assert desk.turn() == 0
    desk.say(HELLO[4:5])
    assert desk.turn() == 1
    for byte in HELLO[5:-1:10]:
        desk.say(bytes([byte]))
        assert desk.turn() == 0, "the loop would spin"
    assert desk.admitted == []


def test_a_whole_client_hello_is_admitted_unread(desk: Desk) -> None:
    desk.say(HELLO)
    while not desk.admitted:
        assert desk.turn() == 1
    [handover] = desk.admitted
    assert (handover.request, handover.secure_until) == (b"", 1030.0)
    assert handover.sock.recv(1000) == HELLO
    assert handover.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


@pytest.mark.parametrize("said", [b"", b"\x16", HELLO[:-1]])
def test_who_leaves_is_forgotten(desk: Desk, said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    desk.say(said)
    desk.turn()
    desk.peer.close()
    while desk.turn():
        pass
    assert desk.desk.tick(1000.0) is None
    assert "TLS error: unexpected eof while reading" in caplog.text


def test_only_the_first_context_may_ask(tmp_path: Path) -> None:
    asked: list[str] = []
    maker = ContextMaker(lambda: asked.append("x") or "secret")
    settings = Settings(tls=(str(tmp_path / "k"), str(tmp_path / "c")))
    assert maker.make(Settings()) is None
    with pytest.raises(TlsError, match=r"^000b:0004 Unable to load private TLS key from '.*/k'$"):
        maker.make(settings)
    assert maker._password() == ""
    assert asked == []


def test_seed_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seed, out = tmp_path / "seed", tmp_path / "out"
    seed.write_bytes(b"x")
    settings = Settings(tls=("absent", "absent"), tls_seed_file=str(seed), tls_write_seed_file=str(out))
    with pytest.raises(TlsError):
        ContextMaker().make(settings)
    assert len(out.read_bytes()) == 1024
    assert out.stat().st_mode & 0o777 == 0o600
    assert ssl.RAND_status()
    assert "random seed file" not in caplog.text
