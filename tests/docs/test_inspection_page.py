"""The examples of docs/inspection.md print what the page shows."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from dcmrecv_core import cli
from dcmrecv_core.inspection.explanation import Explanation
from dcmrecv_core.inspection.list_plugins import Entry
from support.data.samples import TEST_FILES
from support.paths import DOCS

PAGE = (DOCS / "inspection.md").read_text()
EXAMPLES = re.findall(r"```console\n\$ dcmrecv (.*)\n((?:.*\n)*?)```", PAGE)
[PLUGIN] = re.findall(r"```python\n((?:.*\n)*?)```", PAGE)


pytestmark = pytest.mark.usefixtures("logging_as_before")


def pattern(expected: str) -> str:
    """A line `...` stands for any lines; times differ."""
    lines = [r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in expected.splitlines()]
    return re.sub(r"\\\(\d+\\\.\d\\ us\\\)", r"\\(\\d+\\.\\d us\\)", "".join(lines))


@pytest.mark.parametrize(("arguments", "expected"), EXAMPLES, ids=[arguments for arguments, _ in EXAMPLES])
def test_examples(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: str,
    expected: str,
) -> None:
    (tmp_path / "mysite.py").write_text(PLUGIN)
    shutil.copy(TEST_FILES / "CT_small.dcm", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mysite", raising=False)
    assert cli.main(shlex.split(arguments)) == 0
    printed = capfd.readouterr().out.replace(str(tmp_path), ".")
    assert re.fullmatch(pattern(expected), printed), printed
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == [
        "CT_small.dcm",
        "mysite.py",
    ]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("name", [*Explanation.__slots__, *Entry.__slots__])
def test_keys_of_the_json_are_described(name: str) -> None:
    assert f"`{name}`" in PAGE
