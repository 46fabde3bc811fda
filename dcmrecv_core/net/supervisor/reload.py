"""SIGHUP: read the settings again, without a moment in which a broken file, a hung disk or a failing plugin could hurt.

A forked child, the probe, does everything first: it reads, lets the plugins take the settings, opens the log files and
looks at the output directory and at keys and certificates. Its answer, or its end without one, comes through a socket
that the supervisor's loop watches. Only if all went well the supervisor reads for itself and takes the settings over.
Code is never loaded again.
"""

from __future__ import annotations

import logging
import pickle
import selectors
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from dcmrecv_core.api.errors import StartError
from dcmrecv_core.net.child import fork

if TYPE_CHECKING:
    import ssl

    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.settings.settings import Settings
    from dcmrecv_core.storage.temporary import Capabilities

log = logging.getLogger("dcmrecv.net")

FIXED = ("port", "bind", "ip_version", "max_associations", "state_dir", "plugins")
"""Settings that stay as they were at the start: the socket is bound, the workers' shared memory made, the state
directory locked, code loaded."""

PROBE_SECONDS = 30
"""Time of the probe; after that it is ended by its alarm clock."""


class SettingsSource(NamedTuple):
    """Where settings come from: `read` reads them again, `check` looks at their output directory, `secure` reads keys
    and certificates (None without TLS), `key` says what a settings file calls a setting,
    `apply_logging` puts its options about logging in force.

    All raise StartError; only a child calls `check`, because the output file system may hang.
    """

    read: Callable[[], Settings]
    check: Callable[[Settings], Capabilities]
    secure: Callable[[Settings], ssl.SSLContext | None] = lambda settings: None
    key: Callable[[str], str] = str
    apply_logging: Callable[[Settings], None] = lambda settings: None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The probe's answer if the settings cannot be used."""

    reason: str


class Reload:
    """Reloads one at a time. `obey` gets new settings in the supervisor, `let_go` is called in the probe."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        settings: Settings,
        plugins: Plugins,
        source: SettingsSource,
        obey: Callable[[Settings, Capabilities, ssl.SSLContext | None], None],
        let_go: Callable[[], None],
    ) -> None:
        self._selector = selector
        self._settings = settings
        self._plugins = plugins
        self._source = source
        self._obey = obey
        self._let_go = let_go
        self._probe: socket.socket | None = None
        self._answer = bytearray()
        self._again = False

    def begin(self) -> None:
        """Start a probe; if one is under way, another one follows it."""
        if self._probe is not None:
            self._again = True
            return
        ours, theirs = socket.socketpair()
        try:
            fork(lambda: self._run_probe(ours, theirs))
        except OSError as error:
            ours.close()
            _refused(f"cannot start a process: {error.strerror}")
            return
        finally:
            theirs.close()
        ours.setblocking(False)
        self._answer.clear()
        self._probe = ours
        self._selector.register(ours, selectors.EVENT_READ, self._on_answer)

    def abandon(self) -> None:
        """Forget a probe that is under way: at the end of the supervisor, and in its children."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _on_answer(self, probe: socket.socket, now: float) -> None:
        try:
            data = probe.recv(65536)
        except OSError:
            data = b""
        if data:
            self._answer += data
            return
        self._selector.unregister(probe)
        self.abandon()
        answer = pickle.loads(self._answer) if self._answer else Refusal("the process that tries them came to no end")
        if isinstance(answer, Refusal):
            _refused(answer.reason)
        else:
            self._take_over(answer)
        if self._again:
            self._again = False
            self.begin()

    def _run_probe(self, ours: socket.socket, theirs: socket.socket) -> int:
        ours.close()
        self._let_go()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(PROBE_SECONDS)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            settings = self._read()
            capabilities = self._source.check(settings)
            self._source.secure(settings)
            self._install(settings)
            answer: Capabilities | Refusal = capabilities
        except StartError as error:
            answer = Refusal(str(error))
        theirs.sendall(pickle.dumps(answer))
        return 0

    def _read(self) -> Settings:
        fixed = {name: getattr(self._settings, name) for name in FIXED}
        return replace(self._source.read(), **fixed)

    def _take_over(self, capabilities: Capabilities) -> None:
        try:
            read = self._source.read()
            settings = replace(read, **{name: getattr(self._settings, name) for name in FIXED})
            tls = self._source.secure(settings)
            self._install(settings)
        except StartError as error:  # it has changed since the probe read it
            _refused(str(error))
            self._restore()
            return
        for name in FIXED:
            if getattr(read, name) != getattr(self._settings, name):
                log.warning("%s cannot be changed at run time, it stays as it was", self._source.key(name))
        self._settings = settings
        self._obey(settings, capabilities, tls)
        log.info("settings reloaded")

    def _install(self, settings: Settings) -> None:
        self._plugins.add_builtins(settings)
        self._plugins.configure(settings)
        self._source.apply_logging(settings)

    def _restore(self) -> None:
        """Some plugins may have taken the new settings already."""
        try:
            self._install(self._settings)
        except StartError as error:
            log.critical("the old settings cannot be restored, restart the receiver: %s", error)


def _refused(reason: str) -> None:
    log.error("settings not reloaded, nothing has changed: %s", reason)
