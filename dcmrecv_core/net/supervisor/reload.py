"""SIGHUP: read the settings again. A broken file, a hung disk or a failing plugin must not harm the running receiver.

A forked child, the probe, checks everything first: it reads the settings, configures the plugins, opens the log files,
checks the output directory, keys and certificates, and makes the queues of new targets. It answers through a socket
that the supervisor's loop watches. Only if all is well does the supervisor read the settings itself and apply them.

Code is loaded again only for development (`--reload-plugins`), when a file of a plugin has changed: by the probe first,
then by the supervisor. (An upgrade loads it in a new process, which would be out of reach of Ctrl-C and a debugger.)
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
from dcmrecv_core.delivery.preparation import add_queues, prepare, queues_of
from dcmrecv_core.net.child import fork

if TYPE_CHECKING:
    import ssl

    from dcmrecv_core.delivery.store import Queue
    from dcmrecv_core.hooks.code import Watch
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.settings.settings import Settings
    from dcmrecv_core.storage.temporary import Capabilities

log = logging.getLogger("dcmrecv.net")

FIXED = (
    "port",
    "bind",
    "ip_version",
    "max_associations",
    "state_dir",
    "plugins",
    "plugins_dir",
    "reload_plugins",
    "deliver_processes",
    "journal",
)
"""Settings that keep their values from the start, because the socket is bound, the workers' shared memory is made, the
state directory is locked, code is loaded, delivery processes have claims under their
numbers, and these are in the database of that journal."""

OF_CODE = ("plugins", "plugins_dir")
"""Those of them that may change when code is loaded again."""

LOOK_SECONDS = 0.5
"""Between two looks at the files of plugins."""

PROBE_SECONDS = 30
"""Time limit of the probe; SIGALRM ends it then."""


Tell = Callable[[str], None]
"""Gets the reason why the settings were not reloaded, "" if they were."""


class SettingsSource(NamedTuple):
    """Where settings come from: `read` reads them again, `check` checks their output directory, `make_tls_context`
    reads keys and certificates (None without TLS), `key` gives the key of a setting in a settings file,
    `apply_logging` applies the options about logging, `load_code` loads the plugins' code again, for the settings that
    are read next, and returns what takes that back; `watch` looks at its files.

    All raise StartError; only a child calls `check`, because the output file system may hang.
    """

    read: Callable[[], Settings]
    check: Callable[[Settings], Capabilities]
    make_tls_context: Callable[[Settings], ssl.SSLContext | None] = lambda settings: None
    key: Callable[[str], str] = str
    apply_logging: Callable[[Settings], None] = lambda settings: None
    load_code: Callable[[], Callable[[], None]] = lambda: lambda: None
    watch: Watch | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """The probe's answer if the settings can be used; what is stored is put into `queues` from now on."""

    capabilities: Capabilities
    queues: list[Queue]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The probe's answer if the settings cannot be used."""

    reason: str


