"""Heartbeats of workers, in shared memory."""

from __future__ import annotations

import os

from dcmrecv_core.net.heartbeat import HeartbeatBoard


def test_heartbeat_crosses_processes() -> None:
    board = HeartbeatBoard(2)
    _, other = board.take(1.0)
    number, heartbeat = board.take(5.0)
    assert (heartbeat.last, heartbeat.in_hook, heartbeat.overdue) == (5.0, False, False)
    pid = os.fork()
    if not pid:
        heartbeat.beat(123456.75)
        heartbeat.flag[0] = 1
        os._exit(0)
    os.waitpid(pid, 0)
    assert (heartbeat.last, heartbeat.in_hook, heartbeat.overdue) == (123456.75, True, False)
    heartbeat.flag[0] = 127
    heartbeat.mark_overdue()
    assert heartbeat.hook == 127
    assert (heartbeat.in_hook, heartbeat.overdue) == (True, True)
    heartbeat.flag[0] = 0
    assert (heartbeat.in_hook, heartbeat.overdue) == (False, False), "the end of a hook is the end of its being overdue"
    assert (other.last, other.in_hook) == (1.0, False)
    heartbeat.mark_overdue()
    board.give_back(number)
    assert board.take(7.0)[0] == number
    assert (heartbeat.last, heartbeat.in_hook, heartbeat.overdue) == (7.0, False, False)
