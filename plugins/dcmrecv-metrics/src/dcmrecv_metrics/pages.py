"""What is answered at each path."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import ClassVar

from dcmrecv_metrics.history import History
from dcmrecv_metrics.page import page
from dcmrecv_metrics.prometheus import metrics_page
from dcmrecv_metrics.source import Source

_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code and what goes with it."""

    body: bytes
    content_type: str = _TEXT
    code: HTTPStatus = HTTPStatus.OK


class Pages:
    """The pages about the receiver of `source`, with the last hour of `history`; each may be asked in any thread."""

    def __init__(self, source: Source, history: History) -> None:
        self._source = source
        self._history = history

    def answer(self, path: str, accept: str) -> Answer:
        """The answer to a request of `path`; `accept` is the header of that name."""
        path = path.partition("?")[0]
        if path == "/style.css":
            return Answer(_style(), "text/css; charset=utf-8")
        if path not in self._PATHS:
            known = "".join(f"{known}\n" for known in self._PATHS)
            return Answer(f"not found; there is\n{known}".encode(), code=HTTPStatus.NOT_FOUND)
        return self._PATHS[path](self, accept)

    def _people(self, accept: str) -> Answer:
        return Answer(page(self._source.status(), self._history.intervals(time.monotonic()), _now()).encode(), _HTML)

    def _metrics(self, accept: str) -> Answer:
        return Answer(*metrics_page(self._source.status(), _now(), accept))

    def _live(self, accept: str) -> Answer:
        """Without the document, which has to wait if the disk of the state directory hangs."""
        return Answer(b"alive\n")

    def _ready(self, accept: str) -> Answer:
        status = self._source.status()
        if status["state"] == "ready":
            return Answer(b"ready\n")
        lines = dict.fromkeys([status["state"], *status["not_ready"]])  # the state may be among the reasons
        return Answer("".join(f"{line}\n" for line in lines).encode(), code=HTTPStatus.SERVICE_UNAVAILABLE)

    def _document(self, accept: str) -> Answer:
        return Answer(json.dumps(self._source.status(), indent=1).encode() + b"\n", "application/json")

    _PATHS: ClassVar[dict[str, Callable[[Pages, str], Answer]]] = {
        "/": _people,
        "/metrics": _metrics,
        "/livez": _live,
        "/readyz": _ready,
        "/status.json": _document,
    }


@cache
def _style() -> bytes:
    return files(__package__).joinpath("style.css").read_bytes()


def _now() -> datetime:
    return datetime.now().astimezone()