class Reload:
    """One reload at a time. `apply_settings` gets the new settings in the supervisor; `close_in_child` is called in the
    probe."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        settings: Settings,
        plugins: Plugins,
        source: SettingsSource,
        apply_settings: Callable[[Settings, Capabilities, ssl.SSLContext | None], None],
        close_in_child: Callable[[], None],
    ) -> None:
        self._selector = selector
        self._settings = settings
        self._plugins = plugins
        self._source = source
        self._apply_settings = apply_settings
        self._close_in_child = close_in_child
        self._probe: socket.socket | None = None
        self._answer = bytearray()
        self._begin_again = False
        self._loads_code = False
        self._loads_code_again = False
        self._delivers = bool(plugins.delivering(settings))
        self._watches = settings.reload_plugins
        self._next_look = 0.0
        self._tell: list[Tell] = []
        self._tell_again: list[Tell] = []

    def tick(self, now: float) -> None:
        """Load code again if a file of a plugin has changed."""
        watch = self._source.watch
        if watch is None or not self._watches or now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        if changed := watch.changed():
            log.info("%s has changed: loading the plugins again", changed)
            self.begin(code=True)

    def begin(self, tell: Tell | None = None, *, code: bool = False) -> None:
        """Start a probe, or another one after the probe that is running. `tell` is told the outcome, once. `code`: load
        the plugins' code, too."""
        if self._probe is not None:
            self._begin_again = True
            self._loads_code_again |= code
            self._tell_again += [tell] if tell else []
            return
        self._tell += [tell] if tell else []
        self._loads_code = code
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self._refuse(f"cannot start a process: {error.strerror}")
            return
        try:
            fork(lambda: self._run_probe(ours, theirs))
        except OSError as error:
            ours.close()
            self._refuse(f"cannot start a process: {error.strerror}")
            return
        finally:
            theirs.close()
        ours.setblocking(False)
        self._answer.clear()
        self._probe = ours
        self._selector.register(ours, selectors.EVENT_READ, self._on_answer)

    def abandon(self) -> None:
        """The receiver drains or stops: nothing is reloaded any more."""
        if self._probe is not None:
            self._selector.unregister(self._probe)
        self._begin_again = False
        self._watches = False
        self.drop_probe()
        self._tell += self._tell_again
        self._tell_again = []
        self._finish("the receiver takes no new associations any more")

    def drop_probe(self) -> None:
        """Close the connection to a running probe; in a child of the supervisor its own copy."""
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
        self.drop_probe()
        answer = (
            pickle.loads(self._answer)
            if self._answer
            else Refusal("the process that checks the settings ended without an answer")
        )
        if isinstance(answer, Refusal):
            self._refuse(answer.reason)
        else:
            self._take_over(answer)
        if self._begin_again:
            self._begin_again = False
            self._tell, self._tell_again = self._tell_again, []
            code, self._loads_code_again = self._loads_code_again, False
            self.begin(code=code)

    def _run_probe(self, ours: socket.socket, theirs: socket.socket) -> int:
        ours.close()
        self._close_in_child()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(PROBE_SECONDS)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            if self._loads_code:
                self._source.load_code()
            elif self._source.watch is not None and (changed := self._source.watch.differs()):
                log.warning(
                    "%s has changed since it was loaded: a reload loads no code, dcmrecvctl upgrade does", changed
                )
            settings = self._fix(self._source.read())
            capabilities = self._source.check(settings)
            self._source.make_tls_context(settings)
            queues = self._install(settings)
            if queues:
                if not self._delivers:
                    prepare(settings)
                add_queues(settings, queues)
            answer: Approval | Refusal = Approval(capabilities, queues)
        except StartError as error:
            answer = Refusal(str(error))
        theirs.sendall(pickle.dumps(answer))
        return 0

    def _fix(self, settings: Settings) -> Settings:
        """With the values from the start where they cannot be changed."""
        return replace(settings, **{name: getattr(self._settings, name) for name in self._fixed})

    @property
    def _fixed(self) -> list[str]:
        return [name for name in FIXED if not (self._loads_code and name in OF_CODE)]

    def _take_over(self, approval: Approval) -> None:
        take_back: Callable[[], None] | None = None
        try:
            if self._loads_code:
                take_back = self._source.load_code()
            read = self._source.read()
            settings = self._fix(read)
            tls = self._source.make_tls_context(settings)
            if not set(self._install(settings)) <= set(approval.queues):
                raise StartError("the targets of deliveries have changed while the settings were read")
            delivers = bool(self._plugins.delivering(settings))
        except StartError as error:  # a file has changed since the probe read it
            if take_back is not None:
                take_back()
            self._restore()
            self._refuse(str(error))
            return
        for name in self._fixed:
            if getattr(read, name) != getattr(self._settings, name):
                log.warning("%s cannot be changed at run time, it stays as it was", self._source.key(name))
        self._settings = settings
        self._delivers = delivers
        self._apply_settings(settings, approval.capabilities, tls)
        log.info("plugins loaded again" if self._loads_code else "settings reloaded")
        self._finish("")

    def _refuse(self, reason: str) -> None:
        first, *more = reason.splitlines() or [""]
        what = "plugins not loaded again" if self._loads_code else "settings not reloaded"
        log.error("%s, nothing has changed: %s", what, first)
        for line in more:  # the place of the fault
            log.error("%s", line)
        self._finish(reason)

    def _finish(self, reason: str) -> None:
        told, self._tell = self._tell, []
        for tell in told:
            tell(reason)

    def _install(self, settings: Settings) -> list[Queue]:
        """Returns the queues that the plugins want."""
        self._plugins.add_builtins(settings)
        self._plugins.configure(settings)
        queues = queues_of(self._plugins, settings)
        self._source.apply_logging(settings)
        return queues

    def _restore(self) -> None:
        """Configure the plugins with the old settings, as some may have got the new ones."""
        try:
            self._install(self._settings)
        except StartError as error:
            log.critical("the old settings cannot be restored, restart the receiver: %s", error)
