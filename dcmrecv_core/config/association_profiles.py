"""DCMTK's association negotiation profiles: `-xf FILE PROFILE`.

The file has three levels, `[[super-section]]`, `[section]` and `key = value`:

    [[TransferSyntaxes]]      lists of transfer syntaxes         TransferSyntax1 = LittleEndianImplicit
    [[PresentationContexts]]  lists of classes with such a list  PresentationContext1 = CTImageStorage\\Uncompressed
    [[SCPSCURoleSelection]]   optional: lists of roles           Role1 = CTImageStorage\\BOTH
    [[ExtendedNegotiation]]   optional: application information  ExtendedNegotiation1 = CTImageStorage\\0102
    [[Profiles]]              which of the lists form a profile  PresentationContexts = GenericStorageSCP

The format has no written grammar: this reads what DCMTK dcmrecv 3.6.7 reads, oddities included, because files that rely
on them exist. `_entries` is the lexical part, `_tree` the structure, the rest the meaning.
"""

from __future__ import annotations

import logging
import re
import string
from collections.abc import Iterator, Mapping
from itertools import count
from typing import NamedTuple, NoReturn

from dcmrecv_core.api.errors import ConfigurationError
from dcmrecv_core.api.verdicts import Role, SupportedContext
from dcmrecv_core.settings import uids

MAX_CONTEXTS = 128
"""Presentation contexts in one list, as many as an association can have (PS3.8 section 9.3.2.2)."""

MAX_EXTENDED_CHARACTERS = 2048
"""A backslash and the hexadecimal digits of application information."""

_ILLEGAL_CALL = "Illegal call, perhaps wrong parameters"

# Names of sections and keys: other characters than these are dropped.
_NAME_CHARACTERS = string.ascii_uppercase + string.digits + "-_"
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
# References to lists, and the profile's name, lose white space and nothing else.
_REFERENCE = str.maketrans(string.ascii_lowercase, string.ascii_uppercase, " \t\n\v\f\r")

_COMMENT_LINE = re.compile(r"^#.*(?:\n|\Z)", re.MULTILINE)
_BLANKS = re.compile(r"[ \t\n]*")
_BRACKETS = re.compile(r"[\[ \t\n]*")
_NEXT_LINE = re.compile(r"\n(?=[^ \t\n])")
_CONTINUATION = re.compile(r"\n[ \t\n]*")

Section = dict[str, str]
Sections = list[tuple[str, Section]]


class AssociationConfigurationError(ConfigurationError):
    """A profile that cannot be used; the text names file, section, key and value as far as they are known.

    `lines` are level and text of its log lines: those of DCMTK dcmrecv, with the place between them.
    """

    def __init__(self, path: str, place: str, error: str, fatal: str) -> None:
        text = error.rpartition(f"{path}: ")[2] or fatal
        super().__init__(f"{path}: {place}: {text}" if place else f"{path}: {text}")
        lines = [
            (logging.ERROR, error),
            (logging.ERROR, f"  at {place}" if place else ""),
            (logging.CRITICAL, f"cannot load association configuration: {fatal}"),
        ]
        self.lines = tuple(line for line in lines if line[1])


class _Problem(Exception):
    """An error in the file; `place` is where."""

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.place = place


class _Profile(NamedTuple):
    contexts: str
    roles: str | None
    extended: str | None


class _Entry(NamedTuple):
    """One numbered key of a list; `super_name` and `section` say where it stands."""

    super_name: str
    section: str
    key: str
    value: str

    def fail(self, text: str) -> NoReturn:
        raise _Problem(text, f"[[{self.super_name}]] [{self.section}] {self.key} = {self.value}")

    def split(self) -> tuple[str, str]:
        """The text before and after the first backslash."""
        head, backslash, tail = self.value.partition("\\")
        if not backslash:
            self.fail(f"syntax error: missing '\\' in entry {self.key} in config file")
        return head, tail

    def abstract_syntax(self, text: str) -> str:
        uid = _uid(text)
        if uid is None:
            self.fail(f"not a valid abstract syntax UID: {text}")
        return uid


