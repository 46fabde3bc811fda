"""The plugin in a receiver: its rejections, and the mistakes that end the start."""

from __future__ import annotations

import pytest

from dcmrecv_core.testing import StartReceiver, sample_dataset


def test_allowed_peers_are_served_and_others_rejected(start_receiver: StartReceiver) -> None:
    receiver = start_receiver("-pm", "--allow-calling", "CT*", "--allow-network", "127.0.0.0/8", plugins=["access"])
    assert receiver.send(sample_dataset(), calling_ae_title="CT1") == [0]
    with pytest.raises(AssertionError, match="rejected"):
        receiver.send(sample_dataset(), calling_ae_title="MR1")
    receiver.wait_for_log("calling AE title not recognized, by plugin access: see its options")
    assert len(receiver.files()) == 1


def test_it_accepts_no_contexts(start_receiver: StartReceiver) -> None:
    receiver = start_receiver("--allow-called", "ARCHIVE", plugins=["access"])
    assert receiver.send(called_ae_title="ARCHIVE") == [0]
    with pytest.raises(AssertionError, match="rejected"):
        receiver.send(sample_dataset(), called_ae_title="ARCHIVE")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no rule given, so every sender would be admitted"),
        (("--allow-calling", "A,,B"), "--allow-calling: 'A,,B' has an empty part"),
        (("--allow-called", "A\\B"), "--allow-called"),
        (("--allow-network", "10.1.2.3/16"), "--allow-network: 10.1.2.3/16 has host bits set"),
    ],
)
def test_mistakes_end_the_start(start_receiver: StartReceiver, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(AssertionError, match="ended with 1") as caught:
        start_receiver(*arguments, plugins=["access"])
    assert message in str(caught.value)
