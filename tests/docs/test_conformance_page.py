"""docs/conformance.md says what the program's tables say. Run as a program, this writes what is generated."""

from __future__ import annotations

import re

from dcmrecv_core.api.model import RejectReason
from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dcmrecv_core.config.options.table import BY_NAME, OPTIONS
from dcmrecv_core.dataset.encodings import encoding_of
from dcmrecv_core.proto.acceptor import WRONG_APPLICATION_CONTEXT, WRONG_VERSION
from dcmrecv_core.proto.associate import APPLICATION_CONTEXT, MIN_MAX_LENGTH
from dcmrecv_core.proto.pdu import MAX_REQUEST_LENGTH, Rejection
from dcmrecv_core.settings import uids
from dcmrecv_core.settings.contexts import standard_storage, verification_only
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.settings.tls_profiles import PROFILES
from support.docs.blocks import DOCS, PAGES
from support.docs.options_page import described
from support.uids import IMPLICIT_LE, VERIFICATION

PAGE = PAGES["conformance.md"]
PARAMETERS = (
    "--acse-timeout",
    "--dimse-timeout",
    "--progress-timeout",
    "--max-pdu",
    "--max-request",
    "--max-instance",
    "--max-associations",
    "--max-per-peer",
    "--min-free",
)


def parameters() -> str:
    text = "| parameter | option | values | default |\n|---|---|---|---|\n"
    for option in map(BY_NAME.__getitem__, PARAMETERS):
        [value] = option.values
        limits = described(value).partition(": ")[2]
        meaning = option.help.replace("\n", " ")
        text += f"| {meaning} | `{option.short or option.long}` | {limits} | {option.default} |\n"
    return text


def classes() -> str:
    text = "| SOP class | UID | prefix |\n|---|---|---|\n"
    rows = ((uids.name_of(uid), uid, uids.modality_prefix(uid)) for uid in uids.storage_sop_classes())
    return text + "".join(f"| {name} | {uid} | {prefix} |\n" for name, uid, prefix in rows)


def syntaxes() -> str:
    text = "| transfer syntax | UID | normal mode |\n|---|---|---|\n"
    for uid in uids.transfer_syntaxes():
        text += f"| {uids.name_of(uid)} | {uid} | {'checked' if encoding_of(uid) else 'unchecked'} |\n"
    return text


def profiles() -> str:
    text = "| profile | option | TLS | ciphersuites up to TLS 1.2 |\n|---|---|---|---|\n"
    for name, profile in PROFILES.items():
        [option] = [option for option in OPTIONS if option.sets.get("tls_profile") == name]
        versions = [version.name[len("TLSv") :].replace("_", ".") for version in (profile.oldest, profile.newest)]
        shown = " to ".join(dict.fromkeys("1.0" if version == "1" else version for version in versions))
        default = " (default)" * (Settings().tls_profile == name)
        text += f"| {profile.title}{default} | `{option.short}` | {shown} | {', '.join(profile.suites)} |\n"
    return text


TABLES = {"parameters": parameters, "profiles": profiles, "classes": classes, "syntaxes": syntaxes}


def generated(page: str) -> str:
    """The page with what is generated as it has to be."""
    return re.sub(
        r"(<!-- generated: (\w+) -->\n)(?:.*\n)*?(<!-- end -->)",
        lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}",
        page,
    )


def row(first: str) -> str:
    [rest] = re.findall(rf"^\| {re.escape(first)} \| (.*) \|$", PAGE, re.MULTILINE)
    return str(rest)


def codes(text: str) -> list[str]:
    return re.findall(r"^\| ([0-9AB][0-9A-Fx]{3}|C000) \| ", text, re.MULTILINE)


def test_tables_are_the_programs() -> None:
    assert PAGE.count("<!-- generated: ") == len(TABLES)
    assert generated(PAGE) == PAGE, f"run {__file__}"


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
    """Result, source and reason as they are sent."""
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


if __name__ == "__main__":
    page = DOCS / "conformance.md"
    page.write_text(generated(page.read_text()))
