"""What stops the receiver from starting: exit code and error text, beside the original's."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from receivers import run, system_program

pytestmark = pytest.mark.dcmtk

COMMAND_LINE, OUTPUT_DIRECTORY, LISTEN, CONFIGURATION = 1, 45, 64, 66

CASES = [
    (COMMAND_LINE, ["-v"], "error: Missing parameter port"),
    (COMMAND_LINE, ["11112", "11113"], "error: Too many parameters"),
    (COMMAND_LINE, ["65536"], "error: Invalid parameter value 65536 (overflow)"),
    (COMMAND_LINE, ["0"], "error: Invalid parameter value 0 (underflow)"),
    (COMMAND_LINE, ["--foo", "11112"], "error: Unknown option --foo"),
    (COMMAND_LINE, ["--verb", "11112"], "error: Unknown option --verb"),
    (COMMAND_LINE, ["11112", "-xf", "file"], "error: Missing value for option --config-file"),
    (COMMAND_LINE, ["-pdu", "4095", "11112"], "error: Invalid value for option --max-pdu (underflow: 4095)"),
    (COMMAND_LINE, ["-ll", "warning", "11112"], "error: Invalid log level for --log-level option"),
    (COMMAND_LINE, ["@absent", "11112"], "error: Cannot open command file 'absent'"),
    (OUTPUT_DIRECTORY, ["-od", "absent", "11112"], "F: cannot specify output directory: Directory does not exist"),
    (OUTPUT_DIRECTORY, ["-od", "file", "11112"], "F: cannot specify output directory: Directory does not exist"),
    (CONFIGURATION, ["-xf", "absent", "default", "11112"], "unable to open configuration file: absent"),
    (CONFIGURATION, ["-xf", "empty", "default", "11112"], "cannot find section [[TRANSFERSYNTAXES]] in config file"),
    (CONFIGURATION, ["-xf", "/etc/dcmtk/storescp.cfg", "Foo", "11112"], 'No association profile named "Foo"'),
    (CONFIGURATION, ["-xf", "absent", "x", "-od", "absent", "11112"], "F: cannot load association configuration"),
]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def ending(program: object, directory: Path, arguments: list[str]) -> tuple[int, str]:
    env = {name: value for name, value in os.environ.items() if name != "LISTEN_FDS"}
    done = run(program, *arguments, cwd=directory, env=env, timeout=20)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("code", "arguments", "text"), CASES, ids=[" ".join(case[1]) for case in CASES])
def test_refuses_to_start(program: Path, directory: Path, code: int, arguments: list[str], text: str) -> None:
    for name in ("file", "empty"):
        (directory / name).touch()
    for candidate in (program, system_program("dcmrecv")):
        assert ending(candidate, directory, arguments)[0] == code
        assert text in ending(candidate, directory, arguments)[1]


def test_port_is_taken(program: Path, directory: Path, taken_port: int) -> None:
    text = f"F: cannot start SCP and listen on port {taken_port}: TCP Initialization Error: Address already in use"
    for candidate in (program, system_program("dcmrecv")):
        code, output = ending(candidate, directory, [str(taken_port)])
        assert code == LISTEN
        assert text in output


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"]], ids=" ".join)
def test_prints_and_exits(program: Path, directory: Path, arguments: list[str]) -> None:
    done = run(program, *arguments, cwd=directory, timeout=20)
    assert done.returncode == 0
    assert "dcmrecv" in done.stdout
    assert done.stderr == ""
