"""The conversions that may follow a `:` in a layout field: text -> text, None for text of another kind."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from urllib.parse import quote
from uuid import UUID

from dcmrecv_builtin.layout.person_names import COMPONENTS, GROUPS, part_of_name
from dcmrecv_builtin.layout.replacements import FORMS
from dcmrecv_core import did_you_mean

Conversion = Callable[[str], str | None]

WORDS = ("upper", "lower", "hash", "md5", "uid", "uuid", "urlencoded", *COMPONENTS, *GROUPS)

_SLICE = re.compile(r"\[(-?\d{0,5})(:?)(-?\d{0,5})\]")
_NUMBER = re.compile(r"0?(\d{0,2})(?:d|\.(\d)f)")
_WIDTH = re.compile(r"0?[1-9]\d?", re.ASCII)
_OFFSET = re.compile(r"[+-]\d{1,18}")
_CHOICE = re.compile(r"-?\d{1,9}=[^,=]*(?:,-?\d{1,9}=[^,=]*)*", re.ASCII)
_HASH = re.compile(r"hash([1-9]\d?)")
_WHOLE = re.compile(r"[+-]?\d{1,64}(?:\.0*)?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d{1,64}(?:\.\d{0,64})?|\.\d{1,64})(?:[eE][+-]?\d{1,2})?", re.ASCII)
_UID = re.compile(r"(?=.{1,64}\Z)(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+", re.ASCII)

_DATE = r"(?P<Y>\d{4})(?:(?P<dot>\.?)(?P<m>0[1-9]|1[0-2])(?:(?P=dot)(?P<d>0[1-9]|[12]\d|3[01])%s)?)?"
_TIME = r"(?P<H>[01]\d|2[0-3])(?::?(?P<M>[0-5]\d)(?::?(?P<S>[0-5]\d|60)(?:\.(?P<f>\d{1,6}))?)?)?"
_KINDS = {
    "DA": re.compile(_DATE % "", re.ASCII),
    "TM": re.compile(_TIME, re.ASCII),
    "DT": re.compile(_DATE % f"(?:{_TIME})?" + r"(?:[+-]\d{4})?", re.ASCII),
}
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_DATE_DIRECTIVES = "YmdyjbBaAGVu"
_TIME_DIRECTIVES = "HMSfIp"


def conversion(spec: str, vr: str) -> Conversion:
    """The function for a spec other than of dates; `vr` is the value's, "" if not known. Raises ValueError."""
    if spec in ("upper", "lower"):
        return str.upper if spec == "upper" else str.lower
    if spec == "md5":
        return lambda text: hashlib.md5(_bytes(text), usedforsecurity=False).hexdigest()
    if spec == "uid":
        return lambda text: text if _UID.fullmatch(text) else f"2.25.{_uuid(text).int}"
    if spec == "uuid":
        return lambda text: str(_uuid(text))
    if spec == "urlencoded":
        return lambda text: quote(text, safe="", errors="surrogatepass")
    if spec == "hash" or _HASH.fullmatch(spec):
        length = int(spec[4:] or 8)
        if not 4 <= length <= 64:
            raise ValueError("a hash has 4 to 64 digits")
        return lambda text: hashlib.sha256(_bytes(text)).hexdigest()[:length]
    if spec in COMPONENTS or spec in GROUPS:
        if vr not in ("PN", ""):
            raise ValueError(f"a value of VR {vr} is not a person name")
        return part_of_name(spec)
    if match := _SLICE.fullmatch(spec):
        return _slice(*match.groups())
    if _CHOICE.fullmatch(spec):
        return _choice(spec)
    if _OFFSET.fullmatch(spec) or _NUMBER.fullmatch(spec):
        if vr in ("DA", "TM", "DT", "PN", "UI", "AS"):
            raise ValueError(f"a value of VR {vr} is not a number")
        return _offset(int(spec)) if _OFFSET.fullmatch(spec) else _number(spec)
    raise ValueError(_unknown(spec, vr))


def time_format(spec: str, vr: str) -> Conversion:
    """The function for a spec with `%` on dates and times of this VR, of unknown VR if "". Raises ValueError."""
    kind = vr or "DT"
    if kind not in _KINDS:
        raise ValueError(f"a value of VR {vr} is neither date nor time")
    directives = [match[1] for match in _DIRECTIVE.finditer(spec) if match[1] != "%"]
    allowed = {"DA": _DATE_DIRECTIVES, "TM": _TIME_DIRECTIVES}.get(kind, _DATE_DIRECTIVES + _TIME_DIRECTIVES)
    for directive in directives:
        if not directive or directive not in _DATE_DIRECTIVES + _TIME_DIRECTIVES:
            raise ValueError(f"unknown date or time part %{directive}")
        if directive not in allowed:
            raise ValueError(f"%{directive}: a value of VR {kind} has no {'time' if kind == 'DA' else 'date'}")
    if not directives:
        raise ValueError("no part of a date or time is asked for")
    if set(directives) <= set("YmdHMS"):
        return _plain_format(_KINDS[kind], spec, directives)
    return _any_format(_KINDS[kind], spec, set(directives))


