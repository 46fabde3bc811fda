"""Names made of the SOP Instance UID."""

from __future__ import annotations

import re

import pytest

from dcmrecv_builtin import instance_uid
from dcmrecv_core import Name
from support.plugins import FakeInstance


@pytest.mark.parametrize(
    ("prefix", "uid", "name"),
    [
        ("CT", "1.2.3", "CT.1.2.3"),
        ("UNKNOWN", "1.2.3", "UNKNOWN.1.2.3"),
        ("CT", "", "CT."),
        ("CT", "1.2 .3", "CT.1.2 .3"),
    ],
)
def test_instance_uid(prefix: str, uid: str, name: str) -> None:
    instance = FakeInstance(modality_prefix=prefix, uid=uid)
    assert instance_uid.choose_filename(instance) == Name(name, by_default="overwrite")


def test_instance_uid_with_unfit_characters() -> None:
    names = [instance_uid.choose_filename(FakeInstance(uid=uid)).text for uid in ("1/2", "1_2", "1~2", "1%2", "../2")]
    assert names[1] == "CT.1_2"
    assert len(set(names)) == 5
    assert all(re.fullmatch(r"CT\.[0-9._]+~[0-9a-f]{8}", name) for name in (names[0], *names[2:]))
