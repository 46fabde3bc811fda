"""Who has sent how much."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dcmrecv_index.database import Database
from dcmrecv_index.find import in_period, shown_time

COLUMNS = ("calling_ae_title", "peer_address", "studies", "instances", "bytes", "first", "last")

_SENDERS = """
SELECT instances.calling_ae_title, instances.peer_address, count(DISTINCT series.study_instance_uid), count(*),
    sum(instances.size), min(instances.received), max(instances.received)
FROM instances JOIN series ON series.series_instance_uid = instances.series_instance_uid
{conditions}
GROUP BY instances.calling_ae_title, instances.peer_address
ORDER BY 5 DESC, 1, 2
"""


def senders(
    database: Database, *, since: datetime | None = None, until: datetime | None = None
) -> list[dict[str, Any]]:
    """For each calling title and address what it has sent from `since` on and before `until`, as far as it is still in
    the index, the most bytes first. Both are None for files that a rescan has found. Raises DatabaseError."""
    conditions, values = in_period(since, until)
    query = _SENDERS.format(conditions=f"WHERE {' AND '.join(conditions)}" if conditions else "")
    rows = []
    for row in database.execute(query, values):
        found = dict(zip(COLUMNS, row, strict=True))
        found["bytes"] = int(found["bytes"])
        found["first"], found["last"] = shown_time(found["first"]), shown_time(found["last"])
        rows.append(found)
    return rows