def load_profile(path: str, profile: str) -> tuple[SupportedContext, ...]:
    """The presentation contexts of a profile. The whole file is checked, used or not.

    Raises ConfigurationError.
    """
    try:
        if not path:
            raise AssociationConfigurationError(path, "", "", "Invalid filename")
        configuration = _Configuration(_tree(_read(path)))
    except _Problem as problem:
        error = f"Unable to parse association configuration file: {path}: {problem.text}"
        raise AssociationConfigurationError(path, problem.place, error, problem.text) from problem.__cause__
    if not profile:
        raise AssociationConfigurationError(path, "", "", "Illegal parameter")
    error = configuration.unusable(profile)
    if error:
        fatal = "Invalid or non-existing SCP Association Profile"
        raise AssociationConfigurationError(path, f"profile {profile}", error, fatal)
    return configuration.supported_contexts(profile)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except IsADirectoryError:
        content = b""  # as the original reads one
    except (OSError, ValueError) as error:
        raise _Problem(f"unable to open configuration file: {path}") from error
    # Bytes that are not UTF-8 can occur in comments and in values that are refused.
    text = content.replace(b"\0", b" ").decode("utf-8", "surrogateescape")
    return _COMMENT_LINE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _entries(text: str) -> Iterator[tuple[int, str, str]]:
    """Level (2, 1, or 0 for keys), name and value of all entries, from text without comments and carriage returns."""
    position = _span_end(_BLANKS, text, 0)
    while position < len(text):
        if text[position] == "[":
            start = _span_end(_BRACKETS, text, position)
            depth = text.count("[", position, start)
            end = position = _after(text, "]", start)
            for _ in range(depth - 1):
                position = _after(text, "]", position)
            yield min(depth, 2), _folded(text[start:end]), ""
        else:
            start = _after(text, "=", position)
            name = _folded(text[position:start])
            following = _NEXT_LINE.search(text, start)
            position = following.end() if following else len(text)
            yield 0, name, _CONTINUATION.sub("\n", text[start:position].lstrip(" \t\n")).rstrip("\n")
        position = _span_end(_BLANKS, text, position)


def _span_end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def _after(text: str, char: str, start: int) -> int:
    """The position after the next `char`, or the end of the text if there is none."""
    return text.find(char, start) + 1 or len(text)


def _folded(name: str) -> str:
    return "".join(char for char in name.translate(_UPPER) if char in _NAME_CHARACTERS)


def _reference(text: str) -> str:
    return text.translate(_REFERENCE)


def _tree(text: str) -> dict[str, Sections]:
    """The sections of each super-section. Of equal keys and of equal super-sections the first counts; equal sections
    stay apart; entries outside any section are dropped."""
    tree: dict[str, Sections] = {}
    sections: Sections | None = None
    section: Section | None = None
    for level, name, value in _entries(text):
        if level == 2:
            sections, section = [], None
            tree.setdefault(name, sections)
        elif level == 1 and sections is not None:
            section = {}
            sections.append((name, section))
        elif level == 0 and section is not None:
            section.setdefault(name, value)
    return tree


def _uid(text: str) -> str | None:
    """The UID that a value stands for, or None. Digits and dots are all that is asked of a UID."""
    uid = text
    if text[:1] not in tuple(string.digits):
        uid = uids.find_uid(text.removeprefix("=")) or text
    return uid if re.fullmatch(r"[0-9.]+", uid) else None


