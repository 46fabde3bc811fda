"""strace records the system calls of many stores: small and large, new and repeated, in new directories, with and
without unnamed files. The written data must be flushed first; then the file gets its name, then the directory and each
new one above it is flushed, then the response is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.programs.receivers import Start
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.promises.strace import FLUSHING, NAMING, WRITING, Call, parse, stores, traced
from support.promises.ways_to_disk import CONTEXTS, FILES, WAYS, Way, connect, small
from support.protocol.raw_sender import RawAssociation
from support.uids import CT

pytestmark = promise(1)


def disorder(calls: list[Call]) -> str:
    """The mistake in the order of one store's calls, "" if there is none."""
    named = [index for index, call in enumerate(calls) if call.name in NAMING and not call.error]
    if not named:
        return "no name"
    source, old, directory, _ = calls[named[0]].naming
    opened = [call.opened for call in calls if call.name == "openat" and call.result == old.rpartition("/")[2]]
    file = opened[-1] if opened else f"{source}/{old}"
    written = [index for index, call in enumerate(calls) if call.name in WRITING and call.path == file]
    flushed = [index for index, call in enumerate(calls) if call.name in FLUSHING and call.path == file]
    if not written or not flushed or not max(written) < flushed[0] < named[0]:
        return "named before it is flushed"
    *_, directory, _ = calls[named[-1]].naming
    after = {call.path for call in calls[named[-1] :] if call.name in FLUSHING and not call.error}
    made = [call for call in calls if call.name == "mkdirat" and not call.error]
    above = {call.path for call in made if f"{directory}/".startswith(f"{call.made}/")}
    missing = {directory, *above} - after
    return f"not flushed: {missing}" if missing else ""


def store_traced(association: RawAssociation, pid: int, way: Way, trace: Path, often: int) -> list[str]:
    """The mistake of each store, "" if there is none."""
    with association:
        with traced(pid, trace):
            for number in range(1, often + 1):
                assert association.store(CT, *way.instance(number)) == 0
        association.release()
    done = stores(parse(trace))
    assert len(done) >= often - 1  # strace may have ended before it recorded the last response
    return [disorder(calls) for calls in done]


@pytest.mark.parametrize("way", WAYS)
def test_order(
    ours: Start, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None], way: str
) -> None:
    receiver = ours("-pm", *WAYS[way].arguments, files=FILES)
    often = count(20, 150)
    wrong = store_traced(*connect(receiver, WAYS[way]), WAYS[way], directory / "trace", often)
    assert [text for text in wrong if text] == []
    figure(f"{way}: {len(wrong)} of {often} in order")


def test_order_of_others(peer: Peer, directory: Path) -> None:
    association = RawAssociation(peer.receiver.port, CONTEXTS)
    wrong = store_traced(association, peer.receiver.process.pid, Way((), small, str), directory / "trace", 20)
    peer.does(f"Success before the file is flushed: {sum(text != '' for text in wrong)} of {len(wrong)}")
