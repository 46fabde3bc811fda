"""The model of docs/scaling.md is computed from the costs on the same page."""

from __future__ import annotations

import re
from math import ceil

import yaml

from support.docs.blocks import PAGES
from support.paths import DOCS

PAGE = PAGES["scaling.md"]
VALUES = yaml.safe_load((DOCS / "deploy" / "chart" / "values.yaml").read_text())
INSTANCE_BYTES = 530_000
ANSWER_SECONDS = 0.1
PROCESSORS, PLACES, USED = 4, 64, 0.6
"""Of a node; which part of them is used."""


def table(name: str) -> list[list[str]]:
    """The cells of the rows below the heading and its line, after the mark of this name."""
    [text] = re.findall(rf"^<!-- {name} -->\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    rows: list[list[str]] = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return rows[2:]


def cost(name: str) -> tuple[float, float]:
    """For each instance, and for each association."""
    [row] = [row for row in table("costs") if row[0] == name]
    return float(row[1].split()[0]), float(row[2].split()[0])


def row(associations: int, instances_each: int) -> list[str]:
    instances = associations * instances_each

    def total(name: str) -> float:
        each_instance, each_association = cost(name)
        return each_instance * instances + each_association * associations

    processors, places = total("nodes, with the index") / 1000, instances * ANSWER_SECONDS
    nodes = max(ceil(processors / (PROCESSORS * USED)), ceil(places / (PLACES * USED))) + 1
    cells = [
        f"{associations:,} of {instances_each}",
        f"{instances:,}",
        f"{instances * INSTANCE_BYTES * 8 / 1e9:.2g} Gbit/s",
        f"{processors:.1f}",
        f"{places:,.0f}",
        f"{nodes}",
        f"{total('database') / 1000:.2f}",
        f"{total('transactions in the database'):,.0f}",
        f"{total('requests to the bucket'):,.0f}",
    ]
    return [cell.replace(",", " ") for cell in cells]


def test_the_model() -> None:
    computed = [row(associations, each) for associations in (10, 100, 1000) for each in (1, 20)]
    assert table("model") == computed, "\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in computed)


def test_what_it_assumes_is_on_the_page() -> None:
    for text in (f"within {ANSWER_SECONDS} s", f"nodes of {PROCESSORS} processors with {PLACES} places", "60 %"):
        assert text in PAGE.replace("\n", " "), text
    assert f"| `max_associations` | an integer from 1 to 1024 | `{PLACES}` |" in PAGES["settings.md"]
    assert f"images of {INSTANCE_BYTES // 1000} KB" in PAGE
