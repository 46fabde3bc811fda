"""The page in docs/ says what the code does."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from dcmrecv_commitment import NOT_AUTHORIZED, at_once, evaluation, folder, information, peers, reports, requests, work
from dcmrecv_commitment.peers import Peer

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "commitment.md").read_text()
CONFORMANCE = (ROOT / "docs" / "conformance.md").read_text()
README = (Path(__file__).parents[1] / "README.md").read_text()
WORDS = " ".join(PAGE.split())


def first_cells(header: str) -> list[str]:
    """Of the table whose first line begins so."""
    lines = PAGE[PAGE.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [line.strip("|").split("|")[0] for line in lines]


def test_every_key_is_there() -> None:
    shown = re.findall(r"`(\w+)`", " ".join(first_cells("| key |")))
    assert set(shown) == {field.name for field in fields(Peer)}


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", PAGE + README, re.DOTALL), ids=["page", "README"])
def test_settings(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_tls", lambda peer: None)  # its files are elsewhere
    tables = tomllib.loads(text)["plugins"]["commitment"]["peers"]
    assert len(peers.routes([Peer(**table) for table in tables])) == len(tables)


def test_the_log_line() -> None:
    [line] = re.findall(r"```text\nI: (.*)\n```", PAGE)
    template = "storage commitment for %s, transaction %s: %d instances committed, %d failed; answered with status %04X"
    pattern = re.sub(r"%\w+", r"(\\S+)", re.escape(template).replace("%04X", "%X"))
    assert re.fullmatch(pattern, line)
    assert template in Path(str(information.__file__)).read_text()


def test_statuses_and_reasons() -> None:
    reasons = re.findall(r"\| ([0-9A-F]{4}) ", PAGE[PAGE.index("| an instance |") :].split("\n\n")[0])
    expected = {
        evaluation.PROCESSING_FAILURE,
        evaluation.NO_SUCH_INSTANCE,
        evaluation.RESOURCE_LIMITATION,
        evaluation.CLASS_NOT_SUPPORTED,
        evaluation.CLASS_CONFLICT,
        evaluation.DUPLICATE_TRANSACTION,
    }
    assert {int(reason, 16) for reason in reasons} == expected
    assert [int(each, 16) for each in re.findall(r"Failure Reasons \| (.*) \|", CONFORMANCE)[0].split(", ")] == sorted(
        expected
    )
    statuses = {int(each, 16) for cell in first_cells("| status |") for each in re.findall(r"[0-9A-F]{4}", cell)}
    refusals = re.findall(r"0x0[0-9A-F]{3}\b", Path(str(requests.__file__)).read_text().split("annex C")[0])
    own = {int(each, 16) for each in refusals if int(each, 16) > 0xFF}
    assert statuses == {0, NOT_AUTHORIZED, 0x0110, *own}


def test_numbers() -> None:
    assert f"more than {requests.MOST_REFERENCES} instances in one request" in WORDS
    assert (
        f"if the index needs more than {at_once.PATIENCE:.0f} s, for more than {at_once.MOST_AT_ONCE} instances"
        in WORDS
    )
    assert f"then, {at_once.HOLD:.0f} s after the request" in WORDS
    assert f"{folder.MOST_OPEN} requests of this title have no answer yet" in WORDS
    assert (work.FIRST_PAUSE, work.LONGEST_PAUSE) == (1, 300)
    assert "after 1 s, then 2 s, up to 5 minutes" in WORDS
    assert f"| time-outs | {reports.TIMEOUT:.0f} s each" in CONFORMANCE
    assert requests.INSTANCE in PAGE and requests.STORAGE_COMMITMENT in CONFORMANCE
