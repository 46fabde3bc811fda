"""strace records the system calls of many stores: small and large, new and repeated, in new directories, with and
without unnamed files. The written data must be flushed first; then the file gets its name, then the directory and each
new one above it is flushed, then the response is sent. Where one journal keeps the order, the data may be written out
only, and the file be flushed when it has its name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.programs.receivers import Start
from support.promises.disk_image import Image
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.promises.strace import FLUSHING, NAMING, WRITING, WRITING_OUT, Call, parse, stores, traced
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
    written_out = [index for index, call in enumerate(calls) if call.name == WRITING_OUT and call.path == file]
    *_, directory, _ = calls[named[-1]].naming
    after = {call.path for call in calls[named[-1] :] if call.name in FLUSHING and not call.error}
    made = [call for call in calls if call.name == "mkdirat" and not call.error]
    needed = {call.path for call in made if f"{directory}/".startswith(f"{call.made}/")}
    is_written_out = bool(written and written_out) and max(written) < written_out[0] < named[0] == named[-1]
    if is_written_out and (not flushed or named[0] < flushed[0]):
        needed.add(file)
    elif not written or not flushed or not max(written) < flushed[0] < named[0]:
        return "named before it is flushed"
    else:
        needed.add(directory)
    missing = needed - after
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


@pytest.mark.parametrize("option", ["--fsync", "--strict-fsync"])
@pytest.mark.parametrize("way", WAYS)
def test_order(
    ours: Start,
    directory: Path,
    image: Callable[..., Image],
    count: Callable[[int, int], int],
    figure: Callable[[str], None],
    way: str,
    option: str,
) -> None:
    """On a file system with a journal."""
    image(directory / "ours0" / "out")
    receiver = ours("-pm", option, *WAYS[way].arguments, files=FILES)
    often = count(10, 150)
    wrong = store_traced(*connect(receiver, WAYS[way]), WAYS[way], directory / "trace", often)
    assert [text for text in wrong if text] == []
    written_out = WRITING_OUT in (directory / "trace").read_text()
    assert written_out == (option == "--fsync" and way != "new directories")  # a new directory is not flushed yet
    figure(f"{way}, {option}: {len(wrong)} of {often} in order")


def test_order_of_others(peer: Peer, directory: Path) -> None:
    association = RawAssociation(peer.receiver.port, CONTEXTS)
    wrong = store_traced(association, peer.receiver.process.pid, Way((), small, str), directory / "trace", 20)
    peer.does(f"Success before the file is flushed: {sum(text != '' for text in wrong)} of {len(wrong)}")
