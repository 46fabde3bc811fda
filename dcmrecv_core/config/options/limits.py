"""The options that limit peers, data and plugins.

Each has a default that no ordinary sender reaches. Time limits of the protocol are DCMTK's options -ta and -td.
"""

from __future__ import annotations

from dcmrecv_core.config.options.option import Group, Section, Value, valued

_MEBIBYTE = 1 << 20

LIMITS = Section(
    "limits",
    Group(
        "associations",
        valued(
            "--max-associations",
            "serve up to n associations at once",
            Value("number", "integer", 1, 1024),
            default="64",
        ),
        valued(
            "--max-per-peer",
            "serve up to n associations per peer address\n(default: no limit, but two places stay for others)",
            Value("number", "integer", 1, 1024),
        ),
        valued(
            "--idle-eviction",
            "abort an association that waits so long for its next\nmessage if another peer needs its place (0: never)",
            Value("seconds", "integer", 0, zero_is_none=True),
            default="60",
        ),
        valued(
            "--drain",
            "after SIGTERM or SIGINT, let running associations go on\nfor so long, to end by themselves",
            Value("seconds", "integer", 0),
            default="0",
        ),
        valued(
            "--max-request",
            "largest association request; time for it: -ta",
            Value("size", "size", 4 << 10, 16 * _MEBIBYTE),
            default="1M",
        ),
        valued(
            "--min-free",
            "reject associations, as transient, while fewer bytes\nare free in the output directory (0: never)",
            Value("size", "size", 0, zero_is_none=True),
            default="0",
        ),
    ),
    Group(
        "messages and instances",
        valued(
            "--progress-timeout",
            "abort after this long without progress inside a message",
            Value("seconds", "integer", 1),
            default="60",
        ),
        valued(
            "--min-rate",
            "abort if fewer bytes a second arrive inside messages,\naveraged over --progress-timeout (0: never)",
            Value("bytes", "size", 0, zero_is_none=True),
            default="64",
        ),
        valued(
            "--max-instance",
            "refuse larger data sets, with status A700\n(0: no limit)",
            Value("size", "size", 0, zero_is_none=True),
            default="0",
        ),
    ),
    Group(
        "workers and plugins",
        valued(
            "--hook-timeout",
            "time for each call of a plugin's hook",
            Value("seconds", "integer", 1),
            key="hook_seconds",
            default="30",
        ),
        valued(
            "--worker-memory",
            "memory for one worker, plugins included",
            Value("size", "size", 128 * _MEBIBYTE),
            default="1G",
        ),
        valued(
            "--recycle-after",
            "replace a worker after about n associations",
            Value("number", "integer", 1),
            default="1000",
        ),
    ),
)
