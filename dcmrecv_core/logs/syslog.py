"""Syslog: the local one through its socket, or a remote one by UDP in the format of RFC 5424.

Neither can block us; Python's `syslog` module would wait for a local one that does not read.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Any, Final

from dcmrecv_core.logs.console import complain
from dcmrecv_core.logs.names import dcmtk_name
from dcmrecv_core.logs.records import BytesHandler, level_name

LOCAL: Final = "/dev/log"
PORT: Final = 514

_NAMES: Final = """kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp security console -
local0 local1 local2 local3 local4 local5 local6 local7"""
FACILITIES: Final = {name: code << 3 for code, name in enumerate(_NAMES.split())}

_SEVERITIES: Final = {"FATAL": 2, "ERROR": 3, "WARN": 4, "INFO": 6, "DEBUG": 7, "TRACE": 7}


class SyslogHandler(BytesHandler):
    """One datagram a record. `host` is empty for the local syslog; raises OSError if it has no address."""

    def __init__(self, identity: str, facility: int, host: str = "", port: int = PORT, path: str = LOCAL) -> None:
        super().__init__()
        self._identity = identity
        self._facility = facility
        self._remote = bool(host)
        self._complained = False
        self._host_name = socket.gethostname()
        self._address: Any = path
        family: int = socket.AF_UNIX
        if host:
            family, *_, self._address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        message = self.encoded(record)
        if message is None:
            return
        try:
            self._socket.sendto(self._header(record).encode() + message.rstrip(b"\n"), self._address)
        except OSError as error:
            if not self._complained:
                complain(f"SysLogAppender: cannot be written: {error.strerror}")
            self._complained = True
            return
        self._complained = False

    def _header(self, record: logging.LogRecord) -> str:
        priority = self._facility | _SEVERITIES[level_name(record.levelno)]
        if not self._remote:
            return f"<{priority}>{time.strftime('%b %e %H:%M:%S', time.localtime(record.created))} {self._identity}: "
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        millis = int(record.created * 1000) % 1000
        return (
            f"<{priority}>1 {when}.{millis:03d}Z {self._host_name} {self._identity} {os.getpid()} "
            f"{dcmtk_name(record.name)} - "
        )

    def close(self) -> None:
        self._socket.close()
        super().close()
