"""What the process runs: the web server, and a thread that takes a sample for the history every ten seconds."""

from __future__ import annotations

import socket
import threading
import time

from dcmrecv_core import PluginSettings, read_counters
from dcmrecv_metrics.history import STEP, History
from dcmrecv_metrics.pages import Pages
from dcmrecv_metrics.server import Server
from dcmrecv_metrics.source import Source

_POLL = 0.5
"""Seconds between two looks for connections that are open for too long."""


def serve(bound: socket.socket, settings: PluginSettings, name: str) -> None:
    """Serve until SystemExit ends it."""
    source = Source(lambda: read_counters(settings).as_dict())
    history = History()
    threading.Thread(target=_sample, args=(source, history), name="history", daemon=True).start()
    with Server(bound, Pages(source, history), name) as server:
        server.serve_forever(_POLL)


def _sample(source: Source, history: History) -> None:
    due = time.monotonic()
    while True:
        history.add(source.status(), time.monotonic())
        due += STEP
        time.sleep(max(0.0, due - time.monotonic()))
