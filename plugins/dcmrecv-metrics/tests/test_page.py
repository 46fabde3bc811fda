"""What the page for people says."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from documents import NOW, association, before, document, refusal

from dcmrecv_metrics.history import Interval
from dcmrecv_metrics.page import MOST_REFUSALS, page

VOID = {"meta", "link"}


class Text(HTMLParser):
    """The text of a page; elements have to end in the order in which they began."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.elements: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Text(page).text))


def test_it_needs_nothing_from_elsewhere_and_no_script() -> None:
    made = page(document(), [], NOW)
    assert not {"script", "iframe", "img", "object", "form"} & set(Text(made).elements)
    assert "//" not in made.replace("<!DOCTYPE html>", "")
    assert " style=" not in made, "the Content-Security-Policy forbids it"
    assert '<meta http-equiv="refresh" content="10">' in made


def test_who_is_connected() -> None:
    text = text_of(page(document(), [], NOW))
    assert "CT_1" in text and "192.0.2.17" in text and "3 min 12 s" in text and "111 MB" in text
    assert "2001:db8::2 (TLS)" in text


def test_nobody_connected() -> None:
    assert "Nobody is connected." in text_of(page(document(associations=[]), [], NOW))


def test_refusals_of_today_the_newest_first() -> None:
    text = text_of(page(document(), [], NOW))
    assert text.index("calling AE title not recognized") < text.index("no space left")
    assert "15:05:26" in text
    assert "OLD_CT" not in text, "yesterday"


def test_only_so_many_refusals() -> None:
    many = [refusal(f"CT_{number}", "A700", "full", at=before(minutes=1)) for number in range(MOST_REFUSALS + 5)]
    text = text_of(page(document(refusals=many), [], NOW))
    assert text.count(" CT_") - len(document()["associations"][:1]) == MOST_REFUSALS
    assert "CT_54 " in text and "CT_4 " not in text


def test_no_refusals() -> None:
    assert "Nothing was refused today." in text_of(page(document(refusals=[]), [], NOW))


def test_queues() -> None:
    status = document()
    status["queues"][1]["claimed"] = False
    text = text_of(page(status, [], NOW))
    assert "forward/PACS" in text and "5 min 0 s" in text
    assert "index: no plugin takes from it" in text
    assert "no plugin delivers" in text_of(page(document(queues=[]), [], NOW))


def test_workers_and_a_hook_that_runs() -> None:
    text = text_of(page(document(), [], NOW))
    assert "2 idle, 2 serving" in text
    assert "4712" in text and "deidentify" in text


@pytest.mark.parametrize(
    ("state", "looks"), [("ready", "good"), ("draining", "busy"), ("stopping", "busy"), ("not ready", "bad")]
)
def test_the_state(state: str, looks: str) -> None:
    made = page(document(state=state, not_ready=["/out has no space left"] * (state == "not ready")), [], NOW)
    assert f'<strong class="state {looks}">{state.capitalize()}</strong>' in made
    assert ("/out has no space left" in made) == (state == "not ready")


def test_discarded_instances_are_shown_if_there_are_any() -> None:
    status = document()
    assert "Instances discarded" not in page(status, [], NOW)
    status["totals"]["instances"]["discarded"] = 3
    assert "Instances discarded" in page(status, [], NOW)


def test_the_last_hour() -> None:
    made = page(document(), [Interval(5.0, 10.0, 4.0, 0.5, 2e6, 3)], NOW)
    assert "Instances stored a minute: at most 40, in the last minute 40" in made
    assert "Received: at most 20 MB/min, in the last minute 20 MB/min" in made
    assert "Associations open: at most 3, in the last minute 3" in made
    assert "Refused a minute: at most 5, in the last minute 5" in made


def test_an_empty_title() -> None:
    assert "(empty)" in page(document(associations=[association("")]), [], NOW)
