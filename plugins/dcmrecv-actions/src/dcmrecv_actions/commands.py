"""A command as an administrator writes it: words, in which placeholders stand for what was received.

Placeholders are replaced after the command is split into words, so a value is never more than a part of one argument.
No shell reads it, unless the command names one; `scripts.py` has that case.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dcmrecv_actions.fields import LETTERS, PLACEHOLDER, Fields
from dcmrecv_actions.scripts import referring
from dcmrecv_core import PluginError, Undeliverable, did_you_mean

# What a shell would act on, once quoted text is removed: DCMTK storescp gives every command to /bin/sh.
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_SHELL_SYNTAX = re.compile(r"[|&;<>`$*\n]")


@dataclass(frozen=True, slots=True)
class _Interpreter:
    """A program that executes its first argument that is no option: after an option `says_so`, or always. `takes_value`
    are options that have the next word as their value, or the rest of their own, `kind` is what the executed word
    is."""

    name: re.Pattern[str]
    says_so: re.Pattern[str] | None
    takes_value: re.Pattern[str]
    kind: str


_INTERPRETERS = (
    _Interpreter(
        re.compile(r"(?:ba|da|a|k|mk|z)?sh"),
        re.compile(r"-[A-Za-z]*c[A-Za-z]*"),
        re.compile(r"[-+][A-Za-z]*[oO]|--rcfile|--init-file"),
        "script",
    ),
    _Interpreter(
        re.compile(r"(?:python|pypy|lua)[\d.]*|perl|ruby|node|php|julia|Rscript|pwsh|fish|t?csh"),
        re.compile(r"-[A-Za-z]*[ceEpr]|--command|--eval|--print|--run|-[Cc]ommand"),
        re.compile(r"-[A-Za-z]*[WXI]"),
        "code",
    ),
    _Interpreter(re.compile(r"[gmn]?awk|g?sed"), None, re.compile(r"-[A-Za-z]*[vFl]"), "code"),
)
_FURTHER_CODE = re.compile(r"-[A-Za-z]*[eE]|--expression|--eval")
_FURTHER_CODE_WITHIN = re.compile(r"-[A-Za-z]*[eE].+|--(?:expression|eval)=.*", re.DOTALL)
"""Options of the second kind of interpreters that may be there more than once: sed -e ... -e ..."""

_GIVING_ALL_TO_A_SHELL = ("ssh", "su", "runuser", "parallel")
_COMMAND_OPTIONS = (
    "-c",
    "--command",
)  # as of flock and script: what follows is a command for a shell, if it has blanks


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`written` is the text of it in the command, `field` the field whose value it stands for."""

    written: str
    field: str


Word = Sequence[str | Placeholder]


@dataclass(frozen=True, slots=True)
class Command:
    """The command of `option`; `used` are its placeholders, those in the script of a shell included."""

    option: str
    words: Sequence[Word]
    used: Sequence[Placeholder]

    @property
    def program(self) -> str | None:
        """The program that it runs; None if that depends on what is received."""
        first = self.words[0]
        return None if any(isinstance(part, Placeholder) for part in first) else "".join(map(str, first))

    def arguments(self, fields: Fields) -> list[str]:
        """The program and its arguments. Raises Undeliverable if a value is not known that the command needs."""
        for placeholder in self.used:
            if fields[placeholder.field] is None:
                raise Undeliverable(f"{self.option} needs {placeholder.written}: {_REASONS[placeholder.field]}")
        return ["".join(part if isinstance(part, str) else fields[part.field] or "" for part in w) for w in self.words]


_NO_SENDER = "the sender is not known of an instance found again after a power cut"
_REASONS = {
    "calling_ae_title": _NO_SENDER,
    "called_ae_title": _NO_SENDER,
    "peer_address": _NO_SENDER,
    "received_at": "the time is not known of an instance found again after a power cut",
    "directory": "not all of its instances are files",
}


