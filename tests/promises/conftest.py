"""File systems to store on, other receivers to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.programs.fixtures import certificates, config, directory, original, ours, program, started
from support.promises.disk_image import Image, unmount
from support.promises.other_receivers import PEERS, Peer, start_peer

__all__ = ["certificates", "config", "directory", "original", "ours", "program", "started"]


@pytest.fixture
def image(directory: Path) -> Iterator[Callable[..., Image]]:
    """`image(place, kind)`: a file system mounted there until the test is over."""
    places: list[Path] = []

    def make(place: Path, kind: str = "ext4, ordered") -> Image:
        places.append(place)
        return Image(kind, directory / "disk.img", place)

    yield make
    for place in places:
        unmount(place)


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest, directory: Path, config: Path) -> Iterator[Peer]:
    """Another receiver, for the same test: `peer.receiver` is like ours, `peer.does("...")` records what it did.

    A test that uses it runs once for each of PEERS, with --full only, and does not count for the promise.
    """
    receiver = start_peer(request.param, directory, config)
    try:
        yield Peer(request.param, receiver, lambda text: request.node.user_properties.append(("does", text)))
    finally:
        receiver.kill()
