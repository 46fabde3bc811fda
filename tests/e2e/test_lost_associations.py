"""A worker is killed in the middle of an association, or crashes in a plugin: another one tells the plugins, once."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.data.datasets import instance_of
from support.data.samples import Sample
from support.programs.receivers import Receiver, Start, until
from support.protocol.pdus import command_set, data_pdus, store_rq
from support.protocol.raw_sender import RawAssociation, send
from support.uids import CT, EXPLICIT_LE

ENDS = """\
import json, os

from dcmrecv_core import hookimpl


@hookimpl
def receive(instance):
    if instance.association.calling_ae_title == "CRASHES":
        os.abort()


@hookimpl
def association_ended(association, summary):
    line = json.dumps([
        association.calling_ae_title, summary.ended.value, summary.stored, len(association.proposed),
        association.implementation_version_name, os.getpid(),
    ])
    with open("ends", "a") as file:
        file.write(line + "\\n")
    if association.calling_ae_title == "CRASHES":
        os.abort()
"""


def ends(receiver: Receiver) -> list[list[Any]]:
    path = Path(receiver.directory, "ends")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def receiver(ours: Start) -> Receiver:
    return ours("--plugin", "ends.py", files={"ends.py": ENDS})


def sample(number: int) -> Sample:
    return Sample("", CT, f"1.2.{number}", EXPLICIT_LE, instance_of(CT, f"1.2.{number}"))


def test_a_killed_worker(receiver: Receiver) -> None:
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], calling="KILLED") as association:
        worker = receiver.worker_serving(association.local_port)
        os.kill(worker, signal.SIGKILL)
        [end] = until(lambda: ends(receiver), "somebody tells", log=lambda: receiver.log)
    assert end[:4] == ["KILLED", "lost", 0, 1]
    assert end[5] not in (worker, receiver.process.pid)
    assert send(receiver.port, [sample(1)], calling="NEXT") == [0]
    until(lambda: len(ends(receiver)) == 2, "the next one ends")
    assert [end[:3] for end in ends(receiver)] == [["KILLED", "lost", 0], ["NEXT", "released", 1]]


def test_a_plugin_that_crashes_each_time(receiver: Receiver) -> None:
    """In `receive`, and then when it is told of that: none is told twice."""
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], calling="CRASHES") as association:
        association.send(b"".join(store()))
        until(lambda: len(ends(receiver)) == 1, "somebody tells", log=lambda: receiver.log)
    assert send(receiver.port, [sample(2)], calling="NEXT") == [0]
    until(lambda: len(ends(receiver)) == 2, "the next one ends")
    assert [end[:3] for end in ends(receiver)] == [["CRASHES", "lost", 0], ["NEXT", "released", 1]]


def store() -> list[bytes]:
    command = data_pdus(1, [command_set(store_rq(CT, "1.2.3"))], is_command=True)
    return [*command, *data_pdus(1, [instance_of(CT, "1.2.3")], is_command=False)]
