"""The tables of docs/conformance.md, from the program's own."""

from __future__ import annotations

import re

from dcmrecv_core.config.options.table import BY_NAME, OPTIONS
from dcmrecv_core.dataset.encodings import encoding_of
from dcmrecv_core.settings import uids
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.settings.tls_profiles import PROFILES
from support.docs.blocks import DOCS
from support.docs.options_page import described

PAGE = DOCS / "conformance.md"
PARAMETERS = (
    "--acse-timeout",
    "--dimse-timeout",
    "--progress-timeout",
    "--min-rate",
    "--idle-eviction",
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
    """The page with its generated parts up to date."""
    return re.sub(
        r"(<!-- generated: (\w+) -->\n)(?:.*\n)*?(<!-- end -->)",
        lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}",
        page,
    )
