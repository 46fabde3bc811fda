"""`--explain FILE...`: what would happen to DICOM files if they were sent, without a network.

Every file passes the stages of an instance, by the code of a worker: `negotiate` for an association with one context,
which ends it if it is rejected, the check of the storage mode, `receive`, `choose_subdir`, `choose_filename`. Nothing
is written: `save` only looks where the file would go; `stored`, the hooks for later (`deliver`, `study_completed`) and
the `write` of a plugin are not called, and `serve`, which is for other messages than C-STORE, neither. A message that
the protocol core itself would refuse, before the data set is read, is not shown as refused.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.errors import StatusError, StorageError
from dcmrecv_core.api.model import Association, Instance, ProposedContext
from dcmrecv_core.api.outcomes import DEFAULT_TARGET
from dcmrecv_core.api.verdicts import Accept, Also, OnExists, ReceiveResult, Reject, SupportedContext
from dcmrecv_core.hooks.guards import DELIVERY_HOOKS
from dcmrecv_core.inspection.explanation import (
    BY_DEFAULT,
    BY_STORAGE_PLUGIN,
    CALLED,
    CALLING,
    PEER,
    Context,
    Explanation,
    Step,
    as_text,
    shown,
)
from dcmrecv_core.inspection.replacements import NO_DIFFERENCE, differences, elements_of
from dcmrecv_core.proto import negotiation
from dcmrecv_core.receive.instance import ReceivedInstance
from dcmrecv_core.receive.pipeline import InstanceReceiver, Outcome, Reception, outcome_of
from dcmrecv_core.settings.context_hints import hint_for
from dcmrecv_core.settings.contexts import default_contexts
from dcmrecv_core.storage.directories import escaped_path, storage_error
from dcmrecv_core.storage.existing import find_existing
from dcmrecv_core.storage.file_meta import FileMeta, read_file_meta
from dcmrecv_core.storage.other_names import MAX_ATTEMPTS
from dcmrecv_core.storage.publish import Content, Publisher
from dcmrecv_core.storage.taken import How, NewFile, Published, decide, names_for
from dcmrecv_core.storage.temporary import Capabilities

if TYPE_CHECKING:
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.hooks.tracing import Call
    from dcmrecv_core.settings.settings import Settings

NOT_FOR_FILES = "not called, it is for DIMSE-N requests"
AFTER_QUIET = "when no more instances come"

WRITER = "file-writer"
"""The built-in plugin whose `write` only calls `save`. Another `write`, which may do anything, is not called."""


def explain(
    settings: Settings,
    plugins: Plugins,
    calls: list[Call],
    files: Iterable[str],
    *,
    sender: tuple[str, str, str] = ("", "", ""),
    as_json: bool,
) -> Generator[tuple[str, bool]]:
    """For each file the text to print, and whether it could be explained; as JSON, one line for each file.

    `sender` are the calling title, the address and the called title that plugins see, "" for the default.
    `plugins` are configured, and record the calls of their hooks in `calls`. Raises HookFailure if `worker_started`
    fails in a plugin that cannot work without it.
    """
    explainer = Explainer(settings, plugins, calls, sender)
    import dcmrecv_core.dataset.decoding  # noqa: F401  # load pydicom now, so that its import is not charged to a hook

    # what a plugin counts or remembers of an explained instance must not get into the state of a receiver
    with tempfile.TemporaryDirectory(prefix="dcmrecv-") as state:
        plugins.worker_started(replace(settings, state_dir=state, state_owner=""))
        calls.clear()
        try:
            for path in _walk(files):
                explanation = explainer.explain(path)
                text = json.dumps(asdict(explanation)) + "\n" if as_json else as_text(explanation)
                yield text, not explanation.error
        finally:
            plugins.worker_stopping()


def _walk(files: Iterable[str]) -> Iterator[str]:
    """The files, and those below the directories, in the order of their names."""
    for file in files:
        if not os.path.isdir(file):
            yield file
            continue
        for directory, subdirectories, names in os.walk(file):
            subdirectories.sort()
            yield from (os.path.join(directory, name) for name in sorted(names))


class _DryPublisher(Publisher):
    """Looks where a file would go, and writes nothing, even if a plugin calls `save`."""

    path: str | None = None
    exists = False
    policy: OnExists | None = None
    how: How | None = None

    def forget(self) -> None:
        self.path, self.exists, self.policy, self.how = None, False, None, None

    def publish(
        self,
        parts: tuple[str, ...],
        name: str,
        on_exists: OnExists,
        content: Content,
        *,
        compare: bool = False,
        who: Callable[[], str] = str,
        command_uid: bytes = b"",
    ) -> Published:
        new = NewFile(content, on_exists, on_exists == "overwrite" and not compare, who, command_uid)
        self.exists, self.policy, self.how = False, on_exists, None
        for other in names_for(name, new, self.extension):
            self.path = "/".join((self.directories.root, *parts, other))
            self.how = self._how("/".join((self.directories.full_path, *parts, other)), new, other != name)
            if self.how is not None:
                return self.path, self.how
        raise StorageError("No free file name found")

    def _how(self, place: str, new: NewFile, by_mark: bool) -> How | None:
        """None: another name has to be tried."""
        existing = None if lstat_if_exists(place) is None else find_existing(place)
        if existing is None:
            return "new"
        self.exists = True
        with existing:
            what = decide(existing, new, place, by_mark=by_mark)
            if what == "replace":
                if stat.S_ISDIR(existing.status.st_mode):
                    raise StorageError("Cannot store file: Is a directory")
                return "replaced"
            return None if what == "other name" else what


def _after_storing(settings: Settings, plugins: Plugins) -> list[Step]:
    """What would be called for an instance that is stored. Raises PluginError."""
    relocating = plugins.relocation(settings)
    first = [Step("relocate", relocating[0], "after storing, before the hooks below", None)] if relocating else []
    return first + [
        Step(hook, name, _when(hook, plugins.targets_of(name, hook, settings)), None)
        for hook in DELIVERY_HOOKS
        if hook != "relocate"
        for name in plugins.order(hook)
    ]


def _when(hook: str, targets: tuple[str, ...]) -> str:
    when = "after storing" if hook == "deliver" else AFTER_QUIET
    if hook != "deliver" and targets == (DEFAULT_TARGET,):
        return when
    return f"{when}, to {', '.join(targets) or 'no target'}"


class Explainer:
    """Takes files through the stages, one after another."""

    def __init__(
        self, settings: Settings, plugins: Plugins, calls: list[Call], sender: tuple[str, str, str] = ("", "", "")
    ) -> None:
        self._settings = settings
        self._sender = sender
        self._replaced: dict[int, tuple[str, ...]] = {}
        """What was replaced in a call, by its place in `calls`."""
        self._said: defaultdict[int, list[str]] = defaultdict(list)
        """What a plugin said of a call, by its place in `calls`."""
        self._plugins = plugins
        self._calls = calls
        self._default = default_contexts(stores=plugins.names_storage())
        self._receiver = InstanceReceiver(settings, plugins, Capabilities())
        root = self._receiver.publisher.directories.root
        self._publisher = _DryPublisher(
            root,
            settings.working_directory,
            fsync=False,
            capabilities=Capabilities(),
            extension=settings.filename_extension,
            on_duplicate=settings.on_duplicate,
        )
        self._receiver.publisher = self._publisher
        self._after_storing = _after_storing(settings, plugins)
        self._watched = self._watched_instance()
        self._receive_hook, plugins.receive = plugins.receive, self._watch_replacements

    def explain(self, path: str) -> Explanation:
        """Raises nothing, whatever is wrong with the file or happens in a hook."""
        explanation = Explanation(path, storage_mode=self._settings.storage_mode)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a FIFO would wait
        except OSError as error:
            explanation.error = error.strerror or str(error)
            return explanation
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("not a regular file")
            meta = read_file_meta(fd)
        except (ValueError, OSError) as error:
            os.close(fd)
            explanation.error = f"not a DICOM file: {error}"
            return explanation
        explanation.describe(meta)
        explanation.calling_ae_title, explanation.peer_address, explanation.called_ae_title = self._peer()
        association = self._association(meta)
        explanation.context = self._negotiate(association, meta)
        self._collect(explanation)
        if explanation.context.rejected:
            os.close(fd)
            explanation.outcome = "rejected"
            return explanation
        explanation.steps += [Step("serve", name, NOT_FOR_FILES, None) for name in self._plugins.order("serve")]
        reception = Reception(self._receiver, association, *meta[:3])
        reception.adopt(fd, meta.offset, status.st_size - meta.offset)
        try:
            outcome = self._receive(reception, explanation)
        except StatusError as error:
            outcome = Outcome(error.status, error.comment, error.elements)
        except OSError as error:
            failure = storage_error(error, "Cannot read data set")
            outcome = Outcome(failure.status, failure.comment)
        finally:
            reception.discard()
        self._collect(explanation)
        explanation.remarks = reception.remarks
        explanation.conclude(outcome)
        if outcome.location is not None and explanation.how != "dropped":
            explanation.steps += self._after_storing
        return explanation

    def _watch_replacements(self, instance: Instance) -> ReceiveResult:
        """Ask `receive`, and note what each plugin replaces and says."""
        instance.__class__ = self._watched
        return self._receive_hook(instance)

    def _watched_instance(self) -> type[ReceivedInstance]:
        """An instance that notes what is done to it and said of it: the call under way is the next in `calls`."""
        replaced = self._replaced
        calls = self._calls
        said = self._said

        class Watched(ReceivedInstance):
            __slots__ = ()

            @property
            def explained(self) -> list[str]:
                return said[len(calls)]

            def _replace(self, *args: Any, **named: Any) -> None:
                before = elements_of(self)
                super()._replace(*args, **named)
                found = differences(before, elements_of(self)) or (NO_DIFFERENCE,)
                replaced[len(calls)] = replaced.get(len(calls), ()) + found

        return Watched

    def _collect(self, explanation: Explanation) -> None:
        uid = explanation.sop_class_uid
        explanation.steps += [
            Step(
                call.hook,
                call.plugin,
                shown(call.result, uid, replaced=place in self._replaced) + _becomes(call),
                round(call.microseconds, 1),
                self._replaced.get(place, ()),
                tuple(self._said.get(place, ())),
            )
            for place, call in enumerate(self._calls)
        ]
        self._calls.clear()
        self._replaced.clear()
        self._said.clear()

    def _peer(self) -> tuple[str, str, str]:
        """Calling title, address, called title."""
        calling, address, called = self._sender
        return calling or CALLING, address or PEER, called or self._settings.ae_title or CALLED

    def _association(self, meta: FileMeta) -> Association:
        calling, address, called = self._peer()
        proposed = ProposedContext(1, meta.sop_class_uid, (meta.transfer_syntax_uid,))
        return Association(calling, called, address, 0, "explain", (proposed,))

    def _negotiate(self, association: Association, meta: FileMeta) -> Context:
        [proposed] = association.proposed
        said = self._plugins.negotiate(association)
        if isinstance(said, Reject):
            reason = said.reason.name.lower().replace("_", " ")
            return Context(False, f"association rejected: {reason}", rejected=True)
        supported = self._default if said.contexts is None else said.contexts
        answer = negotiation.negotiate((proposed,), supported + said.also)
        if not answer.accepted:
            reason = negotiation.RESULTS[answer.results[0].result]
            hint = hint_for((proposed,))
            return Context(False, reason, asconfig=hint.asconfig, toml=hint.toml)
        sources = tuple(self._sources(proposed))
        if said.contexts is None and not sources:
            stores = self._plugins.names_storage()
            return Context(True, by=(BY_STORAGE_PLUGIN,) if stores else (BY_DEFAULT,))
        return Context(True, by=sources)

    def _sources(self, proposed: ProposedContext) -> Iterator[str]:
        """The plugins whose contexts include the one of the file."""
        for call in self._calls:
            result = call.result.contexts if isinstance(call.result, Accept | Also) else call.result
            if isinstance(result, tuple) and any(_covers(context, proposed) for context in result):
                yield call.plugin

    def _receive(self, reception: Reception, explanation: Explanation) -> Outcome:
        instance, verdict = reception.judge()
        instance.__class__ = self._watched  # `receive` is not asked if no plugin has it
        self._collect(explanation)
        outcome = outcome_of(verdict, instance)
        if outcome.discarded or not _stores(outcome.status):
            return outcome
        [writer, *_] = self._plugins.order("write")
        if writer == WRITER:
            publisher = self._publisher
            publisher.forget()
            try:
                return outcome_of(verdict, instance, reception.store(instance))
            finally:
                explanation.path = publisher.path
                explanation.exists, explanation.on_exists = publisher.exists, publisher.policy
                explanation.how = publisher.how
                explanation.attempts = min(instance.attempt + 1, MAX_ATTEMPTS)
                self._keep_last_attempt()
        path = reception.choose_path(instance, self._plugins.choose_subdir(instance))
        explanation.path, explanation.exists, explanation.attempts = path, lstat_if_exists(path) is not None, 1
        self._collect(explanation)
        explanation.steps.append(Step("write", writer, "not called", None))
        return outcome_of(verdict, instance, path)

    def _keep_last_attempt(self) -> None:
        """Keep the last attempt only, of up to a thousand to choose a name."""
        calls = self._calls
        earlier = [place for place, call in enumerate(calls[:-1]) if call.hook == "write"]
        if earlier:
            first = next(place for place, call in enumerate(calls) if call.hook == "choose_filename")
            last = [self._said.pop(place, []) for place in range(earlier[-1] + 1, len(calls))]
            del calls[first : earlier[-1] + 1]
            self._said.update(enumerate(last, first))


def _becomes(call: Call) -> str:
    """What the receiver makes of a directory that is not the work of `escape_directory`; "" if it stays."""
    if call.hook != "choose_subdir" or not isinstance(call.result, str | PurePath):
        return ""
    try:
        directory = "/".join(escaped_path(call.result, "")[0])
    except StatusError:
        return ""  # its own result says so
    return f", which becomes {directory}" if directory != str(call.result) else ""


def _covers(context: SupportedContext, proposed: ProposedContext) -> bool:
    syntaxes = context.transfer_syntaxes
    return context.abstract_syntax == proposed.abstract_syntax and (
        syntaxes is None or proposed.transfer_syntaxes[0] in syntaxes
    )


def _stores(status: int) -> bool:
    return status == 0 or status >> 12 == 0xB


def lstat_if_exists(path: str) -> os.stat_result | None:
    """What has that name. Raises StorageError if there cannot be anything."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, "Cannot open directory") from error
