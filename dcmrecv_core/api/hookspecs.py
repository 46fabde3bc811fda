"""The contract with plugins: every hook, in the order in which an instance meets them.

A plugin is a module or an object whose functions carry `@hookimpl`; an implementation takes only the arguments it
names. The plugin named last on the command line is asked first, the built-in ones are asked last. `tryfirst` and
`trylast` work as in pluggy; `trylast` comes after the built-in ones too, which always choose a name and write.

*Decision* hooks (negotiate, serve, receive, choose_subdir, choose_filename, write) fail closed: one that raises,
returns a value of the wrong type or takes longer than its time gets the instance refused with status 0110 (in serve:
the request answered with it), and the association goes on. Raising a `StatusError` with a failure status, as
`instance.save` does, refuses it with that one instead (not in negotiate). *Notification* hooks (association_accepted,
stored, not_stored, association_ended) fail soft: the error is logged, the others are called. `background` runs in a
process of its own, and is called again if it fails.

After storing come `deliver`, `study_completed` and `series_completed`, in processes of their own: each event reaches
each plugin at least once, also after a crash or a power cut (docs/after-storing.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO

import pluggy

from dcmrecv_core.api.implementations import HookImplementation
from dcmrecv_core.api.model import Association, Instance
from dcmrecv_core.api.outcomes import NotStoredOutcome, Series, StoredEvent, StoredOutcome, Study, Summary
from dcmrecv_core.api.services import Request, Response
from dcmrecv_core.api.settings import PluginSettings
from dcmrecv_core.api.verdicts import Name, NegotiateResult, ReceiveResult

if TYPE_CHECKING:
    from dcmrecv_core.api.options import PluginOptions

PROJECT = "dcmrecv"
"""pluggy's project name and the entry-point group of plugins."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl: HookImplementation = pluggy.HookimplMarker(PROJECT)  # type: ignore[assignment]  # stricter than pluggy's


@hookspec
def add_options(options: PluginOptions) -> None:
    """Declare options of the plugin.

    Called: in the parent, before the command line is read; by `--list-plugins`, and for the hint after an unknown
    option, also if the plugin is installed but not named. May not block; declares, and does nothing else.
    `options.add("--root", value="directory", type=Path, default=..., help=...)` declares an option and the key of
    the same name in the settings table `[plugins.NAME]` at once. Raising: the receiver does not start.
    """


@hookspec
def configure(settings: PluginSettings) -> None:
    """Take the settings, or raise to refuse them.

    Called: in the parent, when the settings are complete, and at each reload. `settings.options` has the values of the
    plugin's own options (in each hook that gets settings), `settings.for_plugin(name)` those of another one. Workers
    are forked from here: start no thread, open no connection. Raising: the receiver does not start (a reload changes
    nothing).
    """


@hookspec
def worker_started(settings: PluginSettings) -> None:
    """The place to open connections. Called: in each worker, before its first association. Raising: logged, the
    worker ends and is replaced; what `settings.state_directory` raises ends the receiver (exit code 1)."""


@hookspec
def worker_stopping() -> None:
    """The place to close connections. Called: in each worker, after its last association. Raising: logged."""


@hookspec
def negotiate(association: Association) -> NegotiateResult:
    """Say which presentation contexts to accept, or reject the association (decision).

    Called: in a worker, for each association, before the answer; every plugin is asked. Result: None, an iterable of
    `SupportedContext`, `Also`, `Accept`, or `Reject`. Any `Reject` wins; else the union of all answers counts, transfer
    syntaxes in the order of the first source; a source that accepts any transfer syntax appends the rest. An empty
    iterable is an answer too: the default (Verification, and all storage classes if a plugin stores) applies only if
    every plugin returns None or `Also`. Raising: the association is rejected as transient.
    """


@hookspec
def association_accepted(association: Association) -> None:
    """Learn that an association was accepted (notification). Called: in its worker, after the answer was sent."""


@hookspec(firstresult=True)
def serve(association: Association, request: Request) -> Response | None:
    """Answer a DIMSE-N request on an accepted presentation context (decision).

    Called: in a worker, when the request is complete. The first result counts; None from all is answered with 0211
    (unrecognized operation). A plugin that offers a service accepts its SOP class in `negotiate`, with `Also`, and
    returns None for any other class and service. Raising: answered with 0110, or the status of a `StatusError`.
    """


@hookspec
def receive(instance: Instance) -> ReceiveResult:
    """Judge an instance before it is named (decision).

    Called: in a worker, when the data set is complete and passed the check of the storage mode. Every plugin is asked,
    in order, until one refuses or discards: `Refuse` and `Discard` are final. After None and `Warn` the next plugin is
    asked; of several warnings the sender gets the first. Here, and only here, `replace_header` and `replace` may change
    what is stored: the next plugin sees the new data, and the sender gets B000 unless a plugin said `Warn`.
    """