class _Configuration:
    """The lists and profiles of a whole file."""

    def __init__(self, tree: dict[str, Sections]) -> None:
        self._tree = tree
        self._transfer_syntaxes: dict[str, list[str]] = {}
        self._contexts: dict[str, list[tuple[str, str]]] = {}
        self._roles: dict[str, dict[str, Role]] = {}
        self._extended: dict[str, dict[str, bytes]] = {}
        self._profiles: dict[str, _Profile] = {}
        for entry in self._list_entries("TRANSFERSYNTAXES", "TRANSFERSYNTAX"):
            self._add_transfer_syntax(entry)
        for entry in self._list_entries("PRESENTATIONCONTEXTS", "PRESENTATIONCONTEXT"):
            self._add_context(entry)
        for entry in self._list_entries("SCPSCUROLESELECTION", "ROLE", optional=True):
            self._add_role(entry)
        for entry in self._list_entries("EXTENDEDNEGOTIATION", "EXTENDEDNEGOTIATION", optional=True):
            self._add_extended(entry)
        for name, section in self._sections("PROFILES"):
            self._add_profile(name, section)

    def unusable(self, profile: str) -> str:
        """Why a profile of this name cannot be used, or ""."""
        found = self._profiles.get(_reference(profile))
        if found is None:
            return (
                f'No association profile named "{profile}" in association configuration,'
                " did you forget to add presentation contexts?"
            )
        classes = [sop_class for sop_class, _ in self._contexts[found.contexts]]
        if len(classes) != len(set(classes)):
            return f'The association profile named "{profile}" is not a valid SCP association profile'
        return ""

    def supported_contexts(self, profile: str) -> tuple[SupportedContext, ...]:
        """The contexts of a profile that exists."""
        found = self._profiles[_reference(profile)]
        roles = self._roles[found.roles] if found.roles else {}
        extended = self._extended[found.extended] if found.extended else {}
        return tuple(
            SupportedContext(
                sop_class, tuple(self._transfer_syntaxes[key]), roles.get(sop_class), extended.get(sop_class)
            )
            for sop_class, key in self._contexts[found.contexts]
        )

    def _sections(self, super_name: str, *, optional: bool = False) -> Sections:
        sections = self._tree.get(super_name)
        if sections is None and not optional:
            raise _Problem(f"cannot find section [[{super_name}]] in config file")
        return sections or []

    def _list_entries(self, super_name: str, prefix: str, *, optional: bool = False) -> Iterator[_Entry]:
        """The numbered keys of each section, from 1 to the first that is missing."""
        for name, section in self._sections(super_name, optional=optional):
            for number in count(1):
                key = f"{prefix}{number}"
                if key not in section:
                    break
                yield _Entry(super_name, name, key, section[key])

    def _add_transfer_syntax(self, entry: _Entry) -> None:
        uid = _uid(entry.value)
        if uid is None:
            entry.fail(f"not a valid transfer syntax UID: {entry.value}")
        self._transfer_syntaxes.setdefault(entry.section, []).append(uid)

    def _add_context(self, entry: _Entry) -> None:
        head, tail = entry.split()
        key = _reference(tail)
        if key not in self._transfer_syntaxes:
            entry.fail(f"transfer syntax key undefined: {key}")
        if not (entry.section and head and key):
            entry.fail(_ILLEGAL_CALL)
        sop_class = entry.abstract_syntax(head)
        contexts = self._contexts.setdefault(entry.section, [])
        if len(contexts) == MAX_CONTEXTS:
            entry.fail(f"presentation context list too long (> {MAX_CONTEXTS} entries): {entry.section}")
        contexts.append((sop_class, key))

    def _add_role(self, entry: _Entry) -> None:
        head, tail = entry.split()
        word = tail.translate(_UPPER)
        if word not in Role.__members__:
            entry.fail(f"syntax error: unknown role key in entry {entry.key} in config file")
        sop_class = entry.abstract_syntax(head)
        roles = self._roles.setdefault(entry.section, {})
        if sop_class in roles:
            entry.fail(f"role selection defined twice for abstract syntax UID: {head}")
        roles[sop_class] = Role[word]

    def _add_extended(self, entry: _Entry) -> None:
        head, tail = entry.split()
        if len(tail) + 1 > MAX_EXTENDED_CHARACTERS:
            entry.fail(
                f"extended negotiation data too long, cannot handle > 1024 bytes in entry {entry.key} in config file"
            )
        if not re.fullmatch("(?:[0-9A-Fa-f]{2})*", tail):
            entry.fail(f"parse error in extended negotiation data in entry {entry.key} in config file")
        if not tail:
            entry.fail(_ILLEGAL_CALL)
        sop_class = entry.abstract_syntax(head)
        extended = self._extended.setdefault(entry.section, {})
        if sop_class in extended:
            entry.fail(f"extended negotiation defined twice for abstract syntax UID: {head}")
        extended[sop_class] = bytes.fromhex(tail)

    def _add_profile(self, name: str, section: Section) -> None:
        place = f"[[PROFILES]] [{name}]"
        if "PRESENTATIONCONTEXTS" not in section:
            raise _Problem(f"no PRESENTATIONCONTEXTS  entry in section {name} in config file", place)
        contexts = _reference(section["PRESENTATIONCONTEXTS"])
        if contexts not in self._contexts:
            raise _Problem(f"presentation context key undefined: {contexts}", f"{place} PRESENTATIONCONTEXTS")
        roles = self._list_of(section, "SCPSCUROLESELECTION", "role selection", self._roles, contexts, place)
        extended = self._list_of(
            section, "EXTENDEDNEGOTIATION", "extended negotiation", self._extended, contexts, place
        )
        if name in self._profiles:
            raise _Problem(f"two profiles defined for key: {contexts}", place)
        self._profiles[name] = _Profile(contexts, roles, extended)

    def _list_of(
        self,
        section: Section,
        key: str,
        kind: str,
        lists: Mapping[str, Mapping[str, object]],
        contexts: str,
        place: str,
    ) -> str | None:
        """The optional list that `key` of a profile refers to: it exists, and has no class that is not accepted."""
        if key not in section:
            return None
        name = _reference(section[key])
        if name not in lists:
            raise _Problem(f"{kind} key undefined: {name}", f"{place} {key}")
        accepted = {sop_class for sop_class, _ in self._contexts[contexts]}
        for sop_class in lists[name]:
            if sop_class not in accepted:
                raise _Problem(
                    # the original says "role selection" of both kinds
                    f"abstract syntax defined in role selection list '{name}' but not in presentation context list"
                    f" '{contexts}': {sop_class}",
                    f"{place} {key}",
                )
        return name
