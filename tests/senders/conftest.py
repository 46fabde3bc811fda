"""Senders in other languages store to our receiver, started as in the end-to-end tests."""

from support.programs.fixtures import directory, ours, program, started

__all__ = ["directory", "ours", "program", "started"]
