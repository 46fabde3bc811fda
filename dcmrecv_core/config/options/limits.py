"""The part of the table of options that limits what peers, data and plugins may take.

Each has a default that no ordinary sender meets. Time limits of the protocol are dcmrecv's own, -ta and -td.
"""

from __future__ import annotations

from dcmrecv_core.config.options.option import Option, Value

_SECTION = "limits"

_ASSOCIATIONS = "associations"
_MESSAGES = "messages and instances"
_WORKERS = "workers and plugins"

_MEBIBYTE = 1 << 20

LIMIT_OPTIONS: tuple[Option, ...] = (
    Option(
        _SECTION,
        _ASSOCIATIONS,
        "--max-associations",
        "",
        "serve up to n associations at once",
        values=(Value("number", "integer", 1, 1024),),
        key="max_associations",
        default="64",
    ),
    Option(
        _SECTION,
        _ASSOCIATIONS,
        "--max-per-peer",
        "",
        "and up to n of one address at once\n(default: half of --max-associations)",
        values=(Value("number", "integer", 1, 1024),),
        key="max_per_peer",
    ),
    Option(
        _SECTION,
        _ASSOCIATIONS,
        "--max-request",
        "",
        "largest association request; time for it: -ta",
        values=(Value("size", "size", 4 << 10, 16 * _MEBIBYTE),),
        key="max_request",
        default="1M",
    ),
    Option(
        _SECTION,
        _ASSOCIATIONS,
        "--min-free",
        "",
        "reject associations, as transient, while fewer bytes\nare free in the output directory (0: never)",
        values=(Value("size", "size", 0),),
        key="min_free",
        default="0",
    ),
    Option(
        _SECTION,
        _MESSAGES,
        "--progress-timeout",
        "",
        "abort if a message does not go on for so long",
        values=(Value("seconds", "integer", 1),),
        key="progress_timeout",
        default="60",
    ),
    Option(
        _SECTION,
        _MESSAGES,
        "--max-instance",
        "",
        "refuse larger data sets, with status A700\n(0: no limit)",
        values=(Value("size", "size", 0),),
        key="max_instance",
        default="0",
    ),
    Option(
        _SECTION,
        _WORKERS,
        "--hook-timeout",
        "",
        "time for each call of a plugin's hook",
        values=(Value("seconds", "integer", 1),),
        key="hook_seconds",
        default="30",
    ),
    Option(
        _SECTION,
        _WORKERS,
        "--worker-memory",
        "",
        "memory for one worker, plugins included",
        values=(Value("size", "size", 128 * _MEBIBYTE),),
        key="worker_memory",
        default="1G",
    ),
    Option(
        _SECTION,
        _WORKERS,
        "--recycle-after",
        "",
        "replace a worker after about n associations",
        values=(Value("number", "integer", 1),),
        key="recycle_after",
        default="1000",
    ),
)
