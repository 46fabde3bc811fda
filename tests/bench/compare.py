"""Instances a second: ours beside DCMTK's dcmrecv, on one association of small CT instances.

    python tests/bench/compare.py PATH_OF_DCMRECV [INSTANCES] [ROUNDS]

Both store the same pre-encoded requests, sent one after the other as fast as each is answered, in interleaved rounds:
ours with --no-fsync, the original, which never flushes, with TCP_NODELAY=1; both in normal mode. Medians are printed.
TMPDIR chooses the file system; on /dev/shm it is the receivers that are compared, on ext4 mostly how it finds inodes.
"""

from __future__ import annotations

import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))

from rawscu import EXPLICIT_LE, RawAssociation, command_set, data_pdus, store_rq
from receivers import Receiver, start_original, start_ours
from samples import CT, pydicom_samples

SUCCESS = struct.pack("<HHIH", 0x0000, 0x0900, 2, 0x0000)


def requests(count: int, first: int = 0) -> list[bytes]:
    """C-STORE requests, each whole, of CT_small.dcm under `count` instance UIDs of the same length, from `first` on."""
    [sample] = [sample for sample in pydicom_samples() if sample.name == "CT_small.dcm"]
    encoded = []
    for number in range(first, first + count):
        instance = f"{number:06}".join((sample.sop_instance[:-6], ""))
        data = sample.data.replace(sample.sop_instance.encode(), instance.encode())
        command = data_pdus(1, [command_set(store_rq(CT, instance, number % 0xFFFF))], is_command=True)
        encoded.append(b"".join((*command, *data_pdus(1, [data], is_command=False))))
    return encoded


def seconds(receiver: Receiver, encoded: Sequence[bytes]) -> float:
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        connection = association.socket
        start = time.perf_counter()
        for request in encoded:
            connection.sendall(request)
            response = b""
            while len(response) < 6 or len(response) < 6 + struct.unpack_from(">I", response, 2)[0]:
                part = connection.recv(4096)
                if not part:
                    raise SystemExit(f"the association ended:\n{receiver.log}")
                response += part
            if SUCCESS not in response:
                raise SystemExit(f"not stored: {response.hex()}\n{receiver.log}")
        elapsed = time.perf_counter() - start
        association.release()
    return elapsed


def main(program: str, count: int = 500, rounds: int = 9) -> None:
    with tempfile.TemporaryDirectory(prefix="dcmrecv-") as place:
        homes = [Path(place, name) for name in ("ours", "original")]
        for home in homes:
            home.mkdir()
        profile = ("-xf", "/etc/dcmtk/storescp.cfg", "default")
        receivers = [
            start_ours(Path(program), homes[0], *profile, "--no-fsync"),
            start_original(homes[1], *profile),
        ]
        try:
            times: list[list[float]] = [[], []]
            for number in range(rounds):
                encoded = requests(count, number * count)  # new instances: overwriting is another kind of work
                for receiver, measured in zip(receivers, times, strict=True):
                    measured.append(seconds(receiver, encoded))
            for receiver in receivers:
                assert len(receiver.files()) == count * rounds
        finally:
            for receiver in receivers:
                receiver.end()
    rates = [count / statistics.median(measured) for measured in times]
    print(f"{count} instances of {len(encoded[0]) // 1024} KB, {rounds} rounds, normal mode")
    for name, rate, measured in zip(("ours", "DCMTK"), rates, times, strict=True):
        print(f"{name:6} {rate:8.0f} instances/s   ({count / max(measured):.0f} .. {count / min(measured):.0f})")
    print(f"ratio  {rates[0] / rates[1]:8.2f}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
