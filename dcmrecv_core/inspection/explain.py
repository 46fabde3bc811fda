"""`--explain FILE...`: what would become of DICOM files if they were sent, without a network.

Every file goes the way of an instance with the pieces that a worker uses: `negotiate` for an association with one
context, the check of the storage mode, `receive`, `choose_subdir`, `choose_filename`. Nothing is written: `save` only
looks where the file would go, a plugin's `write` is not called, and nobody hears `stored`. What the protocol core
refuses by itself, before a data set is looked at, is not shown.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import StatusError, StorageError
from dcmrecv_core.api.model import Association, OnExists, ProposedContext, Reject, SupportedContext
from dcmrecv_core.inspection.explanation import CALLED, CALLING, PEER, Context, Explanation, Step, as_text, shown
from dcmrecv_core.proto import negotiation
from dcmrecv_core.receive.pipeline import Outcome, Receiver, Reception, outcome_of
from dcmrecv_core.settings.context_hints import accepting
from dcmrecv_core.settings.contexts import unasked
from dcmrecv_core.storage.directories import storage_error
from dcmrecv_core.storage.existing import look as existing_at
from dcmrecv_core.storage.file_meta import FileMeta, read_file_meta
from dcmrecv_core.storage.other_names import MAX_ATTEMPTS
from dcmrecv_core.storage.publish import Content, Publisher
from dcmrecv_core.storage.taken import How, Published, Wish, names_for, verdict
from dcmrecv_core.storage.temporary import Capabilities

if TYPE_CHECKING:
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.hooks.tracing import Call
    from dcmrecv_core.settings.settings import Settings

WRITER = "file-writer"
"""The built-in plugin whose `write` does nothing but `save`. Another one, which may do anything, is not called."""


def explain(
    settings: Settings, plugins: Plugins, calls: list[Call], files: Iterable[str], *, as_json: bool
) -> Iterator[tuple[str, bool]]:
    """For each file the text to print, and whether it could be explained; as JSON, one line for each file.

    `plugins` are configured, and put into `calls` what is said in hooks. Raises HookFailure if one of them cannot do
    without what `worker_started` failed to get.
    """
    explainer = Explainer(settings, plugins, calls)
    import dcmrecv_core.dataset.decoding  # noqa: F401  # loads pydicom, as the supervisor does: no hook's time has it

    plugins.worker_started(settings)
    calls.clear()
    try:
        for path in _walk(files):
            explanation = explainer.explain(path)
            text = json.dumps(asdict(explanation)) + "\n" if as_json else as_text(explanation)
            yield text, not explanation.error
    finally:
        plugins.worker_stopping()


def _walk(files: Iterable[str]) -> Iterator[str]:
    """The files themselves, those below directories in the order of their names."""
    for file in files:
        if not os.path.isdir(file):
            yield file
            continue
        for directory, subdirectories, names in os.walk(file):
            subdirectories.sort()
            yield from (os.path.join(directory, name) for name in sorted(names))


class _DryPublisher(Publisher):
    """Looks where a file would go, and writes nothing, whatever a plugin asks for."""

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
        look: bool = False,
        who: Callable[[], str] = str,
        command_uid: bytes = b"",
    ) -> Published:
        wish = Wish(content, on_exists, on_exists == "overwrite" and not look, who, command_uid)
        self.exists, self.policy, self.how = False, on_exists, None
        for other in names_for(name, wish, self.extension):
            self.path = "/".join((self.directories.root, *parts, other))
            self.how = self._how("/".join((self.directories.place, *parts, other)), wish, other != name)
            if self.how is not None:
                return self.path, self.how
        raise StorageError("No free file name found")

    def _how(self, place: str, wish: Wish, by_mark: bool) -> How | None:
        """None: another name has to be tried."""
        existing = None if standing_at(place) is None else existing_at(place)
        if existing is None:
            return "new"
        self.exists = True
        with existing:
            what = verdict(existing, wish, place, by_mark=by_mark)
            if what == "replace":
                if stat.S_ISDIR(existing.status.st_mode):
                    raise StorageError("Cannot store file: Is a directory")
                return "replaced"
            return None if what == "other name" else what


class Explainer:
    """Takes files through the stages, one after the other."""

    def __init__(self, settings: Settings, plugins: Plugins, calls: list[Call]) -> None:
        self._settings = settings
        self._plugins = plugins
        self._calls = calls
        self._unasked = unasked(stores=plugins.names_storage())
        self._receiver = Receiver(settings, plugins, Capabilities())
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

    def explain(self, path: str) -> Explanation:
        """Never raises for what a file, or a plugin's hook for it, can do."""
        explanation = Explanation(path, storage_mode=self._settings.storage_mode)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would be waited for
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
        association = _association(meta, self._settings)
        explanation.context = self._negotiate(association, meta)
        self._collect(explanation)
        reception = self._receiver.begin(association, *meta[:3])
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
        return explanation

    def _collect(self, explanation: Explanation) -> None:
        uid = explanation.sop_class_uid
        explanation.steps += [
            Step(call.hook, call.plugin, shown(call.result, uid), round(call.microseconds, 1)) for call in self._calls
        ]
        self._calls.clear()

    def _negotiate(self, association: Association, meta: FileMeta) -> Context:
        [proposed] = association.proposed
        supported = self._plugins.negotiate(association)
        if isinstance(supported, Reject):
            return Context(False, f"association rejected: {supported.reason.name.lower().replace('_', ' ')}")
        answer = negotiation.negotiate((proposed,), self._unasked if supported is None else supported)
        if not answer.accepted:
            reason = negotiation.RESULTS[answer.results[0].result]
            hint = accepting((proposed,))
            return Context(False, reason, asconfig=hint.asconfig, toml=hint.toml)
        if supported is None:
            stores = self._plugins.names_storage()
            return Context(True, by=("a plugin that stores is named",) if stores else ("default",))
        return Context(True, by=tuple(self._sources(proposed)))

    def _sources(self, proposed: ProposedContext) -> Iterator[str]:
        """The plugins among whose contexts is the one that counts."""
        for call in self._calls:
            if isinstance(call.result, tuple) and any(_covers(context, proposed) for context in call.result):
                yield call.plugin

    def _receive(self, reception: Reception, explanation: Explanation) -> Outcome:
        instance, verdict = reception.judge()
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
                _keep_last_attempt(self._calls)
        path = reception.choose_path(instance, self._plugins.choose_subdir(instance))
        explanation.path, explanation.exists, explanation.attempts = path, standing_at(path) is not None, 1
        self._collect(explanation)
        explanation.steps.append(Step("write", writer, "not called", None))
        return outcome_of(verdict, instance, path)


def _keep_last_attempt(calls: list[Call]) -> None:
    """Of a name that was asked for up to a thousand times, what was said last."""
    earlier = [place for place, call in enumerate(calls[:-1]) if call.hook == "write"]
    if earlier:
        first = next(place for place, call in enumerate(calls) if call.hook == "choose_filename")
        del calls[first : earlier[-1] + 1]


def _association(meta: FileMeta, settings: Settings) -> Association:
    proposed = ProposedContext(1, meta.sop_class_uid, (meta.transfer_syntax_uid,))
    return Association(CALLING, settings.ae_title or CALLED, PEER, 0, "explain", (proposed,))


def _covers(context: SupportedContext, proposed: ProposedContext) -> bool:
    syntaxes = context.transfer_syntaxes
    return context.abstract_syntax == proposed.abstract_syntax and (
        syntaxes is None or proposed.transfer_syntaxes[0] in syntaxes
    )


def _stores(status: int) -> bool:
    return status == 0 or status >> 12 == 0xB


def standing_at(path: str) -> os.stat_result | None:
    """What has that name. Raises StorageError if there cannot be anything."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, "Cannot open directory") from error
