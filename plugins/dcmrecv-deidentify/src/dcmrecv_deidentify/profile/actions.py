"""What can become of an element, under one name for the table, the options and the rules of a site."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """In the words of the rules and the report; the codes are those of PS3.15 table E.1-1."""

    KEEP = "keep"
    """K: the value stays; of a sequence the items are treated."""
    REMOVE = "remove"
    """X"""
    EMPTY = "empty"
    """Z: a value of length zero."""
    DUMMY = "dummy"
    """D: a value that says nothing, of the same VR."""
    UID = "uid"
    """U: another UID, made with the key."""
    HASH = "hash"
    """D or Z, as a pseudonym made with the key."""
    SHIFT = "shift"
    """C of a date: moved by the days of this patient."""
    CLEAN = "clean"
    """C of a text: only harmless words stay."""
    CONTENT = "content"
    """C of the content of a structured report: each content item by its concept name (table E.3.4-1)."""
    REPLACE = "replace"
    """Only in rules of a site: the value that the rule has."""
