"""Both programs for the rows, and the summary of the comparison."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from support.parity.profiles import profiles
from support.programs.fixtures import certificates, config, directory, original, ours, program, started
from support.programs.receivers import Receiver, start_original, start_ours

__all__ = ["certificates", "config", "directory", "original", "ours", "profiles", "program", "started"]

pytest.register_assert_rewrite("support.parity.rules")


class Both(NamedTuple):
    """Ours and DCMTK dcmrecv, started with the same options."""

    ours: Receiver
    original: Receiver


@pytest.fixture(scope="module")
def both(program: Path) -> Iterator[Callable[..., Both]]:
    """`both(*arguments)`: two receivers that live until the module's last test; the same two for the same arguments.

    DCMTK dcmrecv serves one association at a time: a row closes its connection before the next one begins.
    """
    running: dict[tuple[str, ...], Both] = {}
    with ExitStack() as stack:

        def start(*arguments: object) -> Both:
            key = tuple(map(str, arguments))
            if key not in running:
                home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parity-")))
                (home / "ours").mkdir()
                (home / "original").mkdir()
                ours = start_ours(program, home / "ours", *arguments)
                stack.callback(_end, ours)
                original = start_original(home / "original", *arguments)
                stack.callback(_end, original)
                running[key] = Both(ours, original)
            return running[key]

        yield start


def _end(receiver: Receiver) -> None:
    code = receiver.end()
    assert code in (None, receiver.clean_exit), f"ended with {code}:\n{receiver.log}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and "row" in item.callspec.params:
            row = item.callspec.params["row"]
            item.add_marker(pytest.mark.dcmtk)
            item.user_properties.append(("parity", (row.kind, row.rule, row.differs)))  # reaches the reports of xdist


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            if report.when == "call":
                rows += [value for name, value in report.user_properties if name == "parity"]
    kinds = Counter(kind for kind, _, _ in rows)
    differences = sorted((kind, rule, differs) for kind, rule, differs in rows if differs)
    terminalreporter.section("parity with DCMTK dcmrecv")
    listed = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
    terminalreporter.line(f"parity: {len(rows)} rows compared ({listed}), {len(differences)} intended differences")
    for kind, rule, differs in differences:
        terminalreporter.line(f"  {kind}: {rule}: {differs}")
