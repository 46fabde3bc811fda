"""What a receiver counts, as tables for people. Nothing that a peer has sent can control the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from dcmrecv_core.counters.document import AssociationStatus, Counters, QueueStatus, RefusalStatus, WorkerStatus
from dcmrecv_core.logs.records import escape_controls

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def status_lines(counters: Counters, now: datetime, *, refusals: int = 5) -> Iterator[str]:
    """All of it; so many of the last refusals."""
    yield from _head(counters, now)
    yield ""
    yield from _associations(counters.associations, now)
    yield ""
    yield from _workers(counters.workers, now)
    if counters.refusals:
        yield ""
        yield from refusal_lines(counters.refusals[-refusals:], counters.counting_since)
    if counters.queues:
        yield ""
        yield from _queues(counters.queues, now)
    if counters.plugin_counters:
        yield ""
        yield from table(
            [(f"{each.plugin}: {each.name}", str(each.value)) for each in counters.plugin_counters],
            ("counted by plugins", "count"),
            right=(1,),
        )


def refusal_lines(refusals: Sequence[RefusalStatus], since: datetime) -> Iterator[str]:
    """One for each refusal."""
    if not refusals:
        yield f"nothing was refused since {clock_time(since)}"
        return
    rows = [
        (
            clock_time(each.at),
            each.calling_ae_title or "-",
            each.called_ae_title or "-",
            each.peer_address,
            each.kind,
            each.status,
            str(each.count),
            each.reason,
        )
        for each in refusals
    ]
    yield from table(rows, ("refused last", "from", "to", "address", "what", "status", "times", "reason"), right=(6,))


def table(rows: Sequence[Sequence[str]], titles: Sequence[str], right: Sequence[int] = ()) -> Iterator[str]:
    """Aligned columns, the numbers of those in `right` to the right; the last column may be of any length."""
    safe = [titles, *([escape_controls(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in safe) for column in range(len(titles))]
    for row in safe:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def size(count: int) -> str:
    """`12.3 MB`, with three digits."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.3g} {_UNITS[unit]}"


def clock_time(at: datetime) -> str:
    return (
        at.isoformat(" ", "seconds").rpartition("+")[0] if at.utcoffset() == timedelta() else f"{at:%Y-%m-%d %H:%M:%S}"
    )


def how_long(since: datetime | None, now: datetime) -> str:
    """`4 s`, `3 min`, `5 h`, `12 d`; "-" for never."""
    if since is None:
        return "-"
    seconds = max((now - since).total_seconds(), 0.0)
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds // 86_400:.0f} d"


def _head(counters: Counters, now: datetime) -> Iterator[str]:
    totals = counters.totals
    where = ", ".join(f"{each.address} port {each.port}{' (TLS)' if each.tls else ''}" for each in counters.listening)
    why = (
        f" ({', '.join(counters.not_ready)})" if counters.not_ready and counters.not_ready != (counters.state,) else ""
    )
    yield f"dcmrecv {counters.version}, process {counters.pid}: {counters.state}{why}, on {where}"
    yield f"counting since {clock_time(counters.counting_since)} ({how_long(counters.counting_since, now)})"
    associations, instances = totals.associations, totals.instances
    ended = ", ".join(f"{count} {how}" for how, count in associations.ended.items() if count)
    yield (
        f"associations: {associations.accepted} accepted, {associations.rejected} rejected, "
        f"{len(counters.associations)} open{ended and f'; ended: {ended}'}"
    )
    yield (
        f"instances: {instances.stored} stored, {instances.refused} refused, {instances.discarded} discarded; "
        f"{size(totals.bytes)}; {totals.echoes} echoes"
    )


def _associations(associations: Sequence[AssociationStatus], now: datetime) -> Iterator[str]:
    if not associations:
        yield "no association is open"
        return
    rows = [
        (
            each.calling_ae_title,
            each.called_ae_title,
            _address(each),
            how_long(each.since, now),
            str(each.instances),
            size(each.bytes),
            how_long(each.last_at, now),
            str(each.pid),
        )
        for each in associations
    ]
    titles = ("from", "to", "address", "since", "instances", "bytes", "last", "worker")
    yield from table(rows, titles, right=(3, 4, 5, 6, 7))


def _address(association: AssociationStatus) -> str:
    address = association.peer_address
    address = f"[{address}]" if ":" in address else address
    return f"{address}:{association.peer_port}" + (" TLS" if association.tls else "")


def _workers(workers: Sequence[WorkerStatus], now: datetime) -> Iterator[str]:
    states = [each.state for each in workers]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("serving", "idle", "starting") if state in states)
    yield f"workers: {counts or 'none'}"
    for each in workers:
        if each.hook is not None:
            hook = escape_controls(f"hook {each.hook.hook} of plugin {each.hook.plugin}")
            yield f"  {each.pid} is in {hook}, {how_long(each.hook.since, now)}"


def _queues(queues: Sequence[QueueStatus], now: datetime) -> Iterator[str]:
    rows = [
        (
            each.queue,
            str(each.waiting),
            str(each.failing),
            str(each.busy),
            str(each.put_aside),
            how_long(each.oldest, now),
            "" if each.claimed else "(no plugin claims it)",
        )
        for each in queues
    ]
    yield from table(rows, ("queue", "waiting", "failing", "busy", "put aside", "oldest", ""), right=(1, 2, 3, 4, 5))
