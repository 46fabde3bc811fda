"""Names made of the time of reception."""

from __future__ import annotations

from datetime import datetime

from dcmrecv_builtin import system_time
from support.plugins import FakeInstance


def test_system_time() -> None:
    before = datetime.now()
    name = system_time.choose_filename(FakeInstance(modality_prefix="UNKNOWN"))
    stamp, prefix = name.text.rsplit(".", 1)
    assert before <= datetime.strptime(stamp, "%Y%m%d%H%M%S.%f") <= datetime.now()
    assert (len(stamp), prefix, name.on_exists) == (21, "UNKNOWN", "retry")
