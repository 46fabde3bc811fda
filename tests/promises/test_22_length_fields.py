"""Headers that claim 4 GiB, before and within an association, 20 times each. The median is compared with the limit,
because on a busy machine single answers may be late. The anonymous memory of supervisor and worker is compared before
and after."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest

from support.programs.receivers import Start
from support.promises.processes import MEGABYTE, own_memory
from support.promises.promises import promise
from support.protocol.pdus import ABORT, command_set, data_pdus, pdu, pdv, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(22)

FOUR_GIB = b"\xff\xff\xff\xff"
WITHIN = 0.1
LONGEST = 2.0
TRIES = 20
COMMAND = b"".join(data_pdus(1, [command_set(store_rq(CT, "1.2.3"))], is_command=True))
CLAIMS = {
    "a request": (False, b"\1\0" + FOUR_GIB),
    "data before a request": (False, b"\4\0" + FOUR_GIB),
    "P-DATA-TF": (True, b"\4\0" + FOUR_GIB),
    "P-DATA-TF within a message": (True, COMMAND + b"\4\0" + FOUR_GIB),
    "a PDV": (True, pdu(4, FOUR_GIB + b"\1\3")),
    "a release": (True, b"\5\0" + FOUR_GIB),
    "a request within the association": (True, b"\1\0" + FOUR_GIB),
    "an element of the command": (True, pdu(4, pdv(1, 3, bytes.fromhex("00000001") + FOUR_GIB))),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_claims(ours: Start, figure: Callable[[str], None], claim: str) -> None:
    established, data = CLAIMS[claim]
    receiver = ours("-q", "-pm")
    contexts = [(CT, [EXPLICIT_LE])] if established else []
    seconds, growth = [], []
    for _ in range(TRIES):
        with RawAssociation(receiver.port, contexts, timeout=LONGEST) as association:
            pid = receiver.worker_serving(association.local_port) if established else receiver.process.pid
            before = own_memory(pid)
            start = time.monotonic()
            association.send(data)
            assert association.read_pdu()[0] == ABORT
            seconds.append(time.monotonic() - start)
            growth.append(own_memory(pid) - before)
    assert median(seconds) < WITHIN
    assert max(seconds) < LONGEST
    assert max(growth) < MEGABYTE
    figure(f"{claim}: {1000 * max(seconds):.0f} ms at most")
