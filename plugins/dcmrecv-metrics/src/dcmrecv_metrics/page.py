"""The status page for people: who is connected, the last hour, refusals of today, queues, workers.

It shows no name and no number of a patient, as the status document has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from dcmrecv_metrics.history import Interval
from dcmrecv_metrics.markup import Markup, element
from dcmrecv_metrics.plots import minutes, plot
from dcmrecv_metrics.words import age, moment, number, size

REFRESH = 10
"""Seconds after which a browser loads the page again."""

MOST_REFUSALS = 50
"""So many refusals of today are shown, the newest first."""

Status = dict[str, Any]


def page(status: Status, intervals: Iterable[Interval], now: datetime) -> str:
    """The page for a status document; `now` has the time zone in which times are shown."""
    return _document(
        _header(status, now),
        _totals(status, now),
        _last_hour(intervals),
        _connected(status["associations"], now),
        _refusals(status["refusals"], now),
        _queues(status["queues"], now),
        _workers(status["workers"], now),
    )


def _document(*sections: Markup) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name_="viewport", content_="width=device-width, initial-scale=1"),
        element("meta", http_equiv="refresh", content_=str(REFRESH)),
        element("meta", name_="color-scheme", content_="light dark"),
        element("title", "dcmrecv"),
        element("link", rel="stylesheet", href="/style.css"),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', element('main', *sections)), lang='en')}\n"


def _header(status: Status, now: datetime) -> Markup:
    state = status["state"]
    looks = {"ready": "good", "draining": "busy", "stopping": "busy"}.get(state, "bad")
    reasons = [element("p", reason, class_="reason") for reason in status["not_ready"] if reason != state]
    ports = ", ".join(
        f"{listening['address']} port {listening['port']}{' (TLS)' * bool(listening['tls'])}"
        for listening in status["listening"]
    )
    facts = f"Version {status['version']}, running for {age(status['started_at'], now)}" + f", on {ports}" * bool(ports)
    return element(
        "header",
        element("h1", "dcmrecv ", element("strong", state.capitalize(), class_=f"state {looks}")),
        *reasons,
        element("p", facts, class_="facts"),
    )


def _totals(status: Status, now: datetime) -> Markup:
    totals = status["totals"]
    instances = totals["instances"]
    tiles = [
        ("Connected now", number(len(status["associations"])), ""),
        ("Associations", number(totals["associations"]["accepted"]), ""),
        ("Instances stored", number(instances["stored"]), ""),
        ("Received", size(totals["bytes"]), ""),
        ("Instances refused", number(instances["refused"]), "alarm" * bool(instances["refused"])),
        ("Associations rejected", number(totals["associations"]["rejected"]), ""),
    ]
    if instances["discarded"]:
        tiles.append(("Instances discarded", number(instances["discarded"]), ""))
    return element(
        "section",
        element(
            "dl",
            *[
                element("div", element("dt", label), element("dd", value, class_=looks), class_="tile")
                for label, value, looks in tiles
            ],
        ),
        element("p", f"Counted since {moment(status['counting_since'], now)}", class_="facts"),
    )


def _last_hour(intervals: Iterable[Interval]) -> Markup:
    hour = minutes(intervals)
    return _section(
        "Last hour",
        element(
            "div",
            plot("Instances stored a minute", "stored", hour, lambda minute: minute.stored),
            plot("Received", "bytes", hour, lambda minute: minute.bytes / 1e6, " MB/min"),
            plot("Associations open", "open", hour, lambda minute: minute.open),
            plot("Refused a minute", "refused", hour, lambda minute: minute.refused),
            class_="plots",
        ),
    )


def _connected(associations: Sequence[Status], now: datetime) -> Markup:
    rows = [
        (
            _title(association["calling_ae_title"]),
            _title(association["called_ae_title"]),
            f"{association['peer_address']}{' (TLS)' * bool(association['tls'])}",
            age(association["since"], now),
            number(association["instances"]),
            size(association["bytes"]),
            f"{age(association['last_at'], now)} ago" if association["last_at"] else "-",
        )
        for association in associations
    ]
    heads = ("From", "To", "Address", "#For", "#Instances", "#Received", "#Last")
    return _section("Connected now", _table(heads, rows, "Nobody is connected."))


def _refusals(refusals: Sequence[Status], now: datetime) -> Markup:
    today = [
        refusal
        for refusal in refusals
        if datetime.fromisoformat(refusal["at"]).astimezone(now.tzinfo).date() == now.date()
    ]
    rows = [
        (
            moment(refusal["at"], now),
            _title(refusal["calling_ae_title"]),
            _title(refusal["called_ae_title"]),
            refusal["peer_address"],
            refusal["kind"],
            element("code", refusal["status"]),
            refusal["reason"],
            number(refusal["count"]),
        )
        for refusal in today[: -MOST_REFUSALS - 1 : -1]
    ]
    heads = ("At", "From", "To", "Address", "What", "Status", "Reason", "#Times")
    return _section("Refusals of today", _table(heads, rows, "Nothing was refused today."))


def _queues(queues: Sequence[Status], now: datetime) -> Markup:
    rows = [
        (
            queue["queue"]
            if queue["claimed"]
            else element("span", f"{queue['queue']}: no plugin takes from it", class_="alarm"),
            *[number(queue[key]) for key in ("waiting", "busy")],
            *[_alarming(queue[key]) for key in ("failing", "put_aside")],
            age(queue["oldest"], now) if queue["oldest"] else "-",
        )
        for queue in queues
    ]
    heads = ("Queue", "#Waiting", "#Busy", "#Failing", "#Put aside", "#Oldest")
    return _section("Queues", _table(heads, rows, "There are no queues: no plugin delivers."))


def _workers(workers: Sequence[Status], now: datetime) -> Markup:
    states = Counter(worker["state"] for worker in workers)
    summary = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    rows = [
        (
            str(worker["pid"]),
            worker["hook"]["plugin"],
            worker["hook"]["hook"],
            age(worker["hook"]["since"], now),
        )
        for worker in workers
        if worker["hook"]
    ]
    in_hooks = [_table(("Process", "Plugin", "Hook", "#For"), rows, "")] if rows else []
    return _section("Workers", element("p", summary), *in_hooks)


def _section(title: str, *content: Markup) -> Markup:
    return element("section", element("h2", title), *content)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], if_empty: str) -> Markup:
    """`#` before a head: its column has numbers."""
    if not rows:
        return element("p", if_empty, class_="none")
    names = [head.lstrip("#") for head in heads]
    looks = ["number" * head.startswith("#") for head in heads]
    head = [element("th", name, class_=look) for name, look in zip(names, looks, strict=True)]
    body = [
        element(
            "tr",
            # on a phone the cells are below one another, each with its name
            *[
                element("td", element("span", name, class_="name"), element("span", cell), class_=look)
                for name, look, cell in zip(names, looks, row, strict=True)
            ],
        )
        for row in rows
    ]
    return element("table", element("thead", element("tr", *head)), element("tbody", *body))


def _title(title: str) -> Markup:
    return element("span", title or "(empty)", class_="title")


def _alarming(count: int) -> Markup:
    return element("span", number(count), class_="alarm" * bool(count))
