"""What a peer sends instead of a date is not kept."""

from __future__ import annotations

import tracemalloc

from dcmrecv_builtin.layout.conversions import time_format


def test_what_is_no_date_is_not_kept() -> None:
    convert = time_format("%Y/%m", "DA")
    assert convert("20260213") == "2026/02"
    tracemalloc.start()
    for number in range(100):
        assert convert(f"{number:06}" + "x" * 100_000) is None
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000
    assert convert("20260213") == "2026/02"