@hookspec(firstresult=True)
def choose_subdir(instance: Instance) -> str | PurePath | None:
    """Choose the directory, relative to the output directory, "" for none (decision). The first result counts.

    An absolute path, "..", or NUL is refused with 0110; other unfit bytes and over-length are escaped.
    """


@hookspec(firstresult=True)
def choose_filename(instance: Instance) -> str | Name | None:
    """Choose the file name, without the extension that `-fe` appends (decision). The first result counts.

    A plain str means `Name(text)`: a file of that name is replaced only if it is the same SOP instance, unless
    `--on-duplicate` says otherwise. On "retry" the core asks again with `instance.attempt` + 1, up to 1024 times, then
    answers A700. A separator, "..", or NUL is refused with 0110.
    """


@hookspec(firstresult=True)
def write(instance: Instance, path: str) -> str | PurePath | None:
    """Store the instance at `path` (output directory joined with the chosen names) and say where it went: a path or
    URI (decision). The first result counts; the built-in writer, asked last, is `instance.save(path)`.

    Return only when the data are durable: Success is sent after that. After None the next plugin is asked; if the one
    that returned None has called `instance.save`, a warning, once in a process, names it. `instance.save_copy` makes
    a further copy. If more than one of the named plugins writes, a warning at the start says who is asked first.
    """


@hookspec
def stored(instance: Instance, location: str, outcome: StoredOutcome) -> None:
    """Learn that an instance is stored safely (notification).

    Called: in a worker, before the response is sent, once for each C-STORE whose instance is in a file or was stored
    elsewhere by a `write` hook; never for one that was refused or discarded. `outcome.how` says whether the file is
    new, has replaced another content, or was kept because it has the same content. Be quick.
    """


@hookspec
def not_stored(instance: Instance, outcome: NotStoredOutcome) -> None:
    """Learn that an instance was refused or discarded (notification).

    Called: in a worker, before the response is sent, whatever the cause: a plugin, a failure, `--ignore`, the disk. Not
    for a data set that could not be received or understood: hooks cannot be given an instance then. Be quick.
    """


@hookspec(firstresult=True)
def open_location(location: str) -> BinaryIO | None:
    """Open what a `write` hook stored elsewhere, for reading; None for locations of others. The first result counts.

    Called: in any process, when a plugin calls `settings.open_location`, with a location as `stored` was told it. The
    built-in writer, asked last, opens files below the output directory. Raise OSError if it cannot be read,
    FileNotFoundError if it is gone; any other exception becomes a PluginError of the caller. May block.
    """


@hookspec(firstresult=True)
def remove_location(location: str) -> bool | None:
    """Remove what a `write` hook stored elsewhere; None for locations of others. The first result counts: true when it
    is gone, also if it was before.

    Called: in any process, when a plugin calls `settings.remove_location`. Raising and blocking as `open_location`.
    """


@hookspec
def association_ended(association: Association, summary: Summary) -> None:
    """Learn how an association ended (notification).

    Called: in its worker, after release, abort, rejection or the end of the connection. If the worker itself ended
    before that (killed, or crashed), in another one, with `Ended.LOST`, an empty `state` and the counts of the last
    second; at most once, and not if the receiver stops meanwhile. Never in the parent.
    """


@hookspec
def delivery_targets(settings: PluginSettings) -> Iterable[str] | None:
    """Name the plugin's targets: queues of `deliver`, of which none holds up another.

    Called: in the parent, after `configure`, at the start and at each reload; by `--list-plugins` too. None, and a
    plugin without this hook, means one target, called "default"; an empty iterable that nothing is to be delivered. A
    name has at most 64 letters, digits and characters of `._-+@:`. A new target gets what is stored from now on; what
    waits for one that is not named any more is kept. Raising: as in `configure`.
    """


@hookspec
def completion_targets(settings: PluginSettings, hook: str) -> Iterable[str] | None:
    """Name the plugin's targets for completed studies or series: queues of `hook`, which is "study_completed" or
    "series_completed", of which none holds up another.

    Called: as `delivery_targets`, for each of the two hooks that the plugin has. Results and raising as there: None,
    and a plugin without this hook, means one target, called "default".
    """


@hookspec
def relocate_from(settings: PluginSettings) -> str | PurePath | None:
    """Name the directory below the output directory, relative to that, into which the plugin's `write` saves what its
    `relocate` takes to another place; None if nothing is to be relocated.

    Called: as `delivery_targets`. A plugin with `relocate` and without this hook relocates nothing. Raising: as in
    `configure`; the receiver does not start either if two plugins relocate.
    """


