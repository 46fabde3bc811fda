"""docs/conformance.md agrees with the program's tables."""

from __future__ import annotations

import re

from dcmrecv_core.api.verdicts import RejectReason
from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dcmrecv_core.config.options.table import BY_NAME
from dcmrecv_core.proto.acceptor import WRONG_APPLICATION_CONTEXT, WRONG_VERSION
from dcmrecv_core.proto.associate import APPLICATION_CONTEXT, MIN_MAX_LENGTH
from dcmrecv_core.proto.pdu import MAX_REQUEST_LENGTH, Rejection
from dcmrecv_core.settings.contexts import standard_storage, verification_only
from support.docs.blocks import PAGES, WRITE
from support.docs.conformance_page import TABLES, classes, generated
from support.uids import IMPLICIT_LE, VERIFICATION

PAGE = PAGES["conformance.md"]


def row(first: str) -> str:
    [rest] = re.findall(rf"^\| {re.escape(first)} \| (.*) \|$", PAGE, re.MULTILINE)
    return str(rest)


def codes(text: str) -> list[str]:
    return re.findall(r"^\| ([0-9AB][0-9A-Fx]{3}|C000) \| ", text, re.MULTILINE)


def test_tables_are_the_programs() -> None:
    assert PAGE.count("<!-- generated: ") == len(TABLES)
    assert generated(PAGE) == PAGE, WRITE


def test_implementation_identification() -> None:
    assert row("implementation class UID") == IMPLEMENTATION_CLASS_UID
    assert row("implementation version name") == IMPLEMENTATION_VERSION_NAME


def test_association_policies() -> None:
    assert f"application context name is {APPLICATION_CONTEXT};" in PAGE
    assert f"longer than {MAX_REQUEST_LENGTH >> 20} MiB" in PAGE
    for first, option in (
        ("maximum PDU size received", "--max-pdu"),
        ("number of associations at a time", "--max-associations"),
    ):
        [value] = BY_NAME[option].values
        limits = re.findall(r"\d+", row(first))[:3]
        assert limits == [BY_NAME[option].default, str(value.minimum), str(value.maximum)]
    assert f"below {MIN_MAX_LENGTH} the association is aborted" in row("maximum PDU size sent")


def test_default_contexts() -> None:
    [default] = verification_only()
    assert (default.abstract_syntax, default.transfer_syntaxes) == (VERIFICATION, (IMPLICIT_LE,))
    assert row("none") == "Verification | Implicit VR Little Endian"
    accepted = {context.abstract_syntax for context in standard_storage()}
    assert accepted == {default.abstract_syntax, *re.findall(r"^\| \w\S+ \| ([\d.]+) \| \w+ \|$", classes(), re.M)}


def test_rejections() -> None:
    """Result, source and reason in the A-ASSOCIATE-RJ."""
    rejections = {
        "no acceptable presentation context": Rejection(1, *RejectReason.NO_REASON.value),
        "application context name not supported": WRONG_APPLICATION_CONTEXT,
        "protocol version not supported": WRONG_VERSION,
        "no worker free for 0.9 s": Rejection(2, *RejectReason.LOCAL_LIMIT_EXCEEDED.value),
        "too many associations of one address for 0.9 s": Rejection(2, *RejectReason.LOCAL_LIMIT_EXCEEDED.value),
        "less free space than configured": Rejection(2, *RejectReason.TEMPORARY_CONGESTION.value),
        "a plugin fails": Rejection(2, *RejectReason.NO_REASON.value),
    }
    for first, (result, *why) in rejections.items():
        assert row(first) == f"{'transient' if result == 2 else 'permanent'}, {why[0]}, {why[1]}"


def test_statuses_are_those_of_the_other_page() -> None:
    section = PAGE.partition("#### 4.2.5")[2].partition("### 4.3")[0]
    assert sorted(set(codes(section))) == sorted(set(codes(PAGES["statuses.md"])))
