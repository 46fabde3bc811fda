"""The exit code of `dcmrecvctl status`."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from dcmrecv_core.counters.document import Counters
from dcmrecv_core.ctl import status
from dcmrecv_core.ctl.receiver import Receiver

NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("state", "code"), [("ready", 0), ("not ready", 3), ("draining", 3), ("stopping", 3)])
def test_whether_it_is_ready(state: str, code: int, as_json: bool) -> None:
    counters = Counters(version="0.1.0", pid=1, state=state, not_ready=("why",), started_at=NOW, counting_since=NOW)
    receiver = cast(Receiver, SimpleNamespace(counters=lambda: counters))
    written: list[str] = []
    assert status.run(receiver, argparse.Namespace(json=as_json), written.append) == code
    text = "".join(written)
    assert json.loads(text)["state"] == state if as_json else state in text
