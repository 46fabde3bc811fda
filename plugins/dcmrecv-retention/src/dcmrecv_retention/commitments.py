"""Instances that a peer has asked to be committed (PS3.4 annex J), and has no answer about yet."""

from __future__ import annotations

from pathlib import Path


def requested_instances(state_directory: Path) -> frozenset[str]:
    return frozenset()
