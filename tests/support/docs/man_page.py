"""The man page docs/dcmrecv.1: its title and its options, from the program's own tables."""

from __future__ import annotations

import re
from itertools import groupby

from dcmrecv_core.api.version import DATE, __version__
from dcmrecv_core.config.options.option import Option
from dcmrecv_core.config.options.table import OPTIONS
from support.docs.blocks import DOCS
from support.docs.options_page import described, heading

PAGE = DOCS / "dcmrecv.1"
BEGIN, END = '.\\" options\n', '.\\" end of options\n'
TITLE = f'.TH DCMRECV 1 {DATE} "dcmrecv {__version__}" "User Commands"\n'

_LINE = 80
_ESCAPES = str.maketrans({"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"})


def escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def options() -> str:
    text = ""
    for section, members in groupby(OPTIONS, key=lambda option: option.section):
        text += f".SS {escaped(heading(section))}\n"
        for number, (group, together) in enumerate(groupby(members, key=lambda option: option.group)):
            if group:
                text += ".PP\n" * bool(number) + f".I {escaped(group[0].upper() + group[1:])}\n"
            text += "".join(map(entry, together))
    return text


def entry(option: Option) -> str:
    names = ", ".join(f"\\fB{escaped(name)}\\fR" for name in (option.short, option.long) if name)
    values = "".join(f" [\\fI{value.name[0]}\\fR]{value.name[1:]}" for value in option.values)
    limits = [described(value).partition(": ")[2] for value in option.values]
    notes = [note for note in limits if note] + ([f"default: {option.default}"] if option.default else [])
    sentence = option.help.replace("\n", " ") + "".join(f"; {note}" for note in notes)
    return f".TP\n{names}{values}\n{wrapped(escaped(sentence))}\n"


def wrapped(text: str) -> str:
    """Lines of at most eighty characters, none of which begins like a troff request."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + 1 + len(word) > _LINE and word[:1] not in (".", "'"):
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)


def generated(page: str) -> str:
    """The page with its generated parts up to date."""
    head, _, rest = page.partition(BEGIN)
    head = re.sub(r"\A\.TH .*\n", lambda match: TITLE, head)
    return head + BEGIN + options() + END + rest.partition(END)[2]
