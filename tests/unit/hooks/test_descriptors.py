"""Whether a process has run out of descriptors, and which it has open."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from dcmrecv_core.hooks.descriptors import DescriptorGuard, describe_descriptors
from support.paths import ROOT

EMFILE = OSError(errno.EMFILE, "Too many open files")


def caused_by(cause: BaseException) -> ValueError:
    error = ValueError("cannot open")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [EMFILE, caused_by(EMFILE), caused_by(caused_by(EMFILE))])
def test_the_limit_of_the_process_is_noticed(error: BaseException) -> None:
    guard = DescriptorGuard()
    assert not guard.ran_out
    assert guard.notice(error)
    assert guard.ran_out


@pytest.mark.parametrize("number", [errno.ENFILE, errno.ENOSPC, errno.EACCES])
def test_fault_16_the_limit_of_the_system_replaces_no_worker(number: int) -> None:
    guard = DescriptorGuard()
    useless: list[bool] = []
    guard.on_useless = lambda: useless.append(True)
    for _ in range(3):
        guard.refused(caused_by(OSError(number, "")))
    assert not guard.ran_out
    assert useless == []


def test_the_second_instance_that_is_refused_makes_the_process_useless() -> None:
    guard = DescriptorGuard()
    useless: list[bool] = []
    guard.on_useless = lambda: useless.append(True)
    guard.notice(EMFILE)
    guard.refused(EMFILE)
    guard.refused(ValueError())
    assert useless == []
    for _ in range(2):
        guard.refused(EMFILE)
    assert useless == [True]


def test_kinds_are_counted_without_names() -> None:
    code = """
import os, resource
from dcmrecv_core.hooks.descriptors import describe_descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
pipe, kept = os.pipe(), []
for _ in range(20):
    kept.append(os.open("/dev/null", os.O_RDONLY))
print(describe_descriptors())
try:
    while True:
        os.dup(0)
except OSError:
    print(describe_descriptors())
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=20, env=env, check=True, **pipes)
    assert done.stdout == "26 are open, limit 40: 23 files, 3 pipes\nall 40 are open\n"
    assert "limit" in describe_descriptors()
