"""The status page in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
import refusing
from browser import Browser
from serving import Served, start

from dcmrecv_core.testing import StartReceiver, sample_dataset, until


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


@pytest.fixture
def served(start_receiver: StartReceiver) -> Served:
    """A receiver that has stored two instances and refused one."""
    served = start(start_receiver, plugins=[refusing])
    served.receiver.send(sample_dataset(SOPInstanceUID="1.2.3.1"), sample_dataset(SOPInstanceUID="1.2.3.2"))
    served.receiver.send(sample_dataset(), calling_ae_title="REFUSE")
    until(lambda: "no room for it" in served.get("/")[1], "the refusal on the page")
    return served


def test_it_says_what_has_happened(served: Served, browser: Browser) -> None:
    text = browser.text(f"http://{served.host}:{served.port}/")
    for expected in (
        "dcmrecv Ready",
        "Instances stored 2",
        "Instances refused 1",
        "Nobody is connected.",
        "Last hour",
        "REFUSE",
        "A700",
        "no room for it",
        "There are no queues",
        "idle",
    ):
        assert expected in text


@pytest.mark.parametrize(("width", "height"), [(1180, 900), (500, 1400)], ids=["desktop", "phone"])
def test_it_is_drawn(served: Served, browser: Browser, width: int, height: int) -> None:
    """And without a script, as the page's policy forbids all: the browser would complain."""
    address = f"http://{served.host}:{served.port}/"
    picture = browser.screenshot(address, width, height)
    assert (picture.width, picture.height) == (width, height)
    assert picture.different_rows() > 200
    assert browser.screenshot("about:blank", width, height).different_rows() < 5, "a blank one has few"
