"""`--log-format json`: each record is one JSON object on one line."""

from __future__ import annotations

import json
import logging
from datetime import datetime

from dcmrecv_core.logs.records import escape_controls, level_name, traceback_of
from dcmrecv_core.logs.serving import served_of


class JsonFormatter(logging.Formatter):
    """`time` (ISO 8601 with offset), `level`, `logger`, `message`, what is known of the sender, `exception`.

    All characters outside ASCII are escaped, so that a line is text for every reader.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone()
        entry = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": level_name(record.levelno),
            "logger": escape_controls(record.name),
            "process": record.process,
            "message": record.getMessage(),
            **served_of(record),
        }
        if trace := traceback_of(record, self):
            entry["exception"] = trace
        return json.dumps(entry)
