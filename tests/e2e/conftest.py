"""End-to-end tests share their fixtures with the parity tests."""

from support.programs.fixtures import certificates, config, directory, original, ours, program, started

__all__ = ["certificates", "config", "directory", "original", "ours", "program", "started"]
