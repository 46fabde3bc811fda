"""Measures receivers, prints how ours compares, and writes docs/performance.md with its plots.

    python tests/bench/bench.py [--only TEXT ...] [--rounds N] [--quick] [--directory DIRECTORY] [--ours PROGRAM]
                                [--dcm4che DIRECTORY]

All rows of a workload are measured in turn, round after round, so that disturbances affect all of them. Names of
instances are never used again, because overwriting is different work. Only a complete run writes the page.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from pynetdicom import StoragePresentationContexts

from support.bench import places, report
from support.bench.contenders import Programs, Running, Site, missing, running, split
from support.bench.limits import compile_limits
from support.bench.load import Failed, Load
from support.bench.machine import description
from support.bench.measure import Row, Sample, peak_memory, sample
from support.bench.series import JPEG_2000, SERIES
from support.bench.workloads import WORKLOADS, Workload
from support.paths import DOCS
from support.uids import CT, DEFLATED, ENHANCED_CT, EXPLICIT_LE

_FIRST = [ENHANCED_CT, CT]
CLASSES = tuple(dict.fromkeys([*_FIRST, *(str(each.abstract_syntax) for each in StoragePresentationContexts)]))[:120]
SYNTAXES = EXPLICIT_LE, DEFLATED, JPEG_2000
QUICK_SECONDS = 0.3


class Bench:
    """Measures workloads one after the other below `directory`."""

    def __init__(self, programs: Programs, directory: Path, rounds: int | None, is_quick: bool) -> None:
        self._programs = programs
        self._directory = directory
        self._rounds = rounds
        self._is_quick = is_quick
        self._serial = 0
        self.rows: dict[tuple[str, str], Row] = {}

    def measure(self, workload: Workload) -> None:
        """Raises load.Failed if a receiver does not store an instance."""
        names = [name for name in workload.rows if not missing(name, self._programs)]
        rounds = self._rounds or (1 if self._is_quick else workload.rounds)
        ways = self._loads if workload.series else self._starts
        self.rows |= {(workload.name, row.name): row for row in ways(workload, names, rounds)}

    def _starts(self, workload: Workload, names: Sequence[str], rounds: int) -> list[Row]:
        site = Site(self._programs, self._directory, CLASSES, SYNTAXES, workload.pdu, 0)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                with running(name, site) as receiver:
                    seconds[name].append(receiver.start_seconds)
        samples = {name: [Sample(1 / each, 0, each * 1e3, 0, 0) for each in seconds[name]] for name in names}
        return [Row(workload.name, name, samples[name], 0) for name in names]

    def _loads(self, workload: Workload, names: Sequence[str], rounds: int) -> list[Row]:
        load = self._load(workload)
        [(request, _), *_] = load.series.requests(load.max_pdu)
        site = Site(self._programs, self._directory, CLASSES, SYNTAXES, workload.pdu, len(request))
        memory = dict.fromkeys(names, 0.0)
        samples: dict[str, list[Sample]] = {name: [] for name in names}
        with ExitStack() as stack:
            receivers = {name: stack.enter_context(running(name, site)) for name in names}
            for name, receiver in receivers.items():
                memory[name] = self._warm_up(name, receiver, load)
            for number in range(rounds):
                for name in (*names[number % len(names) :], *names[: number % len(names)]):
                    samples[name].append(sample(receivers[name], load, self._serials(load.instances)))
                    if workload.clear:
                        places.empty(receivers[name].out)
        for receiver in receivers.values():
            places.empty(receiver.out)
        return [Row(workload.name, name, samples[name], memory[name]) for name in names]

    def _load(self, workload: Workload) -> Load:
        return Load(
            SERIES[workload.series](),
            max(workload.instances // (5 if self._is_quick else 1), workload.associations),
            min(workload.seconds, QUICK_SECONDS) if self._is_quick else workload.seconds,
            workload.associations,
            CLASSES[: workload.contexts],
            workload.association_each,
            workload.titles_change,
            workload.pdu,
        )

    def _warm_up(self, name: str, receiver: Running, load: Load) -> float:
        """Send a part of the load to measure the memory, and to check that acknowledged instances are stored."""
        part = load._replace(instances=max(load.instances // 4, load.associations), seconds=load.seconds / 2)
        try:
            memory, sent = peak_memory(receiver, part, self._serials(part.instances))
        except Failed:
            print(receiver.log.read_text(errors="replace")[-2000:], file=sys.stderr)
            raise
        if not split(name)[0].is_limit and receiver.stored() < sent:
            raise Failed(f"{name}: of {sent} confirmed instances {receiver.stored()} are stored")
        return memory

    def _serials(self, count: int) -> int:
        first, self._serial = self._serial, self._serial + count
        return first


def write_page(rows: report.Rows, directory: Path) -> None:
    page = DOCS / "performance.md"
    blocks = {
        "targets": report.targets_table(report.verdicts(rows)),
        "machine": description(directory) + f"- measured on {time.strftime('%Y-%m-%d')}\n",
        "receivers": report.receivers_table(),
        "rows": report.rows_tables(rows),
    }
    page.write_text(report.updated(page.read_text(), blocks))
    (DOCS / "plots").mkdir(exist_ok=True)
    for name, content in report.plots(rows).items():
        (DOCS / "plots" / name).write_text(content)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure receivers; see docs/performance.md.")
    parser.add_argument("--only", action="append", metavar="TEXT", help="only workloads with TEXT in their names")
    parser.add_argument("--rounds", type=int, help="rounds of each workload")
    parser.add_argument("--quick", action="store_true", help="a fifth of the instances, one round")
    parser.add_argument("--directory", help="store below it (default: TMPDIR)")
    parser.add_argument("--ours", type=Path, default=Path(sys.executable).with_name("dcmrecv"), help="our program")
    parser.add_argument("--dcm4che", type=Path, default=Path("/opt/dcm4che"), help="where dcm4che is unpacked")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # end the receivers, too
    chosen = [each for each in WORKLOADS if any(text in each.name for text in options.only or [""])]
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as place:
        places.spread(Path(place))
        programs = Programs(options.ours, compile_limits(Path(place)), options.dcm4che)
        absent = dict.fromkeys(row.split()[0] for each in chosen for row in each.rows if missing(row, programs))
        if absent:
            print(f"not installed, so left out: {', '.join(absent)}\n", flush=True)
        bench = Bench(programs, Path(place), options.rounds, options.quick)
        begin = time.monotonic()
        for workload in chosen:
            bench.measure(workload)
            found = {key: row for key, row in bench.rows.items() if key[0] == workload.name}
            print(f"{report.rows_tables(found)}\n({time.monotonic() - begin:.0f} s)\n", flush=True)
        if len(chosen) == len(WORKLOADS) and not options.quick:
            write_page(bench.rows, Path(place))
    print(report.targets_table(report.verdicts(bench.rows)))


if __name__ == "__main__":
    main()
