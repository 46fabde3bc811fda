"""What the limits answer, and their program in C (limits.c), compiled when the benchmark starts."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from support.protocol.pdus import ASSOCIATE_AC, RELEASE_RP, application_context, command_set, data_pdus, item, pdu
from support.uids import EXPLICIT_LE

ACCEPT = pdu(
    ASSOCIATE_AC,
    b"\0\1\0\0".ljust(68, b"\0")
    + application_context()
    + item(0x21, b"\1\0\0\0", item(0x40, EXPLICIT_LE.encode()))
    + item(0x50, item(0x51, struct.pack(">I", 131072)), item(0x52, b"1.2.3.4")),
)
[RESPONSE] = data_pdus(1, [command_set({0x0100: 0x8001, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0})], is_command=True)
RELEASED = pdu(RELEASE_RP, bytes(4))

_SOURCE = Path(__file__).with_name("limits.c")


def compile_limits(directory: Path) -> Path:
    """The program. Raises CalledProcessError or FileNotFoundError without a C compiler."""
    program = directory / "limits"
    answers = {"ACCEPT": ACCEPT, "RESPONSE": RESPONSE, "RELEASED": RELEASED}
    defined = [f"-D{name}={_literal(data)}" for name, data in answers.items()]
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", *defined, "-o", program, _SOURCE], check=True, timeout=60)
    return program


def _literal(data: bytes) -> str:
    """`data` as a string of C."""
    return '"' + "".join(f"\\{byte:03o}" for byte in data) + '"'
