"""Writes docs/reliability.md: each promise, how it is tested, what a run measured, what other receivers did.

`python tests/promises/report.py RESULTS.json` takes the results of a run with --results; the first
paragraph of a test module's docstring says how the promise is tested. `tox -e endurance` does both.
"""

from __future__ import annotations

import ast
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.paths import DOCS, TESTS
from support.promises.promises import GROUPS, PROMISES

PAGE = DOCS / "reliability.md"
FOLDERS = ("promises", "cluster")
PEERS = {"dcmrecv": "DCMTK dcmrecv", "storescp": "DCMTK's storescp", "pynetdicom": "pynetdicom's storescp"}

HEAD = """\
# Reliability

What the receiver promises, how each promise is tested, and what the last full run measured. The tests are in
`tests/promises` and `tests/cluster`, one module a promise, named after its number; `tox -e promises` and
`tox -e cluster` run them with reduced counts, `tox -e endurance` with full ones, and writes this page. For each promise
the test itself is tested: a patch from `tests/promises/faults` breaks the receiver, and the test must fail.

Where possible, the same is done to other receivers, and their results stand beside ours. No other receiver makes these
promises; what they do is a fault only where DICOM says so. The [threat model](threat-model.md) says what is defended
against whom.
"""


def how(number: int) -> tuple[str, str]:
    """The module that tests a promise, and the first paragraph of its docstring; "" without one."""
    modules = sorted(path for folder in FOLDERS for path in (TESTS / folder).glob(f"test_{number:02}_*.py"))
    if not modules:
        return "", ""
    text = ast.get_docstring(ast.parse(modules[0].read_text())) or ""
    return modules[0].name, " ".join(text.split("\n\n")[0].split())


def section(number: int, result: dict[str, Any]) -> str:
    """One promise: its text, its test, its figures, those of the peers."""
    module, test = how(number)
    lines = [f"### Promise {number}", "", PROMISES[number], ""]
    if module:
        lines.append(f"- Test: {test} (`{module}`)")
    if result.get("result") in ("kept", "BROKEN"):
        measured = "; ".join(result["figures"]) or f"{result['tests']} tests"
        lines.append(f"- Result: **{result['result'].lower()}**: {measured}")
    else:
        lines.append("- Result: not measured")
    lines += [f"- {PEERS[peer]}: {'; '.join(did)}" for peer, did in result.get("peers", {}).items() if did]
    return "\n".join(lines) + "\n"


def page(run: dict[str, Any]) -> str:
    """The whole page; a promise that is not in `run` was not measured."""
    results = run["promises"]
    kept = sum(result["result"] == "kept" for result in results.values())
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    counts = "full counts" if run["full"] else "reduced counts"
    parts = [HEAD, f"The last run, with {counts}: {kept} of {len(PROMISES)} promises kept ({machine}).\n"]
    for group, numbers in GROUPS.items():
        parts.append(f"## {group}\n")
        parts += [section(number, results.get(str(number), {})) for number in numbers if number in PROMISES]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(Path(sys.argv[1]).read_text())))
