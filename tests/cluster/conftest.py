"""Three nodes behind HAProxy, which all tests of a process share: each test has studies of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster.cluster import Cluster, running_cluster
from support.programs.fixtures import program

__all__ = ["program"]


@pytest.fixture(scope="session")
def cluster(program: Path) -> Iterator[Cluster]:
    with (
        tempfile.TemporaryDirectory(prefix="dcmrecv-") as directory,
        running_cluster(program, Path(directory)) as nodes,
    ):
        yield nodes
