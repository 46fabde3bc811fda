"""hypothesis packs C-STOREs into PDVs and PDUs and cuts the bytes into TCP segments for a session. Answers and files
are compared with those of the same instances sent unfragmented, in both storage modes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcmrecv_core.net.worker import session as session_module
from support.data.datasets import element, identification
from support.promises.promises import promise
from support.protocol.pdus import packed, store_rq
from support.protocol.scripted_connection import Clock
from support.protocol.scripted_worker import ECHO, INSTANCE, RELEASE, ScriptedWorker, store
from support.uids import CT

pytestmark = [promise(14), pytest.mark.timeout(600)]

MAX_PDU = 16384


@pytest.fixture(scope="module", params=["normal", "bit-preserving"])
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedWorker]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_module, "time", clock)
        yield ScriptedWorker(tmp_path_factory.mktemp("out"), clock, storage_mode=request.param, max_pdu=MAX_PDU)


def instances(sizes: list[int], rng: random.Random) -> list[bytes]:
    """Data sets with so many bytes of pixels."""
    return [
        identification(CT, f"{INSTANCE}.{number}") + element(0x7FE00010, "OW", rng.randbytes(size))
        for number, size in enumerate(sizes)
    ]


def taken(directory: Path) -> dict[str, bytes]:
    """All files, which are removed."""
    files = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    for name in files:
        (directory / name).unlink()
    return files


def outcome(worker: ScriptedWorker, stream: bytes, cuts: list[int]) -> tuple[bytes, dict[str, bytes]]:
    """Answers and files for the stream, received in pieces that begin at `cuts`."""
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    return worker.play(*pieces).sent, taken(worker.output)


def test_any_chunking_gives_the_same(
    worker: ScriptedWorker, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    examples = count(1000, 5000)
    done = 0

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        seed=st.integers(0, 2**32),
        sizes=st.lists(
            st.one_of(st.integers(0, 40), st.integers(0, 3000), st.integers(0, 20_000)), min_size=1, max_size=3
        ),
        largest=st.one_of(st.integers(130, 300), st.just(MAX_PDU)),
        segments=st.integers(0, 40),
        bytewise=st.sampled_from((0, 0, 20, 150)),
    )
    def check(seed: int, sizes: list[int], largest: int, segments: int, bytewise: int) -> None:
        nonlocal done
        rng = random.Random(seed)
        data = instances(sizes, rng)
        plain = b"".join(store(number, content) for number, content in enumerate(data))
        chunked = b"".join(
            packed(rng, 1, store_rq(CT, f"{INSTANCE}.{number}", number), content, largest)
            for number, content in enumerate(data)
        )
        chunked += ECHO + RELEASE
        cuts = {rng.randrange(1, len(chunked)) for _ in range(segments)}
        cuts.update(range(at := rng.randrange(1, len(chunked)), min(at + bytewise, len(chunked))))
        answers, files = outcome(worker, chunked, sorted(cuts))
        assert (answers, files) == outcome(worker, plain + ECHO + RELEASE, [])
        for number, content in enumerate(data):
            assert files[f"CT.{INSTANCE}.{number}"].endswith(content)
        done += 1

    check()
    assert done >= examples
    figure(f"{done} of {done} chunkings gave the same file and response")
