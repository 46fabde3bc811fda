"""The client's side of the control socket."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dcmrecv_core.api.version import __version__
from dcmrecv_core.net.control.address import NAME, connect

ANSWER_SECONDS = 10.0
_CHUNK = 65536


class ControlConnectionError(ConnectionError):
    """The receiver cannot be asked; the text says why."""


class CommandFailedError(Exception):
    """The receiver has answered that it cannot do that; the text says why."""


def socket_of(state_directory: Path) -> Path:
    """The control socket of the receiver with this state directory, or the link to it."""
    return state_directory / NAME


def ask(path: Path, command: str, *, seconds: float | None = ANSWER_SECONDS, **arguments: Any) -> dict[str, Any]:
    """Send a command to the receiver that listens on the socket at `path`; its answer, which has to begin within
    `seconds` (None: however long it takes).

    Raises ControlConnectionError, CommandFailedError.
    """
    request = json.dumps({"command": command, **arguments}).encode() + b"\n"
    data = bytearray()
    try:
        with connect(str(path), ANSWER_SECONDS) as connection:
            connection.settimeout(seconds)
            with suppress(BrokenPipeError):  # refused already, and the answer says why
                connection.sendall(request)
            while not data.endswith(b"\n"):
                chunk = connection.recv(_CHUNK)
                if not chunk:
                    raise ControlConnectionError(f"the receiver at {path} has closed the connection without an answer")
                data += chunk
    except ControlConnectionError:
        raise
    except OSError as error:
        raise ControlConnectionError(_why(path, error)) from error
    return _checked(path, data)


def _checked(path: Path, data: bytes | bytearray) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, Mapping):
        raise ControlConnectionError(f"what listens at {path} is no receiver of version {__version__}")
    if "error" in answer:
        raise CommandFailedError(str(answer["error"]))
    return dict(answer)


def _why(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"no receiver runs with this state directory: there is no {path}"
    if isinstance(error, ConnectionRefusedError):
        return f"the receiver at {path} does not run any more"
    if isinstance(error, PermissionError):
        return f"user {os.geteuid()} may not use {path}: root and the receiver's own user may"
    if isinstance(error, TimeoutError | BlockingIOError):
        return f"the receiver at {path} does not answer"
    return f"cannot use {path}: {error.strerror or error}"
