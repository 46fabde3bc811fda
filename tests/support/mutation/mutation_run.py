"""Mutation run: how many small faults in the protocol core and in publishing do the unit tests find?

`python tests/mutation/mutation.py` makes the sampled mutants, one at a time in each process, in a copy of the sources
that comes before the installed package, and runs the tests of the faulty part until one fails. The result goes to
docs/testing.md; less than the bar is a failure, and so is a survivor that survivors.toml does not explain.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue

from dcmrecv_core.compiled import PARTS
from support.mutation.mutations import Mutant, mutants_of, sample
from support.paths import DOCS, ROOT, TESTS

PACKAGE = "dcmrecv_core"
PAGE = DOCS / "testing.md"
SURVIVORS = TESTS / "mutation" / "survivors.toml"
SEED = 2
BAR = 85.0
SECONDS = 180
"""Seconds for one mutant's tests; longer means an endless loop, or that hypothesis simplifies a failure."""

PROTOCOL_TESTS = (
    "tests/unit/proto/test_associate.py",
    "tests/unit/proto/test_acceptor_reactions.py",
    "tests/unit/proto/test_states.py",
    "tests/unit/proto/test_first_bytes.py",
    "tests/unit/proto/test_services.py",
    "tests/unit/proto/test_dimse_responses.py",
    "tests/unit/proto/test_associate_dcmtk_requests.py",
    "tests/unit/net/worker/test_association_dumps.py",
    "tests/unit/proto/test_acceptor_fuzz.py",
    "tests/unit/proto/test_acceptor_chunking.py",
)
COMPILED_TESTS = ("tests/compiled/test_regular_requests.py",)
"""With the compiled parts, for what the protocol tests, which are run without, do not find."""

