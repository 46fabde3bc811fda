"""TLS: files that cannot be used at the start, and handshakes that fail; messages are compared with DCMTK dcmrecv."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dcmrecv_core.testing import until
from support.parity.both_programs import run_both
from support.parity.rules import Row, by_rule, compare
from support.programs.certificates import Certificates
from support.programs.receivers import Receiver, dcmtk, system_program

TLS = ("+tls", "server.key", "server.pem")
LATER = "Ours names the fault in the words of DCMTK 3.7."
REASON = re.compile(r"^(?:E: Could not receive association request|W: connection from .* refused): (.*)$", re.MULTILINE)
UNKNOWN_SUITE = "F: 000b:0003 Unknown or invalid ciphersuite: "
ILLEGAL_CALL = ("F: 0001:0007 Illegal call, perhaps wrong parameters",)


@dataclass(frozen=True, kw_only=True, slots=True)
class SetUp(Row):
    """Options that keep the program from listening; key and certificate of `server` and `client` are there."""

    kind: ClassVar[str] = "TLS set-up"
    arguments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Handshake(Row):
    """A sender whose handshake fails: `name` of its certificate, options of `tool`."""

    kind: ClassVar[str] = "TLS handshake"
    tool: str
    arguments: tuple[str, ...] = ()


def _refused(rule: str, *arguments: str, **outcomes: Any) -> SetUp:
    return SetUp(rule=rule, arguments=(*arguments, "1"), **outcomes)


def _differs(ours: str, theirs: tuple[str, ...]) -> dict[str, Any]:
    return {"differs": LATER, "ours": (71, (ours,)), "theirs": (71, theirs)}


SET_UP: tuple[SetUp, ...] = (
    _refused("a private key that is missing", "+tls", "absent", "server.pem"),
    _refused("a key that is missing is told before a certificate", "+tls", "absent", "absent"),
    _refused("a certificate in place of the key", "+tls", "server.pem", "server.pem"),
    _refused("a key of another certificate", "+tls", "client.key", "server.pem"),
    _refused("PEM files with -der", *TLS, "-der"),
    _refused(
        "CA, CRL files that are missing are warned of before the key",
        "+tls",
        "absent",
        "server.pem",
        "+cf",
        "x",
        "+crl",
        "y",
    ),
    _refused(
        "a certificate that is missing",
        "+tls",
        "server.key",
        "absent",
        **_differs(
            "F: 000b:0005 Unable to load certificate from 'absent'",
            ("F: 000b:0006 Private key 'server.key' and certificate 'absent' do not match",),
        ),
    ),
    _refused("an unknown ciphersuite", *TLS, "+cs", "FOO", **_differs(UNKNOWN_SUITE + "FOO", ILLEGAL_CALL)),
    _refused(
        "a ciphersuite of TLS 1.3",
        *TLS,
        "+cs",
        "TLS_AES_128_GCM_SHA256",
        **_differs(UNKNOWN_SUITE + "TLS_AES_128_GCM_SHA256", ILLEGAL_CALL),
    ),
    _refused("a ciphersuite without encryption in a profile with it", *TLS, "+cs", "TLS_RSA_WITH_NULL_SHA"),
    _refused("the output directory is looked at before TLS files", "+tls", "absent", "absent", "-od", "absent"),
    _refused("the association profile is looked at before TLS files", "+tls", "absent", "absent", "-xf", "absent", "p"),
)

HANDSHAKES: tuple[Handshake, ...] = (
    Handshake(rule="no certificate where one is required", tool="echoscu", arguments=("+tla",)),
    Handshake(rule="a certificate of an unknown authority", tool="echoscu", arguments=("+tls", "unknown")),
    Handshake(rule="a certificate that has expired", tool="echoscu", arguments=("+tls", "expired")),
    Handshake(
        rule="a sender without TLS on the TLS port",
        tool="echoscu",
        differs="ours says what it is, and whose",
        ours="DICOM without TLS on a port with TLS (--enable-tls); use TLS in the sender, or a port without it",
        theirs="TLS error: wrong version number",
    ),
    Handshake(rule="TLS 1.1 under the default profile", tool="openssl", arguments=("-tls1_1",)),
    Handshake(rule="no suite in common", tool="openssl", arguments=("-tls1_2", "-cipher", "AES256-SHA")),
)

ROWS: tuple[Row, ...] = (*SET_UP, *HANDSHAKES)


@by_rule(SET_UP)
def test_set_up(program: Path, directory: Path, certificates: Certificates, row: SetUp) -> None:
    files = {path.name: path.read_text() for pair in (certificates.server, certificates.client) for path in pair}
    outcomes = run_both(program, directory, row.arguments, files)
    compare(row, *((ended.code, _without_openssl(ended.stderr)) for ended in outcomes))


def _without_openssl(text: str) -> tuple[str, ...]:
    """The lines without those of every start and those of OpenSSL, which have numbers that Python does not give."""
    lines = text.splitlines()
    return tuple(line for line in lines if not line.startswith(("E: OpenSSL error", "W: no configuration file")))


@by_rule(HANDSHAKES)
def test_handshakes(both: Callable[..., Any], certificates: Certificates, row: Handshake) -> None:
    receivers = both("+tls", *certificates.server, "+cf", certificates.authority)
    compare(row, *(_reason(receiver, certificates, row) for receiver in receivers))


def _reason(receiver: Receiver, certificates: Certificates, row: Handshake) -> str:
    known = len(REASON.findall(receiver.log))
    if row.tool == "openssl":
        address = ["-connect", f"localhost:{receiver.port}"]
        command = [system_program("openssl"), "s_client", *address, "-cipher", "ALL:@SECLEVEL=0", *row.arguments]
        subprocess.run(command, input=b"", capture_output=True, timeout=20, check=False)
    else:
        option, *names = row.arguments or ("",)
        pair = [str(path) for name in names for path in getattr(certificates, name)]
        options = [option, *pair, "+cf", certificates.authority] if option else []
        dcmtk(row.tool, *options, "localhost", receiver.port)
    until(lambda: len(REASON.findall(receiver.log)) > known, "a reason", log=lambda: receiver.log)
    return REASON.findall(receiver.log)[-1]
