"""The tables of options in docs/options.md."""

from __future__ import annotations

import html
from itertools import groupby

import tomli_w

from dcmrecv_core.config.options.option import Option, Value
from dcmrecv_core.config.options.table import OPTIONS
from dcmrecv_core.config.settings_keys import KEYS
from support.docs.blocks import DOCS

PAGE = DOCS / "options.md"
BEGIN, END = "<!-- options -->\n", "<!-- end of options -->\n"


def tables() -> str:
    text = ""
    for section, options in groupby(OPTIONS, key=lambda option: option.section):
        text += f"## {heading(section)}\n\n"
        for group, members in groupby(options, key=lambda option: option.group):
            if group:
                text += f"### {heading(group)}\n\n"
            text += "| option | what it does | values | key |\n|---|---|---|---|\n"
            text += "".join(map(row, members)) + "\n"
    return text


def heading(text: str) -> str:
    title = text.partition(" (")[0]
    return title[:1].upper() + title[1:]


def row(option: Option) -> str:
    names = ", ".join(f"`{name}`" for name in (option.short, option.long) if name)
    meaning = html.escape(option.help, quote=False).replace("\n", " ").replace("|", "\\|")
    values = ", ".join(map(described, option.values))
    default = f"; default {option.default}" if option.default else ""
    keys = ", ".join(f"`{assigned(name, option)}`" for name, key in KEYS.items() if option in key.options)
    return f"| {names} | {meaning} | {values}{default} | {keys} |\n"


def assigned(name: str, option: Option) -> str:
    """The key, with its value if the option always sets the same."""
    value = option.sets.get(KEYS[name].field)
    return name if value is None else tomli_w.dumps({name: value}).strip()


def described(value: Value) -> str:
    """As in the help: the first letter stands for the value."""
    name = f"[{value.name[0]}]{value.name[1:]}"
    if value.choices:
        return f"{name}: {', '.join(value.choices)}"
    if value.kind in ("integer", "size"):
        to = f" to {value.shown(value.maximum)}" if value.maximum is not None else ""
        units = " (bytes, or with K, M, G)" if value.kind == "size" else ""
        return f"{name}: from {value.shown(value.minimum)}{to}{units}"
    return name


def generated(page: str) -> str:
    """The page with its tables up to date."""
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + tables() + END + rest.partition(END)[2]
