"""`dcmrecvctl queue`: what waits to be delivered, and what was put aside. The receiver may run or not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from dcmrecv_core.api.hints import did_you_mean
from dcmrecv_core.ctl.receiver import CommandError, Receiver, Write
from dcmrecv_core.delivery.opening import open_store
from dcmrecv_core.delivery.store import Queue, Store
from dcmrecv_core.logs.records import escape_controls


def add_commands(commands: Any, which: argparse.ArgumentParser) -> None:
    """Declare `queue` and its commands; `which` has the options that all commands have."""
    text = "what waits to be delivered, and what was put aside"
    queue = commands.add_parser("queue", parents=[which], help=text, description=f"Show and change {text}.")
    actions = queue.add_subparsers(required=True, metavar="ACTION")

    def action(name: str, function: Callable[..., None], help: str) -> argparse.ArgumentParser:
        text = f"{help[0].upper()}{help[1:]}."
        added: argparse.ArgumentParser = actions.add_parser(name, parents=[which], help=help, description=text)
        added.set_defaults(run=run, function=function)
        return added

    listing = action("list", show, "show all queues, and what was put aside with its reason")
    listing.add_argument("--target", metavar="PLUGIN/TARGET", help="this queue only")
    listing.add_argument("--json", action="store_true", help="as JSON")
    retrying = action("retry", retry, "try again what was put aside, and at once what waits for its next attempt")
    retrying.add_argument("--target", metavar="PLUGIN/TARGET", help="of this queue only")
    retrying.add_argument("ids", metavar="ID", nargs="*", help="these only, as the list shows them")
    dropping = action("drop", drop, "remove deliveries for good; the stored files stay")
    dropping.add_argument("--target", metavar="PLUGIN/TARGET", required=True, help="from this queue")
    dropping.add_argument("ids", metavar="ID", nargs="*", help="these only; without any, all of the queue")
    replaying = action("replay", replay, "deliver again what was stored since then")
    replaying.add_argument("--target", metavar="PLUGIN/TARGET", required=True, help="to this queue, one of instances")
    replaying.add_argument("--since", metavar="TIME", required=True, type=_time, help="2026-11-01 or 2026-11-01T08:30")


def run(receiver: Receiver, arguments: argparse.Namespace, write: Write) -> None:
    """Raises CommandError, StoreError."""
    store = open_store(receiver.known_state_directory)
    try:
        arguments.function(store, arguments, write)
    finally:
        store.close()


def show(store: Store, arguments: argparse.Namespace, write: Write) -> None:
    """`queue list`."""
    only = _queue(store, arguments.target)
    states = [state for state in store.states() if only in (None, state.queue)]
    if arguments.json:
        listed: dict[str, Any] = {
            "queues": [{**state._asdict(), "queue": str(state.queue)} for state in states],
            "put_aside": [{**each._asdict(), "queue": str(each.queue)} for each in store.all_put_aside(only)],
        }
        write(json.dumps(listed, indent=2) + "\n")
        return
    width = max([len(str(state.queue)) for state in states] + [5])
    write(f"{'queue':{width}}  waiting  failing  busy  put aside  oldest\n")
    for state in states:
        oldest = "" if state.oldest is None else _shown(state.oldest)
        unclaimed = "" if state.claimed else "  (no plugin claims it)"
        write(
            f"{state.queue!s:{width}}  {state.waiting:7}  {state.failing:7}  {state.busy:4}  {state.put_aside:9}"
            f"  {oldest}{unclaimed}".rstrip()
            + "\n"
        )
    for line in _put_aside_lines(store, only):
        write(escape_controls(line) + "\n")


def _put_aside_lines(store: Store, only: Queue | None) -> Iterator[str]:
    for number, each in enumerate(store.all_put_aside(only)):
        if not number:
            yield ""
            yield "put aside:"
        yield f"  {each.queue}  {each.id or 'unknown'}  {_shown(each.at)}  attempts: {each.attempts}"
        yield f"    study {each.study}: {each.reason}"


def retry(store: Store, arguments: argparse.Namespace, write: Write) -> None:
    """`queue retry`."""
    _changed("retried", store.retry(_queue(store, arguments.target), arguments.ids), arguments, write)


def drop(store: Store, arguments: argparse.Namespace, write: Write) -> None:
    """`queue drop`."""
    _changed("dropped", store.drop(_named(store, arguments.target), arguments.ids), arguments, write)


def replay(store: Store, arguments: argparse.Namespace, write: Write) -> None:
    """`queue replay`."""
    queue = _named(store, arguments.target)
    if queue.hook != "deliver":
        what = "instances to be relocated" if queue.hook == "relocate" else "completed studies or series"
        raise CommandError(f"{queue} is a queue of {what}, which cannot be replayed")
    write(f"{store.replay(queue, arguments.since.timestamp())} events will be delivered again\n")


def _changed(what: str, count: int, arguments: argparse.Namespace, write: Write) -> None:
    if arguments.ids and not count:
        raise CommandError(f"no delivery has the id {' or '.join(arguments.ids)}")
    write(f"{count} {what}\n")


def _queue(store: Store, name: str | None) -> Queue | None:
    return None if name is None else _named(store, name)


def _named(store: Store, name: str) -> Queue:
    known = {str(state.queue): state.queue for state in store.states()}
    if name not in known:
        hint = did_you_mean(name, known) or f"there is {', '.join(known) or 'none'}"
        raise CommandError(f"there is no queue {name}; {hint}")
    return known[name]


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text} is no time; 2026-11-01 or 2026-11-01T08:30 expected") from error


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at).isoformat(" ", "seconds")
