"""End-to-end tests share their fixtures with the parity tests."""

from fixtures import config, directory, original, ours, program, started

__all__ = ["config", "directory", "original", "ours", "program", "started"]
