"""A model of a disk in a power cut: of all that was not flushed, any part may be lost.

Each change of a directory (a name is given, replaced, removed) and the data of each file are lost or kept
independently, in any order: a file system with more guarantees has fewer states. A flush of a file makes certain what
was written to it before; a flush of a directory, the changes in it that were complete before.

With one journal, all changes of directories become certain in their order, those before a flush with it. The journal
may be written at any moment, and never before data that were written out when the change was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from support.promises.strace import FLUSHING, NAMING, REMOVING, WRITING, WRITING_OUT, Call


@dataclass(eq=False)
class File:
    """Bytes written, how many of them are written out to the device, and how many are certain."""

    written: int = 0
    written_out: int = 0
    certain: int = 0


class Entry(NamedTuple):
    """A possible entry of a directory under a name: a file, a directory, nothing; newer ones have a higher `number`."""

    number: int
    content: File | str | None


NOTHING = Entry(-1, None)
Name = tuple[str, str]


@dataclass
class Disk:
    """`entries`: what may be found under each name after a power cut now: the certain entry, then newer ones.
    `has_journal`: the file system has one journal for all."""

    has_journal: bool = False
    entries: dict[Name, list[Entry]] = field(default_factory=dict)
    _files: dict[str, File] = field(default_factory=dict)
    _descriptors: dict[tuple[int, str], File] = field(default_factory=dict)
    _flushes: dict[int, tuple[int, dict[Name, int]]] = field(default_factory=dict)

    def begin(self, call: Call) -> None:
        """A flush makes certain what is written when it begins."""
        if call.name in (*FLUSHING, WRITING_OUT) and not call.error:
            file = self._files.get(call.path)
            names = {
                name: found[-1].number
                for name, found in self.entries.items()
                if self.has_journal or name[0] == call.path
            }
            self._flushes[call.begun] = (file.written if file else 0, names)

    def certain(self, file: File) -> int:
        """How many bytes it has wherever its name is found."""
        return max(file.certain, file.written_out) if self.has_journal else file.certain

    def end(self, call: Call) -> None:
        """The call has taken effect."""
        if call.error or call.result == "?":
            return
        if call.name == "openat" and ("O_TMPFILE" in call.arguments or "O_CREAT" in call.arguments):
            file = File()
            self._files[call.opened] = self._descriptors[call.pid, call.result] = file
            if "O_CREAT" in call.arguments:
                self._change(tuple(call.opened.rsplit("/", 1)), file)  # type: ignore[arg-type]
        elif call.name in WRITING and call.path in self._files:
            file = self._files[call.path]
            file.written += int(call.result)
        elif call.name == "mkdirat":
            self._change((call.path, call.made.rpartition("/")[2]), call.made)
        elif call.name in NAMING:
            self._give_name(call)
        elif call.name in REMOVING:
            self._change((call.path, call.arguments.split(", ")[1].strip('"')), None)
        elif call.name == WRITING_OUT and call.path in self._files:
            file = self._files[call.path]
            file.written_out = max(file.written_out, self._flushes.pop(call.begun)[0])
        elif call.name in FLUSHING:
            self._flush(call)

    def _give_name(self, call: Call) -> None:
        source, old, directory, new = call.naming
        if "RENAME_EXCHANGE" in call.arguments:
            ours = self.entries[source, old][-1].content
            theirs = self.entries.get((directory, new), [NOTHING])[-1].content  # it may be older than the trace
            self._change((source, old), theirs)
            self._change((directory, new), ours)
            for path, content in ((f"{source}/{old}", theirs), (f"{directory}/{new}", ours)):
                if isinstance(content, File):
                    self._files[path] = content
            return
        if old.startswith("/proc/self/fd/"):
            content: File | str | None = self._descriptors[call.pid, old.rpartition("/")[2]]
        else:
            content = self.entries[source, old][-1].content
            if call.name != "linkat":
                self._change((source, old), None)
        self._change((directory, new), content)
        if isinstance(content, File):
            self._files[f"{directory}/{new}"] = content

    def _change(self, name: Name, content: File | str | None) -> None:
        found = self.entries.setdefault(name, [NOTHING])
        found.append(Entry(found[-1].number + 1, content))

    def _flush(self, call: Call) -> None:
        written, names = self._flushes.pop(call.begun)
        file = self._files.get(call.path)
        if file is not None:
            file.certain = max(file.certain, written)
        for name, number in names.items():
            self.entries[name] = [entry for entry in self.entries[name] if entry.number >= number]


def events(calls: list[Call]) -> Iterator[tuple[bool, Call]]:
    """Each call twice, in the order of the trace: as it begins (True) and as it ends."""
    lines = [(call.begun, True, call) for call in calls] + [(call.ended + 0.5, False, call) for call in calls]
    for _, begins, call in sorted(lines, key=lambda line: line[:2]):
        yield begins, call
