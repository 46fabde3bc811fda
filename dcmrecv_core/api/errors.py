"""Every error the receiver raises on purpose, by what it turns into.

* an exit code, before the receiver listens: `CommandLineError`, `PluginError`, `ConfigurationError`,
  `OutputDirectoryError`, `ListenError`, `TlsError`;
* an A-ABORT or the end of the connection: `RemoteProtocolError`;
* a DIMSE status in a response, while the association goes on: `StatusError` and its kinds;
* a delivery that is put aside, or tried again: `Undeliverable` and `TryAgain`, which a plugin raises;
* a bug of ours: `LocalProtocolError`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

COMMENT_LENGTH = 64
"""Error Comment (0000,0902) is an LO: 64 characters at most (PS3.5 section 6.2, PS3.7 annex C)."""


def described(error: BaseException, how: Callable[[object], str] = str) -> str:
    """The text of an exception that plugin code raised; its class if it has no usable text."""
    try:
        return how(error)
    except Exception:
        return f"{type(error).__name__} (without a text that can be shown)"


class DcmrecvError(Exception):
    """Root of the tree."""


class StartError(DcmrecvError):
    """The receiver cannot start; `exit_code` is what the process ends with."""

    exit_code = 1


class CommandLineError(StartError):
    """A command line that cannot be read (exit code 1).

    The text is DCMTK's where DCMTK has one; `hint` says what is allowed instead, "" if the text does. `quiet`: `-q` or
    a log level hides both. `arguments`: the text that `--arguments` prints before them.
    """

    quiet: bool = False
    arguments: str = ""

    def __init__(self, text: str, *, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


class PluginError(StartError):
    """A plugin that cannot be found, loaded or configured (exit code 1).

    `text` says what is wrong; `plugin`, `hook` and `place` (FILE:LINE of the plugin's code) where, each "" if it is not
    known. A plugin gives the text only; the receiver adds the rest. `str()` has all of it.
    """

    text: str
    plugin: str
    hook: str
    place: str

    def __init__(self, text: str, *, plugin: str = "", hook: str = "", place: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.plugin = plugin
        self.hook = hook
        self.place = place

    @property
    def detail(self) -> str:
        """All but the name of the plugin."""
        return f"{self.hook}: " * bool(self.hook) + self.text + f" ({self.place})" * bool(self.place)

    def __str__(self) -> str:
        return f"plugin {self.plugin}: {self.detail}" if self.plugin else self.detail


class StateDirectoryError(PluginError):
    """A plugin needs the state directory, but another receiver owns it (exit code 1); the text names both."""


class OutputDirectoryError(StartError):
    """The output directory cannot be used (exit code 45)."""

    exit_code = 45


class ListenError(StartError):
    """The receiver cannot listen on the port (exit code 64)."""

    exit_code = 64


class ConfigurationError(StartError):
    """A configuration file that cannot be used (exit code 66)."""

    exit_code = 66


class TlsError(StartError):
    """Keys or certificates that cannot be used (exit code 71)."""

    exit_code = 71


class ProtocolError(DcmrecvError):
    """What `proto/` may raise, and nothing else."""


class LocalProtocolError(ProtocolError):
    """Our own code asked the protocol core for something its state does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol: answer A-ABORT with `source` and `reason` (PS3.8 section 9.3.8).

    `source` is 0 (service user) or 2 (service provider); `reason` counts for source 2 only:
    0 not specified, 1 unrecognised PDU, 2 unexpected PDU, 4 unrecognised parameter,
    5 unexpected parameter, 6 invalid parameter value. `detail` is logged in addition to the text, which is DCMTK's.
    """

    def __init__(self, text: str, *, source: int = 2, reason: int = 0, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail
        self.source = source
        self.reason = reason


class StatusError(DcmrecvError):
    """The operation fails with a DIMSE `status` (PS3.7 annex C, PS3.4 table B.2-1).

    `comment` goes into Error Comment (0000,0902) and is cut at 64 characters; `elements` are the tags
    for Offending Element (0000,0901). Raises TypeError or ValueError for values that no response can carry.
    """

    status: int
    comment: str
    elements: tuple[int, ...]
    plugin: str = ""
    """The named plugin whose hook it has ended, "" if there is none."""

    def __init__(self, status: int, comment: str, elements: tuple[int, ...] = ()) -> None:
        # raised here, where a plugin made the mistake, not when the response is encoded
        if not isinstance(comment, str):
            raise TypeError(f"a comment is a str, not {comment!r}")
        if not 0 <= operator.index(status) <= 0xFFFF:
            raise ValueError(f"a status has 16 bits, not {status:X}")
        elements = tuple(map(operator.index, elements))
        if any(not 0 <= tag <= 0xFFFFFFFF for tag in elements):
            raise ValueError(f"a tag has 32 bits, not {elements!r}")
        super().__init__(comment)
        self.status = status
        self.comment = comment[:COMMENT_LENGTH]
        self.elements = elements


class StorageError(StatusError):
    """The file system refused (status A700, out of resources); `__cause__` is the `OSError`."""

    def __init__(self, comment: str) -> None:
        super().__init__(0xA700, comment)


class DataSetError(StatusError):
    """The data set cannot be understood in its transfer syntax (status C000).

    `hint`: what may be the cause, for the log. `warnings`: what was odd before the place where the check ended.
    """

    def __init__(self, comment: str, elements: tuple[int, ...] = (), *, hint: str = "") -> None:
        super().__init__(0xC000, comment, elements)
        self.hint = hint
        self.warnings: tuple[str, ...] = ()


class NameTakenError(StatusError):
    """A file of that name exists and `on_exists` does not allow to replace it.

    With "retry" the pipeline asks for another name, up to 1024 times, then answers A700; with "refuse" the
    sender gets 0111 (duplicate SOP instance, PS3.7 C.5.7).
    """

    path: str

    def __init__(self, status: int, path: str) -> None:
        super().__init__(status, "File exists already")
        self.path = path


class HookFailure(StatusError):
    """A hook raised, returned a wrong value or took too long (status 0110, processing failure).

    `text` says what is wrong, `plugin` and `hook` whose fault it is; both are "" if a result turned out to be wrong
    only when it was used. The sender gets all of it as comment.
    """

    def __init__(self, text: str, *, plugin: str = "", hook: str = "") -> None:
        super().__init__(0x0110, f"Plugin {plugin} {text} in {hook}" if plugin else text)
        self.text = text
        self.plugin = plugin
        self.hook = hook


class Undeliverable(DcmrecvError):
    """Raised by a plugin in `deliver`, `study_completed` or `series_completed`: to try again would not help.

    The delivery is put aside with `reason`, for `dcmrecvctl queue`; what comes after it goes on.
    """

    reason: str

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TryAgain(DcmrecvError):
    """Raised by a plugin in `deliver`, `study_completed`, `series_completed` or `delivery_started`: it will work later,
    what it needs is not there now.

    As any other exception, but the log has one line with `reason`, and no traceback. `after`: seconds to wait, instead
    of the pauses that grow. Raises ValueError if that is negative, infinite or no number.
    """

    reason: str
    after: float | None

    def __init__(self, reason: str, after: float | None = None) -> None:
        if after is not None and not 0 <= after < math.inf:
            raise ValueError(f"seconds expected, not {after!r}")
        super().__init__(reason)
        self.reason = reason
        self.after = after
