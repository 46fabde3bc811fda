"""What is not foreseen, and what may not be changed: refused, without a value in the log."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from treated import Site

from dcmrecv_core.testing import fake_instance, sample_dataset
from dcmrecv_deidentify.treatment import Treatment

SITES = Callable[..., Site]


def test_a_failure_says_no_value(
    site: SITES, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Treatment, elements: list[tuple[int, str, bytes]], *, keeps_texts: bool) -> None:
        raise ValueError(f"invalid: {elements}")

    monkeypatch.setattr(Treatment, "treat", fail)
    refusal = site().judge(sample_dataset(PatientName="Secret^Name"))
    assert refusal is not None
    assert (refusal.status, refusal.comment) == (0x0110, "not de-identified: ValueError")
    assert "ValueError" in caplog.text and "in fail" in caplog.text
    assert "Secret" not in caplog.text


def test_what_may_not_be_changed(site: SITES) -> None:
    """As under --bit-preserving."""
    refusal = site().plugin.receive(fake_instance(sample_dataset(), in_receive=False))
    assert refusal is not None and refusal.status == 0x0110
    assert "bit-preserving" in refusal.comment
