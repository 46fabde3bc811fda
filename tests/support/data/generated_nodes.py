"""Data sets that hypothesis makes up, and the same with stray delimiters in them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from dcmrecv_core.dataset.encodings import IMPLICIT_LITTLE, LONG_VRS, SHORT_VRS, UNDEFINED_LENGTH, Encoding
from support.data.datasets import ITEM, ITEM_END, SEQUENCE_END, Node, encode, encode_node, header, item

SEQUENCES = (0x00081140, 0x00081199, 0x0040A730)  # known to the dictionary, as implicit VR demands
VALUES = st.binary(max_size=40).map(lambda value: value + b"x" * (len(value) % 2))


@st.composite
def nodes(draw: Callable[..., object], depth: int = 2) -> list[Node]:
    made: list[Node] = []
    vrs = st.sampled_from(sorted((SHORT_VRS | LONG_VRS) - {"SQ"}))
    tags = st.integers(0x00091000, 0x0009FFFF) | st.sampled_from(SEQUENCES)
    for tag in sorted(draw(st.sets(tags, min_size=1, max_size=6))):  # type: ignore[call-overload]
        undefined = draw(st.booleans())
        if depth and (tag in SEQUENCES or (undefined and draw(st.booleans()))):
            items = draw(st.lists(nodes(depth - 1) | st.just([]), max_size=3))
            made.append(Node(tag, draw(st.sampled_from(["SQ", "UN"])) if undefined else "SQ", items, undefined))
        elif tag not in SEQUENCES:
            made.append(Node(tag, draw(vrs), draw(VALUES)))
    return made or [Node(0x0009FFFE, "LO", b"made")]


class Spoilt(NamedTuple):
    """A data set with stray delimiters, the same without, and how many they are."""

    data: bytes
    sound: bytes
    strays: int


def spoil(made: list[Node], encoding: Encoding, chance: Random) -> Spoilt:
    """Put delimiters wherever they end nothing, now and then."""
    data = _spoil_elements(made, encoding, chance, undefined=False)
    sound = encode(made, encoding)
    return Spoilt(data, sound, (len(data) - len(sound)) // 8)


def _spoil_elements(made: list[Node], encoding: Encoding, chance: Random, *, undefined: bool) -> bytes:
    """A delimiter of an item ends the one around it, if that is of undefined length; one of a sequence is stray."""
    kinds = (SEQUENCE_END,) if undefined else (ITEM_END, SEQUENCE_END)
    parts = [_strays(kinds, encoding, chance)]
    for node in made:
        parts += [_spoil_node(node, encoding, chance), _strays(kinds, encoding, chance)]
    return b"".join(parts)


def _spoil_node(node: Node, encoding: Encoding, chance: Random) -> bytes:
    if not isinstance(node.value, list):
        return encode_node(node, encoding)
    inner = IMPLICIT_LITTLE if node.vr == "UN" else encoding
    kinds = (ITEM_END,) if node.undefined else (ITEM_END, SEQUENCE_END)
    value = _strays(kinds, inner, chance)
    for content in node.value:
        elements = _spoil_elements(content, inner, chance, undefined=node.undefined)
        length = UNDEFINED_LENGTH if node.undefined else len(elements)
        end = item(ITEM_END, 0, inner) if node.undefined else b""
        value += item(ITEM, length, inner) + elements + end + _strays(kinds, inner, chance)
    length = UNDEFINED_LENGTH if node.undefined else len(value)
    end = item(SEQUENCE_END, 0, inner) if node.undefined else b""
    return header(node.tag, node.vr, length, encoding) + value + end


def _strays(kinds: tuple[int, ...], encoding: Encoding, chance: Random) -> bytes:
    count = chance.choice((0, 0, 0, 1, 2))
    return b"".join(item(chance.choice(kinds), 0, encoding) for _ in range(count))
