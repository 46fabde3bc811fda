"""The explanation of one file: as fields, which are its JSON, and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dcmrecv_core.api.verdicts import Accept, Also, Discard, Name, Refuse, Reject, SupportedContext, Warn
from dcmrecv_core.logs.records import escape_controls
from dcmrecv_core.receive.pipeline import Outcome
from dcmrecv_core.settings.uids import name_of
from dcmrecv_core.storage.file_meta import FileMeta

CALLING = "EXPLAIN"
CALLED = "DCMRECV"
PEER = "127.0.0.1"
"""The association that plugins see: the called title is that of `-aet` if it is given."""

BY_STORAGE_PLUGIN = "a plugin that stores is named"
BY_DEFAULT = "default"
"""What has accepted a context for which no plugin had an opinion, as in JSON."""

NO_OPINION = "no opinion"
REPLACED = "replaced"
"""The result of a plugin that only replaced data."""

_COLUMN = 17
_ACCEPTED: dict[tuple[str, ...], str] = {
    (BY_STORAGE_PLUGIN,): "yes (default for a storage plugin)",
    (BY_DEFAULT,): "yes (default)",
}
_EXISTING = {
    "new": "yes, of another instance or content, will stay",
    "replaced": "yes, will be overwritten",
    "kept": "yes, with the same content, will stay",
    "dropped": "yes, will stay, this content is dropped",
    None: "yes, will stay, the instance is refused",
}
"""What happens to a file of the chosen name."""


@dataclass(frozen=True, slots=True)
class Step:
    """One hook of one plugin: its result, how long it took (None: it was not called), the elements that it
    `replaced`, without their values, and what it `said` itself."""

    hook: str
    plugin: str
    result: str
    microseconds: float | None
    replaced: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """The presentation context: accepted `by` which plugins, or the `reason` and the lines that would accept it."""

    accepted: bool
    reason: str = ""
    by: tuple[str, ...] = ()
    asconfig: tuple[str, ...] = ()
    toml: tuple[str, ...] = ()
    rejected: bool = False
    """The whole association is: nothing else would happen."""


@dataclass(slots=True)
class Explanation:
    """`error` says why a file cannot be explained; then the rest is empty.

    `outcome` is "stored", "kept", "discarded" or "refused", as if the context had been accepted; "rejected" if the
    association is. `status` is the one of the response. `attempts` is how often `choose_filename` was called; `steps`
    has the last call. `exists`: the chosen name is taken. `how` says what happens then: the instance is "new" (under
    another name), the existing file is "replaced", or it stays because it has the same content ("kept") or in spite of
    another one ("dropped").
    """

    file: str
    error: str = ""
    sop_class_uid: str = ""
    sop_class_name: str | None = None
    sop_instance_uid: str = ""
    transfer_syntax_uid: str = ""
    transfer_syntax_name: str | None = None
    calling_ae_title: str = ""
    called_ae_title: str = ""
    peer_address: str = ""
    context: Context = Context(False)
    storage_mode: str = ""
    remarks: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    outcome: str = ""
    status: str = ""
    comment: str = ""
    path: str | None = None
    attempts: int = 0
    exists: bool = False
    on_exists: str | None = None
    how: str | None = None

    def describe(self, meta: FileMeta) -> None:
        self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax_uid, _ = meta
        self.sop_class_name = name_of(meta.sop_class_uid)
        self.transfer_syntax_name = name_of(meta.transfer_syntax_uid)

    def conclude(self, outcome: Outcome) -> None:
        self.status, self.comment = f"{outcome.status:04X}", outcome.comment
        if outcome.location is not None:
            self.outcome = "kept" if self.how in ("kept", "dropped") else "stored"
        else:
            self.outcome = "discarded" if outcome.discarded else "refused"


def shown(result: Any, sop_class_uid: str, *, replaced: bool = False) -> str:
    """The result of a hook in full; of presentation contexts only how many, and how many are for this class.
    `replaced`: the call has replaced data."""
    match result:
        case None:
            return REPLACED if replaced else NO_OPINION
        case BaseException():
            return f"{type(result).__name__}: {result}"
        case Refuse() | Warn():
            return f"{type(result).__name__} {result.status:04X} {result.comment}".rstrip()
        case Discard():
            return f"Discard {result.reason}".rstrip()
        case Reject():
            return f"Reject {result.reason.name}"
        case Name():
            return result.text if result.on_exists is None else f"{result.text}, on_exists={result.on_exists}"
        case Also():
            return f"also {_contexts(result.contexts, sop_class_uid)}"
        case Accept():
            return _contexts(result.contexts, sop_class_uid)
        case tuple():
            return _contexts(result, sop_class_uid)
    return str(result) or '""'


def _contexts(contexts: tuple[SupportedContext, ...], sop_class_uid: str) -> str:
    matching = sum(context.abstract_syntax == sop_class_uid for context in contexts)
    return f"contexts: {len(contexts)}, of this class: {matching}"


def as_text(explanation: Explanation) -> str:
    """Text for people; control characters from files and plugins are escaped."""
    if explanation.error:
        lines = [f"{explanation.file}: {explanation.error}"]
    else:
        lines = [explanation.file, *(f"  {name:{_COLUMN}}{text}".rstrip() for name, text in _rows(explanation))]
    # a file name may have bytes that are not text
    return "".join(f"{escape_controls(line)}\n" for line in lines).encode("utf-8", "backslashreplace").decode()


def _rows(explanation: Explanation) -> Iterator[tuple[str, str]]:
    context = explanation.context
    yield "SOP class", explanation.sop_class_name or explanation.sop_class_uid
    yield "SOP instance", explanation.sop_instance_uid
    yield "transfer syntax", explanation.transfer_syntax_name or explanation.transfer_syntax_uid
    by = _ACCEPTED.get(context.by, f"yes, by {', '.join(context.by)}")
    yield "accepted", by if context.accepted else f"no, {context.reason}"
    sender = (explanation.calling_ae_title, explanation.peer_address, explanation.called_ae_title)
    if sender[:2] != (CALLING, PEER) or sender[2] != CALLED:
        yield "association", f"{sender[0]}@{sender[1]} -> {sender[2]}"
    if context.asconfig:
        yield "", "a profile (-xf) that accepts it:"
        yield from (("", f"  {line}") for line in context.asconfig)
        yield "", "or, in the settings file (--settings):"
        yield from (("", f"  {line}") for line in context.toml)
    for step in explanation.steps:
        if step.hook == "negotiate":
            yield from _step(step)
    if context.rejected:
        yield "outcome", "the association is rejected, nothing is received"
        return
    yield from _check(explanation)
    for step in explanation.steps:
        if step.hook != "negotiate":
            yield from _step(step)
    if explanation.path is not None:
        yield "path", explanation.path
        yield "existing file", _existing(explanation)
    yield "outcome", _outcome(explanation)


def _step(step: Step) -> Iterator[tuple[str, str]]:
    time = "" if step.microseconds is None else f" ({step.microseconds:.1f} us)"
    result = step.result
    if step.replaced and not step.said:
        replaced = f"{REPLACED}: {', '.join(step.replaced)}"
        result = replaced if result == REPLACED else f"{result}, {replaced}"
    yield step.hook, f"{step.plugin}: {result}{time}"
    yield from (("", f"  {line}") for line in step.said)


def _check(explanation: Explanation) -> Iterator[tuple[str, str]]:
    mode = explanation.storage_mode
    yield "check", f"{mode}: nothing is checked" if mode == "bit-preserving" else mode
    yield from (("", remark) for remark in explanation.remarks)


def _existing(explanation: Explanation) -> str:
    again = f" (after {explanation.attempts - 1} names that are taken)" if explanation.attempts > 1 else ""
    if not explanation.exists:
        return f"no{again}"
    known = explanation.on_exists is not None  # else a plugin writes the file
    return f"{_EXISTING[explanation.how] if known else 'yes'}{again}"


def _outcome(explanation: Explanation) -> str:
    text = f"{explanation.outcome}, status {explanation.status} {explanation.comment}".rstrip()
    return text if explanation.context.accepted else f"if it were accepted: {text}"
