"""All that a receiver counts, as one tree of values. `as_dict` makes of it what `dcmrecvctl status --json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any, get_args, get_type_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """An address and port that the receiver listens on."""

    address: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputStatus:
    """Where instances are stored: the absolute `path`, the bytes of `--min-free`, and the `mount_point` of its file
    system at the start ("" if that is not known), as the processes of this `mount_namespace` see them (0 if that is not
    known). From this a reader finds out whether it can be used."""

    path: str
    min_free: int | None = None
    mount_point: str = ""
    mount_namespace: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationCounts:
    """Associations since `Counters.counting_since`. `ended` has the values of `Ended` as its keys, but not
    "rejected"."""

    accepted: int = 0
    rejected: int = 0
    ended: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceCounts:
    """Instances since `Counters.counting_since`, by their result."""

    stored: int = 0
    refused: int = 0
    discarded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the receiver has done since `Counters.counting_since`. `bytes` are those of complete data sets, refused and
    discarded ones included."""

    associations: AssociationCounts = field(default_factory=AssociationCounts)
    instances: InstanceCounts = field(default_factory=InstanceCounts)
    bytes: int = 0
    echoes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalStatus:
    """`count` refusals that are equal apart from their time; `at` is that of the last one.

    `kind` is "association" or "instance". `status`: of an instance the DIMSE status in hexadecimal digits (A700), of
    an association result, source and reason of the A-ASSOCIATE-RJ (1/1/7).
    """

    at: datetime
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    kind: str
    status: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalCount:
    """How often the receiver has refused something for one reason. Reasons are short, and few."""

    kind: str
    status: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """`count` durations, `sum` seconds together. A bucket is a bound in seconds and the number of durations of at most
    that; those above the last bound are in `count` only."""

    buckets: tuple[tuple[float, int], ...] = ()
    sum: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AllDurations:
    """`instance`: from a C-STORE request to its response. `association`: from the request of an accepted one to its
    end."""

    instance: Durations = field(default_factory=Durations)
    association: Durations = field(default_factory=Durations)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningHook:
    """A hook of a plugin that runs; `since` is right to a second."""

    plugin: str
    hook: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker. `state` is "idle", "serving" or "starting"."""

    pid: int
    state: str
    since: datetime
    hook: RunningHook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationStatus:
    """An association that is open; `pid` is its worker's, `last_at` the time of its last instance."""

    id: str
    pid: int
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    peer_port: int
    tls: bool
    since: datetime
    instances: int
    bytes: int
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """A queue of deliveries, called PLUGIN/TARGET. `waiting`: events; `failing`: studies whose next delivery is tried
    again; `busy`: studies that are being delivered; `put_aside`: what will not be tried again by itself; `oldest`: the
    time of the event that has waited longest; `claimed`: whether a plugin wants it."""

    queue: str
    waiting: int
    failing: int
    busy: int
    put_aside: int
    oldest: datetime | None
    claimed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HookTime:
    """How often a hook of a plugin was called in workers, and how long that took. Built-in plugins are not measured."""

    plugin: str
    hook: str
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginCount:
    """What a plugin counts itself (`PluginSettings.counter`)."""

    plugin: str
    name: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a receiver has done, and what it does now. Counts start at zero when the receiver starts; times are in the
    local zone."""

    version: str
    pid: int
    state: str
    """One of "ready", "not ready", "draining" or "stopping"."""
    not_ready: tuple[str, ...]
    """Why it is not ready; empty if it is."""
    started_at: datetime
    counting_since: datetime
    listening: tuple[Listening, ...] = ()
    output: OutputStatus | None = None
    totals: Totals = field(default_factory=Totals)
    refusals: tuple[RefusalStatus, ...] = ()
    """The last ones, the newest last; at most 200."""
    refusal_counts: tuple[RefusalCount, ...] = ()
    durations: AllDurations = field(default_factory=AllDurations)
    workers: tuple[WorkerStatus, ...] = ()
    associations: tuple[AssociationStatus, ...] = ()
    """The longest first."""
    queues: tuple[QueueStatus, ...] = ()
    plugin_times: tuple[HookTime, ...] = ()
    """Only if a plugin has asked for them (`PluginSettings.measure_hooks`)."""
    plugin_counters: tuple[PluginCount, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Of lists, dictionaries, texts and numbers; times are texts in ISO 8601 with their offset."""
        found: dict[str, Any] = _plain(asdict(self))
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Counters:
        """What `as_dict` returned. Unknown keys are ignored, as a newer receiver has more. Raises ValueError if it is
        something else."""
        try:
            made = _made(cls, found)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the counters of a receiver: {error}") from error
        assert isinstance(made, cls)
        return made


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _made(kind: Any, value: Any) -> Any:
    """`value`, which is plain, as a `kind`."""
    if kind is datetime:
        return datetime.fromisoformat(value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        given = {each.name for each in fields(kind)} & set(value)
        return kind(**{name: _made(hints[name], value[name]) for name in given})
    arguments = get_args(kind)
    if getattr(kind, "__origin__", None) is tuple:
        if arguments[-1] is ...:
            return tuple(_made(arguments[0], item) for item in value)
        return tuple(_made(each, item) for each, item in zip(arguments, value, strict=True))
    if type(None) in arguments:
        return None if value is None else _made(arguments[0], value)
    return dict(value) if isinstance(value, Mapping) else value