def literal_of(spec: str) -> str:
    """What a date or time format adds of its own, each part of a date blanked out."""
    return _DIRECTIVE.sub(lambda match: "x%" if match[1] == "%" else "xx", spec)


def _plain_format(kind: re.Pattern[str], spec: str, directives: list[str]) -> Conversion:
    """Parts that stand in the value as they are wanted."""
    template = _DIRECTIVE.sub(lambda match: "%%" if match[1] == "%" else "%s", spec)
    fullmatch = kind.fullmatch

    @lru_cache(maxsize=256)
    def convert(text: str) -> str | None:
        match = fullmatch(text)
        if match is None:
            return None
        parts = match.group(*directives, 0)[:-1]  # of one name alone `group` makes no tuple
        return None if None in parts else template % parts

    # what is kept must not be what a peer sends instead of a date, of any size
    return lambda text: convert(text) if len(text) <= _LONGEST_MOMENT else None


_LONGEST_MOMENT = 64
"""Characters; a DT has 26 (PS3.5 section 6.2)."""

_NEEDED = {"y": "Y", "j": "Ymd", "b": "m", "B": "m", "p": "H", "I": "H", "f": "S"}
_NEEDED.update(dict.fromkeys("aAGVu", "Ymd"))


def _any_format(kind: re.Pattern[str], spec: str, directives: set[str]) -> Conversion:
    needed = {part for directive in directives for part in _NEEDED.get(directive, directive)}

    def convert(text: str) -> str | None:
        match = kind.fullmatch(text)
        found = match.groupdict() if match else {}
        if any(found.get(part) is None for part in needed):
            return None
        year, month, day, hour, minute, second = (int(found.get(part) or part in "Ymd") for part in "YmdHMS")
        microsecond = int((found.get("f") or "").ljust(6, "0"))
        try:
            moment = datetime(year, month, day, hour, minute, min(second, 59), microsecond)
        except ValueError:  # 30 February
            return None
        # strftime does not pad years, and its seconds know no leap second
        own = {"Y": f"{year:04d}", "S": f"{second:02d}"}
        return _DIRECTIVE.sub(lambda match: own.get(match[1]) or moment.strftime(match[0]), spec)

    return convert


def _slice(first: str, colon: str, last: str) -> Conversion:
    if not colon:
        raise ValueError("a slice is [first:end], counted from 0")
    start, end = int(first) if first else None, int(last) if last else None
    counted_alike = start is not None and end is not None and (start < 0) == (end < 0)
    if end == 0 or (counted_alike and end <= start):  # type: ignore[operator]
        raise ValueError("nothing is left of any value")
    part = slice(start, end)
    return lambda text: text[part] or None


def _choice(spec: str) -> Conversion:
    """The text of the largest limit that the number reaches, of the first one if it reaches none."""
    rows = [row.partition("=") for row in spec.split(",")]
    limits, texts = [int(limit) for limit, _, _ in rows], [text for _, _, text in rows]
    if sorted(set(limits)) != limits:
        raise ValueError("the numbers of a choice rise")

    def convert(text: str) -> str:
        return texts[max(bisect_right(limits, Decimal(text)) - 1, 0)] if _DECIMAL.fullmatch(text) else text

    return convert


def _offset(offset: int) -> Conversion:
    return lambda text: str(int(Decimal(text)) + offset) if _WHOLE.fullmatch(text) else text


def _number(spec: str) -> Conversion:
    if spec[-1] == "f":
        return lambda text: format(Decimal(text), spec) if _DECIMAL.fullmatch(text) else text
    if spec not in ("d", "0d") and spec[0] != "0":
        raise ValueError(f"a width needs a leading zero: 0{spec} (blanks are no good in file names)")
    return lambda text: format(int(text.partition(".")[0]), spec) if _WHOLE.fullmatch(text) else text


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _uuid(text: str) -> UUID:
    """A UUID that follows from the text: RFC 9562 version 8, of a SHA-256."""
    digest = bytearray(hashlib.sha256(_bytes(text)).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def _unknown(spec: str, vr: str) -> str:
    if not spec:
        return "a conversion is missing after ':'"
    if "|" in spec:
        hint = "other names and the default stand before the conversions"
    elif _WIDTH.fullmatch(spec):
        hint = f"zeros in front are written 0{int(spec)}d"
    elif known := did_you_mean(spec.partition("(")[0], (*WORDS, *FORMS)):
        hint = known
    elif vr in _KINDS:
        hint = "parts of a date or time are %Y, %m, %d, %H, %M, %S and others"
    else:
        others = f"hashN, 04d, 06.2f, +1, 0=few,5=many, [0:8], {', '.join(FORMS.values())} and %Y"
        hint = f"there are {', '.join(WORDS)}, {others}"
    return f"unknown conversion {spec!r}; {hint}"
