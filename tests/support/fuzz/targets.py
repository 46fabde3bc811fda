"""All fuzz targets: a function of bytes that raises if the code under test has a fault, seeds, and words to insert."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from support import association_profile
from support.fuzz.configuration_targets import (
    LAYOUTS,
    LOG_CONFIG,
    SETTINGS,
    fuzz_layout,
    fuzz_log_config,
    fuzz_profile,
    fuzz_settings,
)
from support.fuzz.dataset_targets import data_set_seeds, fuzz_agreement, fuzz_data_set, fuzz_values
from support.fuzz.protocol_targets import command_seeds, fuzz_command, fuzz_pdus, pdu_seeds
from support.paths import TESTS

CORPUS = TESTS / "fuzz" / "corpus"
"""A directory of a target's name has inputs that once raised; with_atheris.py puts them there."""


class Target(NamedTuple):
    name: str
    fuzz_one: Callable[[bytes], None]
    made: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()

    def seeds(self) -> list[bytes]:
        """Generated inputs, and those that once raised."""
        return [*self.made(), *(path.read_bytes() for path in sorted((CORPUS / self.name).glob("*")))]


def _texts(*texts: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode() for text in texts]


def _words(text: str) -> tuple[bytes, ...]:
    return tuple(word.encode() for word in text.split())


DELIMITERS = tuple(
    map(bytes.fromhex, ("feff00e0ffffffff", "feff0de000000000", "feffdde000000000", "e07f1000", "ffffffff"))
)
TARGETS = (
    Target("pdus", fuzz_pdus, pdu_seeds),
    Target("command", fuzz_command, command_seeds),
    Target("data_set", fuzz_data_set, data_set_seeds, (*DELIMITERS, b"SQ\0\0", b"UN\0\0", b"OB\0\0", b"LO", b"UI")),
    Target("values", fuzz_values, data_set_seeds, (*DELIMITERS, *_words("DS IS DA AT FD PN US UN UC LO"))),
    Target("agreement", fuzz_agreement, data_set_seeds, (*DELIMITERS, *_words("SQ UN OB OW LO ox XX ??"), b"\0\0")),
    Target("profile", fuzz_profile, _texts(association_profile.BASE), _words("[[ ]] [ ] = \\ # A PC Role2 SCP BOTH")),
    Target("settings", fuzz_settings, _texts(SETTINGS), _words("[[ ]] [ ] { } = ' \" ''' true 1e400 nan 0x -1 , .")),
    Target(
        "layout",
        fuzz_layout,
        _texts(*LAYOUTS),
        _words('{ } {{ }} : | [ ] [*] [0:] / % %Y :d :uid :+1 || :family :drop(" :sub(" "," ") (?: + {2} \\d " , . ..'),
    ),
    Target("log_config", fuzz_log_config, _texts(LOG_CONFIG), _words("${ } % %q %D{ - . %-9.9m = log4cplus. 99999999")),
)
