"""Measures what dcmrecv stores in an S3 server beside what the same server takes from obstore alone.

    python plugins/dcmrecv-s3/tests/rate.py [--versitygw PROGRAM] [--rounds N] [--seconds S] [--directory DIRECTORY]

Sixteen associations, and sixteen processes that only send as many bytes: one conditional request with a checksum for
each object, as dcmrecv does. Both in turn, round after round. All of them share the processors, so the time that they
need of these is measured, too: it hardly depends on what else the machine does, as rates do.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

import obstore
from obstore.store import S3Store
from servers import options, start_versitygw

from dcmrecv_core.testing.receivers import ReceiverProcess
from support.bench.load import Load, Result, in_processes, send
from support.bench.measure import processor_seconds
from support.bench.series import FIRST_SERIAL, SERIES, Series
from support.servers.s3_server import KEYS, S3Server, start_moto

ASSOCIATIONS = 16


class Sample(NamedTuple):
    """Objects a second; milliseconds of processor time for each: of the server, dcmrecv, and who sends."""

    rate: float
    server: float
    receiver: float
    sender: float


def send_alone(endpoint: str, series: Series, seconds: float, first: int) -> Result:
    """As many objects as sixteen processes can store in so many seconds."""
    objects = [bytes(256) + each.data for each in series.slices]  # a preamble and File Meta Information

    def work(number: int) -> array[int]:
        store = S3Store(
            "rate",
            config={
                "endpoint": endpoint,
                "region": KEYS["AWS_REGION"],
                "access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
                "secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
                "checksum_algorithm": "SHA256",
            },
            client_options={"allow_http": True},
        )
        clock, times = time.perf_counter_ns, array("q")
        deadline = clock() + int(seconds * 1e9)
        serial = FIRST_SERIAL + first + number * 1_000_000
        while (start := clock()) < deadline:
            data = objects[serial % len(objects)]
            obstore.put(store, f"alone/CT.1.3.6.1.4.1.5962.{serial}", data, mode="create", use_multipart=False)
            times.append(clock() - start)
            serial += 1
        return times

    return in_processes(ASSOCIATIONS, work)


def started(endpoint: str, directory: Path) -> ReceiverProcess:
    """A receiver, in a process group of its own."""
    receiver = ReceiverProcess(directory)
    command = [sys.executable, "-P", "-m", "dcmrecv_core", "-od", receiver.output, *options(endpoint, "rate")]
    receiver.run_until_ready(command, {"PYTHONPATH": os.pathsep.join(sys.path)}, start_new_session=True)
    return receiver


class Measuring:
    """One server and one receiver, measured in turn."""

    def __init__(self, server: S3Server, receiver: ReceiverProcess, seconds: float) -> None:
        self._server = server
        self._receiver = receiver
        self._seconds = seconds
        self._serial = 0

    def warm_up(self, series: Series) -> None:
        """Let workers and their connections begin, a few at a time."""
        for count in (1, 2, 4, 8, ASSOCIATIONS):
            self._serial += 100_000_000
            send(self._receiver.port, Load(series, count * 10, self._seconds, count), self._serial)

    def sample(self, series: Series, *, alone: bool) -> Sample:
        self._serial += 100_000_000
        before = self._spent()
        if alone:
            result = send_alone(self._server.endpoint, series, self._seconds, self._serial)
        else:
            load = Load(series, ASSOCIATIONS * 1_000_000, self._seconds, ASSOCIATIONS)
            result = send(self._receiver.port, load, self._serial)
        count = len(result.times)
        spent = [(after - earlier) * 1e3 / count for after, earlier in zip(self._spent(), before, strict=True)]
        return Sample(count / result.elapsed, *spent)

    def _spent(self) -> tuple[float, float, float]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (
            processor_seconds(self._server.pid),
            processor_seconds(self._receiver.process.pid),
            children.ru_utime + children.ru_stime,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure dcmrecv-s3 beside obstore alone; see docs/s3.md.")
    parser.add_argument("--versitygw", metavar="PROGRAM", help="measure with this server (default: moto's)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each size")
    parser.add_argument("--seconds", type=float, default=3, help="seconds of each measurement")
    parser.add_argument("--directory", default="/dev/shm", help="the server stores below it")
    chosen = parser.parse_args()
    os.environ |= KEYS
    with tempfile.TemporaryDirectory(prefix="rate-", dir=chosen.directory) as place:
        directory = Path(place)
        server = start_versitygw(chosen.versitygw, directory) if chosen.versitygw else start_moto(directory)
        try:
            server.make_bucket("rate")
            receiver = started(server.endpoint, directory / "receiver")
            try:
                measuring = Measuring(server, receiver, chosen.seconds)
                for size in ("39 KB", "530 KB"):
                    _print(size, *_rounds(measuring, SERIES[size](), chosen.rounds))
            finally:
                receiver.stop()
        finally:
            server.end()


def _rounds(measuring: Measuring, series: Series, rounds: int) -> tuple[list[Sample], list[Sample]]:
    measuring.warm_up(series)
    taken: dict[bool, list[Sample]] = {True: [], False: []}
    for number in range(rounds):
        for alone in (number % 2 == 0, number % 2 == 1):
            taken[alone].append(measuring.sample(series, alone=alone))
    return taken[True], taken[False]


def _print(size: str, alone: list[Sample], ours: list[Sample]) -> None:
    print(f"{size}: objects a second, and processor time in ms for each: server, receiver, senders")
    for name, samples in (("obstore alone", alone), ("dcmrecv", ours)):
        rate, *spent = map(statistics.median, zip(*samples, strict=True))
        print(f"  {name:13} {rate:7.0f} {''.join(f'{each:7.2f}' for each in spent)}")
    pairs = list(zip(ours, alone, strict=True))
    for what, ratios in (
        ("rate", [mine.rate / other.rate for mine, other in pairs]),
        ("1 / processor time", [sum(other[1:]) / sum(mine[1:]) for mine, other in pairs]),
    ):
        print(
            f"  ratio of {what}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True
        )


if __name__ == "__main__":
    main()
