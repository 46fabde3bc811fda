"""A data set larger than any buffer streams through a worker of bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rawscu import EXPLICIT_LE, RawAssociation, status_of, store_rq
from receivers import Start
from samples import CT, identification, pixel_data_header

GIBIBYTE = 1 << 30
INSTANCE = "1.2.3.4"
BLOCK = bytes(range(256)) * 4096
LIMIT = 64 << 20


def proportional_set_size(pid: int) -> int:
    """PSS in bytes: private memory and the process's share of what it shares."""
    [kilobytes] = re.findall(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["-B", "+B"])
def test_one_gibibyte_in_64_megabytes(ours: Start, mode: str) -> None:
    receiver = ours("-pm", "-pdu", "131072", mode)
    header = identification(CT, INSTANCE) + pixel_data_header(GIBIBYTE)
    peaks = []

    def data(pid: int) -> Iterator[bytes]:
        yield header
        for number in range(GIBIBYTE // len(BLOCK)):
            if number % 64 == 63:
                peaks.append(proportional_set_size(pid))
            yield BLOCK

    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], timeout=120) as association:
        worker = receiver.worker_serving(association.local_port)
        association.request(store_rq(CT, INSTANCE), data(worker), max_pdu=131072)
        assert status_of(association.response()) == 0
        peaks.append(proportional_set_size(worker))
        association.release()
    assert max(peaks) <= LIMIT
    check_content(receiver.only_file(), header)


def check_content(path: Path, header: bytes) -> None:
    with path.open("rb") as file:
        file.seek(path.stat().st_size - GIBIBYTE - len(header))
        assert file.read(len(header)) == header
        while block := file.read(len(BLOCK)):
            assert block == BLOCK
