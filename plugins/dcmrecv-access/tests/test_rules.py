"""What rules say about associations, without a network."""

from __future__ import annotations

import pytest

from dcmrecv_access.rules import Rules, parse_networks, parse_titles
from dcmrecv_core import RejectReason
from dcmrecv_core.testing import fake_association

CALLING = RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED
CALLED = RejectReason.CALLED_AE_TITLE_NOT_RECOGNIZED
NETWORK = RejectReason.NO_REASON

STRANGER = {"calling_ae_title": "X", "called_ae_title": "Y", "peer_address": "192.0.2.1"}


@pytest.mark.parametrize(
    ("pattern", "title", "allowed"),
    [
        ("CT1", "CT1", True),
        ("CT1", "CT12", False),
        ("CT1", "ct1", False),
        ("A,CT1", "CT1", True),
        (" CT1 , B", "CT1", True),
        ("CT*", "CT", True),
        ("CT?", "CT", False),
        ("CT[12]", "CT2", True),
        ("CT[12]", "CT3", False),
        ("CT 1", "CT 1", True),
    ],
)
def test_titles(pattern: str, title: str, allowed: bool) -> None:
    rejected = Rules(calling=parse_titles(pattern)).verdict(fake_association(calling_ae_title=title))
    assert (rejected is None) == allowed


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ("10.1.0.0/16", "10.1.255.255", True),
        ("10.1.0.0/16", "10.2.0.0", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("192.0.2.0/24,10.0.0.0/8", "10.1.2.3", True),
        ("fd00::/8", "fd12::1", True),
        ("fd00::/8", "10.1.2.3", False),
        ("fe80::/10", "fe80::1%2", True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("0.0.0.0/0", "::1", False),
    ],
)
def test_networks(networks: str, address: str, allowed: bool) -> None:
    rejected = Rules(networks=parse_networks(networks)).verdict(fake_association(peer_address=address))
    assert (rejected is None) == allowed


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (Rules(calling=("A",)), CALLING),
        (Rules(called=("A",)), CALLED),
        (Rules(calling=("A",), called=("A",)), CALLED),
        (Rules(calling=("A",), called=("A",), networks=parse_networks("10.0.0.0/8")), NETWORK),
        (Rules(calling=("X",), called=("A",)), CALLED),
        (Rules(calling=("A",), called=("Y",)), CALLING),
    ],
)
def test_reasons(rules: Rules, reason: RejectReason) -> None:
    rejected = rules.verdict(fake_association(**STRANGER))
    assert rejected is not None
    assert rejected.reason is reason
    assert not rejected.transient


@pytest.mark.parametrize("text", ["", "A,,B", "A,", "A\\B", "TAB\tTAB", "M\u00dcNCHEN", "SEVENTEEN_LETTERS"])
def test_malformed_titles(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty part|no AE title|longer"):
        parse_titles(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("10.1.2.3/16", "host bits"), ("10.0.0.0/33", "10.0.0.0/33"), ("localhost", "localhost"), ("::1,", "empty part")],
)
def test_malformed_networks(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_networks(text)
