"""Verdicts, tables, plots and page of the benchmark; nothing is timed here."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from support.bench.chart import Line, chart
from support.bench.contenders import CONTENDERS
from support.bench.load import Result
from support.bench.measure import Row, Sample, summary
from support.bench.report import plots, rows_tables, targets_table, updated, verdicts
from support.bench.series import SERIES
from support.bench.workloads import TARGETS, WORKLOADS, Target
from support.paths import DOCS

PAGE = DOCS / "performance.md"


def rows(*found: tuple[str, str, list[float]], memory: float = 12.5) -> dict[tuple[str, str], Row]:
    """Rows of workload, name and the rates of their rounds."""
    return {
        (workload, name): Row(
            workload, name, [Sample(rate, rate / 25, 1e3 / rate, 0.25, 1234.5) for rate in rates], memory
        )
        for workload, name, rates in found
    }


@pytest.mark.parametrize(
    ("target", "value", "lowest", "highest", "is_met"),
    [
        # Of the ratios of the rounds 4, 2 and 3, not of the medians 300 and 110.
        (Target("", "work", "ours", "dcmrecv", "rate", 3), 3, 2, 4, True),
        (Target("", "work", "ours", "dcmrecv", "rate", 3.1), 3, 2, 4, False),
        (Target("", "work", "dcmrecv", "ours", "time", 3), 3, 2, 4, True),
        (Target("", "work", "dcmrecv", "ours", "time", 2.9), 3, 2, 4, False),
        # Of the p50 of 1000 / rate ms.
        (Target("", "work", "dcmrecv", "ours", "cost", 6.7), 10 - 10 / 3, 100 / 11 - 50 / 11, 10 - 2.5, True),
        (Target("", "work", "ours", "", "seconds", 0.0025), 1 / 300, 1 / 400, 1 / 220, False),
    ],
)
def test_a_target_is_judged_round_by_round(
    target: Target, value: float, lowest: float, highest: float, is_met: bool
) -> None:
    measured = rows(("work", "ours", [400, 220, 300]), ("work", "dcmrecv", [100, 110, 100.0]))
    [verdict] = verdicts(measured, [target])
    assert verdict[1:4] == pytest.approx((value, lowest, highest))
    assert verdict.is_met is is_met


def test_memory_is_the_most_that_ours_needed_anywhere() -> None:
    measured = rows(("a", "ours", [1]), memory=63) | rows(("b", "ours +B", [1]), memory=65)
    measured |= rows(("a", "dcmrecv", [1]), memory=200) | rows(("start", "ours", [1]), memory=0)
    [verdict] = verdicts(measured, [Target("", "", "ours", "", "memory", 64)])
    assert verdict[1:] == (65, 63, 65, False)


def test_a_target_without_its_rows_is_left_out() -> None:
    target = Target("", "work", "ours", "orthanc", "rate", 3)
    assert verdicts({}, [target]) == []
    assert verdicts(rows(("work", "ours", [1])), [target]) == []


def test_tables_show_three_digits_and_keep_their_columns() -> None:
    measured = rows(("39 KB", "ours", [12345.6]), ("39 KB", "dcmrecv", [1000]), ("plugins", "ours --layout {a|b}", [2]))
    lines = rows_tables(measured).splitlines()
    assert "| `ours` | 12346 | 494 | 12.3 | 0.081 | 0.25 | 1234 | 12.5 |" in lines
    assert "| `ours --layout {a\\|b}` | 2 | 0.08 |  | 500 | 0.25 | 1234 | 12.5 |" in lines
    target = Target("much", "39 KB", "ours", "dcmrecv", "rate", 3)
    assert targets_table(verdicts(measured, [target])).splitlines()[2] == (
        "| much | `dcmrecv` | at least 3x | 12.3x | 12.3 .. 12.3 | yes |"
    )


def test_a_measurement_is_summed_up() -> None:
    result = Result(elapsed=2.0, times=[3_000_000, *[1_000_000] * 98, 2_000_000])
    assert summary(result, size=1000, cpu=0.5) == pytest.approx((50, 0.05, 1, 2, 5))


def test_every_target_names_rows_that_are_measured() -> None:
    measured = {(workload.name, row) for workload in WORKLOADS for row in workload.rows}
    for target in TARGETS:
        if target.measure != "memory":
            assert (target.workload, target.ours) in measured
        if target.other:
            assert (target.workload, target.other) in measured


def test_every_workload_names_existing_receivers_and_instances() -> None:
    assert {row.split()[0] for workload in WORKLOADS for row in workload.rows} == set(CONTENDERS)
    assert {workload.series for workload in WORKLOADS} == {*SERIES, ""}
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS)


def test_requests_are_of_one_length_and_differ_inside() -> None:
    requests = SERIES["39 KB"]().requests(16384)
    assert len({len(request) for request, _ in requests}) == 1
    assert len({places[1] for _, places in requests}) > 1
    for request, places in requests:
        assert all(request[place : place + 14] == b"20040119072730" for place in places)


def test_a_whole_run_gives_every_plot() -> None:
    measured = rows(*((workload.name, row, [100.0 + 7 * len(row)]) for workload in WORKLOADS for row in workload.rows))
    drawn = plots(measured)
    page = PAGE.read_text()
    assert sorted(drawn) == ["durable-associations.svg", "throughput-associations.svg", "throughput-size.svg"]
    assert all(f"(plots/{name})" in page for name in drawn)
    assert all(ElementTree.fromstring(content).tag.endswith("svg") for content in drawn.values())
    assert plots(rows(("39 KB", "ours", [1]))) == {}


def test_labels_of_lines_that_end_together_do_not_overlap() -> None:
    lines = [Line(name, [(1, 10), (2, 20)], "#000000") for name in ("a", "b", "c & d")]
    document = ElementTree.fromstring(chart("t", "x", "y", lines, {1: "1", 2: "2"}))
    texts = {text.text: float(text.get("y", "0")) for text in document.iter("{http://www.w3.org/2000/svg}text")}
    assert sorted((texts["b"] - texts["a"], texts["c & d"] - texts["b"])) == [16, 16]


def test_only_what_was_measured_is_replaced_on_the_page() -> None:
    page = "head\n<!-- measured: rows -->\nold\n<!-- end -->\ntail\n"
    new = updated(page, {"rows": "| new |\n"})
    assert new == "head\n<!-- measured: rows -->\n\n| new |\n\n<!-- end -->\ntail\n"
    assert updated(new, {"rows": "| new |\n"}) == new
    with pytest.raises(ValueError, match="'else'"):
        updated(page, {"else": ""})


def test_the_page_has_a_place_for_everything() -> None:
    updated(PAGE.read_text(), dict.fromkeys(("targets", "machine", "receivers", "rows"), ""))