def parse_command(option: str, text: str, fields: Iterable[str]) -> Command:
    """The command `text` of `option`, with placeholders for `fields`. Raises PluginError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise PluginError(f"{option}: {error} in: {text}") from error
    if not words or not words[0]:
        raise PluginError(f"{option}: the command is empty")
    syntax = _SHELL_SYNTAX.search(_QUOTED.sub("", text.strip()))
    if syntax:
        raise PluginError(
            f"{option}: no shell reads the command, so {syntax[0]!r} does nothing: quote it, or name one: sh -c '...'"
        )
    return _Parser(option, tuple(fields)).command(words)


class _Parser:
    def __init__(self, option: str, fields: Sequence[str]) -> None:
        self._option = option
        self._fields = fields
        self._used: list[Placeholder] = []

    def command(self, words: Sequence[str]) -> Command:
        parsed = [self._word(word, kind) for word, kind in zip(words, _kinds(words), strict=True)]
        return Command(self._option, parsed, self._used)

    def _word(self, word: str, kind: str) -> Word:
        if kind == "script":
            return [referring(word, self._field)]
        parts: list[str | Placeholder] = []
        end = 0
        for match in PLACEHOLDER.finditer(word):
            field = self._field(match[0])
            if kind == "code":
                raise PluginError(
                    f"{self._option}: {match[0]} would be executed as a part of: {word}; give it as an argument of its "
                    "own, or read the environment variable"
                )
            parts += [word[end : match.start()], Placeholder(match[0], field)]
            end = match.end()
        return [*parts, word[end:]]

    def _field(self, written: str) -> str:
        """The field of a placeholder. Raises PluginError if there is none."""
        name = written.strip("#{}")
        field = name if "{" in written else LETTERS.get(name, name)
        if field not in self._fields:
            raise PluginError(f"{self._option}: unknown placeholder {written}; {self._known(name)}")
        self._used.append(Placeholder(written, field))
        return field

    def _known(self, name: str) -> str:
        letters = ", ".join(f"#{letter} ({field})" for letter, field in LETTERS.items() if field in self._fields)
        others = ", ".join(f"#{{{field}}}" for field in self._fields)
        return did_you_mean(name, self._fields) or f"there are {letters}, {others}"


def _kinds(words: Sequence[str]) -> list[str]:
    """Of each word: "script" of a shell, "code" of another interpreter, or "text"."""
    kinds = ["text"] * len(words)
    for number, word in enumerate(words):
        name = os.path.basename(word)
        if name in _GIVING_ALL_TO_A_SHELL and not (number and words[number - 1].startswith("-")):
            kinds[number + 1 :] = ["code"] * (len(words) - number - 1)
            break
        if number and words[number - 1] in _COMMAND_OPTIONS and " " in word and kinds[number] == "text":
            kinds[number] = "code"
        for interpreter in _INTERPRETERS:
            if interpreter.name.fullmatch(name):
                _mark(kinds, words, number + 1, interpreter)
    return kinds


def _mark(kinds: list[str], words: Sequence[str], start: int, interpreter: _Interpreter) -> None:
    """Say in `kinds` which words an interpreter executes that has its arguments from `start` on: the first that is no
    option, and for code also what is a part of an option, as in perl -e'...', or follows the option again."""
    executes = interpreter.says_so is None
    is_value = False
    for index in range(start, len(words)):
        word = words[index]
        if is_value:
            is_value = False
        elif word.startswith(("-", "+")):
            executes = executes or bool(interpreter.says_so and interpreter.says_so.fullmatch(word))
            is_value = bool(interpreter.takes_value.fullmatch(word))
            if interpreter.kind == "code" and not interpreter.takes_value.match(word):
                kinds[index] = "code"
        else:
            if executes:
                kinds[index] = interpreter.kind
                if interpreter.kind == "code":
                    _mark_further(kinds, words, index + 1)
            return


def _mark_further(kinds: list[str], words: Sequence[str], start: int) -> None:
    for index in range(start, len(words)):
        if _FURTHER_CODE.fullmatch(words[index - 1]) or _FURTHER_CODE_WITHIN.fullmatch(words[index]):
            kinds[index] = "code"