PUBLISHING_TESTS = (
    "tests/unit/storage/test_publish.py",
    "tests/unit/storage/test_publish_inherited.py",
    "tests/unit/storage/test_publish_one_flush.py",
    "tests/unit/storage/test_taken_policies.py",
    "tests/unit/storage/test_taken.py",
    "tests/unit/storage/test_temporary.py",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a test failed, and if so which or how."""

    mutant: Mutant
    killed: bool
    how: str


def modules() -> dict[str, tuple[str, ...]]:
    """Each module under mutation, relative to the package, with the tests that should find its faults."""
    core = sorted((ROOT / PACKAGE / "proto").glob("*.py"))
    return {f"proto/{path.name}": PROTOCOL_TESTS for path in core} | {"storage/publish.py": PUBLISHING_TESTS}


def chosen(total: int, seed: int) -> list[Mutant]:
    """About `total` mutants, of each module in proportion to its size, at least ten of each if it has as many."""
    found = {name: mutants_of(name, (ROOT / PACKAGE / name).read_text()) for name in modules()}
    everything = sum(map(len, found.values()))
    counts = {name: max(10, round(total * len(mutants) / everything)) for name, mutants in found.items()}
    return [mutant for name, mutants in found.items() for mutant in sample(mutants, counts[name], seed)]


def run(mutant: Mutant, place: Path) -> Outcome:
    """Put the fault into the copy of the sources in `place`, run the tests, and take it out again."""
    path = place / PACKAGE / mutant.module
    before = path.read_text()
    path.write_text(mutant.source)
    tests = modules()[mutant.module]
    try:
        outcome = _tried(mutant, place, tests, pure="1")
        if not outcome.killed and tests is PROTOCOL_TESTS:
            outcome = _tried(mutant, place, COMPILED_TESTS, pure="")
        return outcome
    finally:
        path.write_text(before)


def _tried(mutant: Mutant, place: Path, tests: Sequence[str], pure: str) -> Outcome:
    pytest = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-x",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    options = ["--tb=no", "--hypothesis-seed=0", "--rootdir", ROOT, "-c", ROOT / "pyproject.toml"]
    # without compiled files: Python compares only their size and second
    own = {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1", "DCMRECV_PURE": pure}
    try:
        done = subprocess.run(
            [*pytest, *options, *tests],
            cwd=ROOT,
            env=os.environ | own,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Outcome(mutant, True, "timeout")
    if done.returncode == 0:
        return Outcome(mutant, False, "survived")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return Outcome(mutant, True, failed[1] if failed else f"exit code {done.returncode}")


def run_all(mutants: Sequence[Mutant], processes: int) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        places: SimpleQueue[Path] = SimpleQueue()
        for number in range(processes):
            place = Path(directory) / str(number)
            for package in (ROOT / PACKAGE, ROOT / "plugins" / "dcmrecv_builtin"):
                shutil.copytree(package, place / package.name, ignore=shutil.ignore_patterns("__pycache__"))
            for part in map(find_spec, PARTS):
                assert part and part.origin, "the compiled parts were not built"
                shutil.copy(part.origin, place.joinpath(*part.name.split(".")[:-1]))
            places.put(place)

        def one(mutant: Mutant) -> Outcome:
            place = places.get()
            try:
                outcome = run(mutant, place)
            finally:
                places.put(place)
            print(
                "killed  " if outcome.killed else "SURVIVED", mutant.line, mutant.name, f"({outcome.how})", flush=True
            )
            return outcome

        with ThreadPoolExecutor(processes) as executor:
            return list(executor.map(one, mutants))


def table(outcomes: Sequence[Outcome], reasons: dict[str, str], seed: int) -> str:
    """The result as it is on the page."""
    killed = sum(outcome.killed for outcome in outcomes)
    lines = [
        f"{killed} of {len(outcomes)} mutants killed, {100 * killed / len(outcomes):.1f} %; seed {seed}.",
        "",
        "| module | mutants | killed |",
        "|---|---:|---:|",
    ]
    for name in dict.fromkeys(outcome.mutant.module for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.mutant.module == name]
        lines.append(f"| {name} | {len(own)} | {sum(outcome.killed for outcome in own)} |")
    lines += ["", "| survivor | why it is left |", "|---|---|"]
    for outcome in outcomes:
        if not outcome.killed:
            name = outcome.mutant.name.replace("|", "\\|").replace(": ", "`: `", 1)
            lines.append(f"| `{name}` | {reasons.get(outcome.mutant.name, 'not explained')} |")
    return "\n".join(lines)


def write_page(text: str) -> None:
    page = PAGE.read_text()
    begin, end = "<!-- mutation run -->\n", "<!-- end of mutation run -->"
    before, rest = page.split(begin)
    PAGE.write_text(f"{before}{begin}{text}\n{end}{rest.split(end)[1]}")


def main() -> int:
    arguments = argparse.ArgumentParser(description="Mutation run over the protocol core and publishing.")
    arguments.add_argument("--total", type=int, default=200, help="about how many mutants")
    arguments.add_argument("--seed", type=int, default=SEED)
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--only", default="", help="only mutants that have this in their name")
    arguments.add_argument("--write", action="store_true", help="put the result into docs/testing.md")
    chose = arguments.parse_args()
    mutants = [mutant for mutant in chosen(chose.total, chose.seed) if chose.only in mutant.name]
    unchanged = run_all(
        [
            Mutant(name, "all of it", 1, "nothing", "nothing", (ROOT / PACKAGE / name).read_text(), 0)
            for name in ("proto/pdu.py", "storage/publish.py")
        ],
        chose.processes,
    )
    if any(outcome.killed for outcome in unchanged):
        print("the tests fail without a mutant as well")
        return 1
    outcomes = run_all(mutants, chose.processes)
    reasons = tomllib.loads(SURVIVORS.read_text())
    result = table(outcomes, reasons, chose.seed)
    print(result)
    if chose.write:
        write_page(result)
    survivors = [outcome for outcome in outcomes if not outcome.killed]
    unexplained = [outcome for outcome in survivors if outcome.mutant.name not in reasons]
    score = 100 * (1 - len(survivors) / len(outcomes))
    return 0 if score >= BAR and not unexplained else 1


if __name__ == "__main__":
    sys.exit(main())