@hookspec
def relocate(event: StoredEvent) -> str | PurePath | None:
    """Take an instance from where `write` has saved it to the place where it stays, and say where that is: a path or
    URI; None if it stays where it is.

    Called: in a delivery process, for each instance that is stored in a file, before the event is delivered to any
    other hook; one study at a time, in the order of storing. When it has returned, the event has the new location for
    good, it is delivered, and the receiver removes what is at the old location as `remove_location` does. Blocking,
    exceptions and the end of the receiver as in `deliver`: until it returns, nothing else is told of the instance. The
    same event may come twice, after a copy was made: that must not make another one. What is found at the start in the
    directory of `relocate_from`, and no event knows, is an event with `recovered`. `--deliver-attempts` does not count.
    """


@hookspec
def delivery_started(settings: PluginSettings) -> None:
    """The place to open connections for deliveries. Called: in each delivery process of this plugin, before its first
    delivery; `worker_started` is not called there. Raising: logged (of `TryAgain` one line), the process ends and is
    started again, as `background` is."""


@hookspec
def delivery_stopping() -> None:
    """The place to close connections. Called: in each delivery process of this plugin, after its last delivery.
    Raising: logged."""


@hookspec
def deliver(event: StoredEvent, target: str) -> None:
    """Do what is to be done with an instance that is stored: send it on, feed a database.

    Called: in a delivery process, at least once for each acknowledged instance and target; one study at a time, in the
    order of storing. May block as long as it likes: no sender waits, and no other target. Returning means done. After
    an exception it is called again with the same event, after 1 s, then 2 s, up to 5 minutes, without end or
    `--deliver-attempts` times; the rest of the study waits meanwhile, other studies do not. `TryAgain` says why in one
    line of the log, other exceptions have a traceback the first time. `Undeliverable`, and any exception when the file
    is gone, puts the event aside: `dcmrecvctl queue` lists it.

    At the end of the receiver and at a reload a call may go on for 7 s, then SIGTERM raises a SystemExit in it; the
    event is delivered again later. The same event may come twice: `event.id` is the same.
    """


@hookspec
def deliver_many(events: Sequence[StoredEvent], target: str) -> None:
    """Do at once, for up to 200 events, what `deliver` does for each of them, where that is faster: in one transaction
    of a database, for example.

    A plugin needs this hook or `deliver`, seldom both. Called: instead of `deliver`, when more than one event waits;
    those of one study are in the order of storing, and other studies may be among them. Returning means that all are
    done. After any exception, also `Undeliverable` and `TryAgain`, none counts as done: `deliver` is called for each,
    and says which one fails. A plugin without `deliver` gets a list of one instead, also if only one event waits; what
    it raises then counts as if `deliver` raised it. The end of the receiver as in `deliver`.
    """


@hookspec
def series_completed(series: Series, target: str) -> None:
    """As `study_completed`, of a series."""


@hookspec
def study_completed(study: Study, target: str) -> None:
    """Do what is to be done with a study of which no more instances come.

    Called: in a delivery process, `--study-timeout` seconds after its last instance; while an association is open that
    has sent to it, up to ten times as late. For each study and revision there is one `study.id`; the hook is called for
    it and each of `completion_targets` until it returns once. Instances that come later complete the study again, with
    the next revision; equal ones sent again do not. Exceptions, blocking and the end of the receiver as in `deliver`,
    but a file that is gone is not looked for.
    """


@hookspec
def background(settings: PluginSettings) -> None:
    """Do slow work that has nothing to do with one instance, in a process of its own: delete old files, watch a disk.

    Called: once, in a child process of the plugin's own, forked from the supervisor after `configure`; it may block,
    start threads and open connections, and its time is not limited. Nothing of it is shared with the workers; what is
    to be done with each instance belongs in `deliver`. Returning means done: it is not called again. Raising,
    `sys.exit` or the end of the process: logged, and called again in a fresh process after 1 s, then 2 s, up to 60 s if
    it goes on; after a minute of work the next pause is 1 s again.

    At the end of the receiver SIGTERM raises a SystemExit in it, so that `finally` and `with` clean up (`except
    Exception` does not stop it); 8 s later it is killed. The same happens at a reload, after which all are called with
    the new settings. When the supervisor is killed, so is this process, at once. SIGINT, SIGHUP and signals without a
    meaning for the receiver (SIGUSR1) are ignored; SIGTERM, SIGALRM and the interval timer belong to the receiver.
    """
