"""PS3.15 table E.3.10-1: private elements that are thought to hold nothing that identifies.

Of the table only numbers and code strings are here, whose values can be checked; texts, sequences and bulk data go
(note 2 of PS3.15 section E.3.10).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache

from dcmrecv_deidentify.profile.table import read_data


@cache
def safe_elements() -> Mapping[tuple[str, int], tuple[str, str]]:
    """VR and value multiplicity by private creator, and group with the last byte of the element."""
    return {
        (row["creator"], int(row["group"], 16) << 16 | int(row["element"], 16)): (row["vr"], row["vm"])
        for row in csv.DictReader(read_data("safe_private.tsv").splitlines(), delimiter="\t")
    }
