"""A report of each association, for those who answer for the protection of data: what was treated how, and what was
refused. It has no value of any instance."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dcmrecv_core import Association, Refuse, Summary, escape
from dcmrecv_deidentify.encoded.elements import shown
from dcmrecv_deidentify.pseudonyms.key import sync_directory
from dcmrecv_deidentify.treatment import Changed

_MOST_REASONS = 100
"""Different reasons of refusals that are kept; a reason may name a place in an instance."""


class Report:
    """Counts of one association."""

    def __init__(self) -> None:
        self.deidentified = 0
        self.refused: Counter[tuple[int, str]] = Counter()
        self.changed: Changed = Counter()

    def refuse(self, refusal: Refuse) -> None:
        """Count an instance that was refused."""
        reason = refusal.status, refusal.comment
        if reason not in self.refused and len(self.refused) >= _MOST_REASONS:
            reason = refusal.status, "other reasons"
        self.refused[reason] += 1

    def as_dict(self, association: Association, summary: Summary, profile: dict[str, Any]) -> dict[str, Any]:
        """The report as it is written."""
        return {
            "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "association": {
                "id": association.id,
                "calling_ae_title": association.calling_ae_title,
                "called_ae_title": association.called_ae_title,
                "peer_address": association.peer_address,
                "ended": summary.ended.value,
            },
            **profile,
            "instances": {
                "deidentified": self.deidentified,
                "stored": summary.stored,
                "refused": sum(self.refused.values()),
            },
            "refused": [
                {"status": f"{status:04X}", "reason": reason, "count": count}
                for (status, reason), count in self.refused.most_common()
            ],
            "elements": [
                {"element": _named(tag), "action": action, "why": why, "count": count}
                for (tag, action, why), count in sorted(self.changed.items())
            ],
        }


def write(directory: Path, report: dict[str, Any]) -> Path:
    """Write a report into a file of its own, whole and durable when it has its name. Raises OSError."""
    time = str(report["ended_at"]).partition("+")[0].replace(":", "")
    name = f"{time}-{escape(report['association']['id'])}-{secrets.token_hex(4)}.json"
    path, temporary = directory / name, directory / f".{name}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    with open(fd, "w", encoding="utf-8") as stream:
        json.dump(report, stream, indent=1)
        stream.write("\n")
        stream.flush()
        os.fsync(fd)
    os.rename(temporary, path)
    sync_directory(directory)
    return path


def _named(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag

    if not tag:
        return "others"
    return f"{shown(tag)} {keyword_for_tag(tag)}".rstrip()
