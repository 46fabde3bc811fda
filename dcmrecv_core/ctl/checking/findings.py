"""What a check has found, and what to do about it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from dcmrecv_core.api.errors import (
    CommandLineError,
    ConfigurationError,
    ListenError,
    OutputDirectoryError,
    PluginError,
    StartError,
    TlsError,
)
from dcmrecv_core.config.association_profiles import AssociationConfigurationError
from dcmrecv_core.logs.records import escape_controls


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `error` if the start would be refused, or no sender could store."""

    level: Literal["error", "warning"]
    text: str
    to_do: str

    def __str__(self) -> str:
        return escape_controls(f"{self.level}: {self.text}" + f"; {self.to_do}" * bool(self.to_do))


_FOR_ERRORS: tuple[tuple[type[StartError], str, str], ...] = (
    (ListenError, "privileges", "use the socket of 'dcmrecvctl unit', AmbientCapabilities, or a port from 1024 on"),
    (ListenError, "in use", "'ss -ltnp' shows the program that has it: end that, or choose another port"),
    (ListenError, "", "correct --bind and the port"),
    (OutputDirectoryError, "not exist", "make it, and give it to the user of the receiver"),
    (OutputDirectoryError, "read-only", "mount it for writing"),
    (OutputDirectoryError, "writable", "give it to the user of the receiver (chown), or let that user write (chmod)"),
    (OutputDirectoryError, "", "give another directory with -od"),
    (TlsError, "do not match", "give the key with which the certificate was requested"),
    (TlsError, "", "correct the file, its rights or the password"),
    (ConfigurationError, "", "correct the file"),
    (PluginError, "--state-dir", ""),
    (PluginError, "", "'dcmrecv --list-plugins' shows the plugins that are there, and their options"),
    (CommandLineError, "", "'dcmrecv --help' shows the options"),
)
"""For a kind of error, and a word of its text: what to do. The first one that fits."""

_FOR_WARNINGS = (
    ("only support the Verification", "give -xf or -pm, or a plugin that stores"),
    ("all store instances", "load one of them only"),
    ("cannot lock state directory", "give it to the user of the receiver, or another one with --state-dir"),
    ("belongs to another receiver", ""),
    ("unable to load", "correct the file, or do not name it"),
    ("unable to read", "correct the path, or do not name it"),
    ("unable to write", "correct the path, or do not name it"),
)


class Findings:
    """Collects them, and the warnings that are logged meanwhile."""

    def __init__(self) -> None:
        self.all: list[Finding] = []

    def error(self, text: str, to_do: str) -> None:
        self._add(Finding("error", text, to_do))

    def warning(self, text: str, to_do: str) -> None:
        self._add(Finding("warning", text, to_do))

    def refused(self, error: StartError, *, details: str = "") -> None:
        """An error with which a start ends."""
        text = _one_line(_text_of(error)) + f" ({details})" * bool(details)
        words = text.lower()
        to_do = next((to_do for kind, word, to_do in _FOR_ERRORS if isinstance(error, kind) and word in words), "")
        self.error(text, getattr(error, "hint", "") or to_do)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Take one step of a start: what it raises and logs is found. Lines of level error say more of what follows."""
        records = _Records()
        root = logging.getLogger()
        root.addHandler(records)
        failure: StartError | None = None
        try:
            yield
        except StartError as error:
            failure = error
        finally:
            root.removeHandler(records)
        details = ""
        for level, text in records.texts:
            if level >= logging.ERROR:
                details = text
                continue
            to_do = next((to_do for word, to_do in _FOR_WARNINGS if word in text), "")
            self.warning(text + f" ({details})" * bool(details), to_do)
            details = ""
        if failure is not None:
            self.refused(failure, details=details)
        elif details:
            self.warning(details, "")

    def _add(self, finding: Finding) -> None:
        if finding not in self.all:
            self.all.append(finding)


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append((record.levelno, _one_line(record.getMessage())))


def _text_of(error: StartError) -> str:
    if isinstance(error, AssociationConfigurationError):
        return "\n".join(text for _, text in error.lines)
    return str(error)


def _one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text.strip())
