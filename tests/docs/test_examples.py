"""Every example in docs/ is executed, or has the reason for the contrary above it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.settings.settings import Settings
from support.docs.blocks import BLOCKS, DOCS, PAGES, Block, blocks_of
from support.docs.transcripts import Session, steps_of

ELSEWHERE = {
    "actions.md": {"json"},  # plugins/dcmrecv-actions/tests/test_page.py
    "cluster.md": {"console", "haproxy", "sh", "text", "yaml"},  # tests/e2e/test_cluster_files.py
    "commitment.md": {"toml", "text"},  # plugins/dcmrecv-commitment/tests/test_page.py
    "debugging.md": {"text"},  # tests/e2e/test_plugins_dir.py, tests/e2e/test_plugin_messages.py
    "deidentify.md": {"toml"},  # plugins/dcmrecv-deidentify/tests/test_page.py
    "events.md": {"toml"},  # plugins/dcmrecv-events/tests/test_page.py
    "forward.md": {"toml"},  # plugins/dcmrecv-forward/tests/test_page.py
    "hooks.md": {"python"},  # test_hooks_page.py
    "inspection.md": {"python", "console"},  # tests/docs/test_inspection_page.py
    "load-balancers.md": {"haproxy"},  # tests/e2e/test_proxy_protocol.py
    "metrics.md": {"console", "toml", "yaml", "text"},  # plugins/dcmrecv-metrics/tests/test_docs.py
    "logging.md": {"properties", "toml", "json", "text"},  # test_logging_page.py
    "retention.md": {"text"},  # plugins/dcmrecv-retention/tests/test_plugin.py
    "s3.md": {"console", "toml"},  # plugins/dcmrecv-s3/tests/test_page.py
    "settings.md": {"text"},  # tests/docs/test_settings_page.py
    **{page: {"python"} for page in PAGES if page.startswith("cookbook/")},  # test_cookbook.py
}
AT_MOST_NOT_RUN = 11


def executed_here(block: Block) -> bool:
    if block.not_run or block.language in ELSEWHERE.get(block.page, ()):
        return False
    return block.language in ("console", "toml") or block.is_test or bool(block.file)


def write_files(page: str, directory: Path) -> None:
    for block in blocks_of(page):
        if block.file:
            path = directory / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_each_is_executed_or_has_a_reason(block: Block) -> None:
    elsewhere = block.language in ELSEWHERE.get(block.page, ())
    assert executed_here(block) or elsewhere or block.not_run
    assert not (executed_here(block) and block.not_run)


def test_few_are_not_executed() -> None:
    assert sum(bool(block.not_run) for block in BLOCKS) <= AT_MOST_NOT_RUN


def test_files_are_used() -> None:
    """A plugin that no command or settings file names would not be executed."""
    for block in filter(executed_here, BLOCKS):
        if block.file and block.language == "python":
            name = block.file.partition(".")[0]
            using = [other.text for other in blocks_of(block.page) if other.language in ("console", "toml")]
            assert any(name in text or name.replace("/", ".") in text for text in using), block


def settings(page: str) -> list[Block]:
    return [block for block in blocks_of(page) if block.language == "toml" and executed_here(block)]


@pytest.mark.parametrize("page", [page for page in PAGES if settings(page)])
def test_settings_are_read(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    [packages] = Path(environment["VIRTUAL_ENV"]).glob("lib/python*/site-packages")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("ARCHIVE_PASSWORD", "PSEUDONYM_KEY"):
        monkeypatch.setenv(name, "secret")
    write_files(page, tmp_path)
    for block in settings(page):
        Path("these.toml").write_text(block.text)
        line = Configuration("dcmrecv", ["--settings", "these.toml", "104"], port_optional=False).line
        assert line.settings != Settings(port=104), block


def transcripts(page: str) -> list[Block]:
    return [block for block in blocks_of(page) if block.language == "console" and executed_here(block)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page in PAGES if transcripts(page)])
def test_commands_print_what_is_shown(page: str, tmp_path: Path, environment: dict[str, str]) -> None:
    directory = tmp_path / "home"
    directory.mkdir()
    write_files(page, directory)
    session = Session(directory, environment)
    try:
        for block in transcripts(page):
            for step in steps_of(block.text):
                session.run(step)
    finally:
        session.end_receiver()


@pytest.mark.timeout(400)
def test_tests_pass(tmp_path: Path, environment: dict[str, str]) -> None:
    tests = [block for block in BLOCKS if block.is_test and executed_here(block)]
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["dcmrecv_core.testing"]\n')
    for number, block in enumerate(tests):
        (tmp_path / f"test_block{number}.py").write_text(block.text)
    done = subprocess.run(
        ["python", "-m", "pytest", "-q", "-W", "error"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert f"{sum(block.text.count('def test_') for block in tests)} passed" in done.stdout, done.stdout + done.stderr


PATH_OF_A_VALUE = re.compile(
    r"(?:\bPath\(|\bopen\(|\bsave(?:_copy)?\(| / ).*"
    r"\b(?:event|study|series|instance|association|request|command)\.(?:\w*uid|\w*title|patient_id|modality|get\()"
)


def test_no_example_lets_a_sender_choose_a_path() -> None:
    made = [
        f"{block}: {line.strip()}"
        for block in BLOCKS
        if block.language == "python"
        for line in block.text.splitlines()
        if PATH_OF_A_VALUE.search(line) and "escape" not in line
    ]
    assert not made, "such a text may be ../../etc: escape it"


def test_no_example_hides_in_indentation() -> None:
    """An indented block has no language and would not be found; one line is a notation. The page of public names has
    signatures in such blocks."""
    for name, text in PAGES.items():
        if name == "plugins/api.md":
            continue
        outside = [line for line in "".join(text.split("```")[::2]).splitlines() if line.startswith("    ")]
        assert len(outside) <= 1, (name, outside)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (DOCS.parent / "mkdocs.yml").read_text().partition("nav:\n")[2]
    for page in PAGES:
        assert f": {page}\n" in navigation
