"""The reference of keys in docs/settings.md."""

from __future__ import annotations

from dcmrecv_core.config.settings_keys import KEYS, Key
from dcmrecv_core.settings.settings import Settings
from support.paths import DOCS

PAGE = DOCS / "settings.md"
BEGIN, END = "<!-- reference -->\n", "<!-- end of reference -->\n"


def reference() -> str:
    rows = "".join(f"| `{name}` | {key.allowed} | {default(key)} | {options(key)} |\n" for name, key in KEYS.items())
    return f"| key | value | default | options |\n|---|---|---|---|\n{rows}"


def default(key: Key) -> str:
    value = key.written(getattr(Settings(), key.field))
    if value is None or value == ():
        return ""
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value!r}`".replace("'", '"')


def options(key: Key) -> str:
    return ", ".join(f"`{option.short or option.long}`" for option in key.options)


def generated(page: str) -> str:
    """The page with its reference up to date."""
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + reference() + END + rest.partition(END)[2]
