"""Whatever a peer calls itself, the page shows it as text."""

from __future__ import annotations

from documents import HOSTILE, NOW, association, document, refusal

from dcmrecv_metrics.markup import element, join
from dcmrecv_metrics.page import page


def test_texts_and_attributes_are_escaped() -> None:
    made = element("p", "<b>&", element("i", "it"), title='">', class_="x", aria_label="a")
    assert made == '<p title="&quot;&gt;" class="x" aria-label="a">&lt;b&gt;&amp;<i>it</i></p>'


def test_an_empty_attribute_is_left_out() -> None:
    assert element("td", "1", class_="") == "<td>1</td>"


def test_void_elements_have_no_end() -> None:
    assert element("meta", name_="a", content_="b") == '<meta name="a" content="b">'


def test_what_cannot_be_seen_or_turns_the_text_is_shown_as_an_escape() -> None:
    assert join(["CT\x00\x1b[1m", "\u202eabc\u200b", "M\u00dc"]) == "CT\\x00\\x1b[1m\\u202eabc\\u200bM\u00dc"


def test_hostile_titles_everywhere() -> None:
    hostile = dict.fromkeys(("calling_ae_title", "called_ae_title", "peer_address"), HOSTILE)
    status = document(
        version=HOSTILE,
        state=HOSTILE,
        not_ready=[HOSTILE],
        listening=[{"address": HOSTILE, "port": 1, "tls": True}],
        associations=[association("", **hostile)],
        refusals=[refusal("", HOSTILE, HOSTILE, kind=HOSTILE, **hostile)],
        workers=[
            {
                "pid": 1,
                "state": HOSTILE,
                "since": NOW.isoformat(),
                "hook": {"plugin": HOSTILE, "hook": HOSTILE, "since": NOW.isoformat()},
            }
        ],
    )
    for queue in status["queues"]:
        queue.update(queue=HOSTILE, claimed=False)
    made = page(status, [], NOW)
    assert "<script" not in made.lower() and "alert(&quot;" in made
    assert made.count("&lt;script&gt;") >= 13
