"""The TLS options: what they set, and which exclude each other, as in DCMTK."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.config.commandline import parse
from dcmrecv_core.config.options.option import flatten
from dcmrecv_core.config.options.tls import TLS as TLS_SECTION
from dcmrecv_core.settings.settings import Settings
from support.programs.original import NO_DIRECTORY, original

TLS = ("+tls", "key", "certificate")

ACCEPTED: list[tuple[list[str], dict[str, Any]]] = [
    (["--enable-tls", "-v", "c"], {"tls": ("-v", "c")}),
    ([*TLS, "-tls"], {"tls": None}),
    ([*TLS, "--disable-tls"], {"tls": None}),
    (["-tls", *TLS], {}),
    ([*TLS, "+ps"], {}),
    ([*TLS, "+pw", "x", "--std-passwd"], {}),
    ([*TLS, "+pw", "x"], {"tls_password": "x"}),
    ([*TLS, "--use-passwd", ""], {"tls_password": ""}),
    ([*TLS, "-pw"], {"tls_password": ""}),
    ([*TLS, "+pw", "x", "--null-passwd"], {"tls_password": ""}),
    ([*TLS, "-der"], {"tls_format": "der"}),
    ([*TLS, "--der-keys"], {"tls_format": "der"}),
    ([*TLS, "-der", "-pem"], {}),
    ([*TLS, "-der", "--pem-keys"], {}),
    ([*TLS, "+cf", "a", "--add-cert-file", "b"], {"tls_ca_files": ("a", "b")}),
    ([*TLS, "+cd", "a", "--add-cert-dir", "b"], {"tls_ca_directories": ("a", "b")}),
    ([*TLS, "+crl", "a", "--add-crl-file", "b"], {"tls_crl_files": ("a", "b")}),
    ([*TLS, "+crv"], {"tls_crl_check": "leaf"}),
    ([*TLS, "--enable-crl-vfy"], {"tls_crl_check": "leaf"}),
    ([*TLS, "+cra"], {"tls_crl_check": "chain"}),
    ([*TLS, "--enable-crl-all"], {"tls_crl_check": "chain"}),
    ([*TLS, "+py"], {}),
    ([*TLS, "+px", "--profile-bcp195-nd"], {}),
    ([*TLS, "+px"], {"tls_profile": "bcp195"}),
    ([*TLS, "--profile-bcp195"], {"tls_profile": "bcp195"}),
    ([*TLS, "+pz"], {"tls_profile": "bcp195-ex"}),
    ([*TLS, "--profile-bcp195-ex"], {"tls_profile": "bcp195-ex"}),
    ([*TLS, "+pa"], {"tls_profile": "aes"}),
    ([*TLS, "--profile-aes"], {"tls_profile": "aes"}),
    ([*TLS, "+pn"], {"tls_profile": "null"}),
    ([*TLS, "+pa", "--profile-null"], {"tls_profile": "null"}),
    ([*TLS, "+cs", "A", "--cipher", "B"], {"tls_ciphers": ("A", "B")}),
    ([*TLS, "+pz", "+px", "+cs", "A"], {"tls_profile": "bcp195", "tls_ciphers": ("A",)}),
    ([*TLS, "+dp", "d"], {"tls_dh_file": "d"}),
    ([*TLS, "--dhparam", "d"], {"tls_dh_file": "d"}),
    ([*TLS, "+ws", "+rs", "s"], {"tls_seed_file": "s", "tls_write_seed": True}),
    ([*TLS, "--write-seed", "--seed", "s"], {"tls_seed_file": "s", "tls_write_seed": True}),
    ([*TLS, "+wf", "t", "--seed", "s"], {"tls_seed_file": "s", "tls_write_seed_file": "t"}),
    ([*TLS, "--write-seed-file", "t", "--seed", "s"], {"tls_seed_file": "s", "tls_write_seed_file": "t"}),
    ([*TLS, "-rc"], {}),
    ([*TLS, "-vc", "--require-peer-cert"], {}),
    ([*TLS, "-vc"], {"tls_peer_certificate": "verify"}),
    ([*TLS, "--verify-peer-cert"], {"tls_peer_certificate": "verify"}),
    ([*TLS, "-ic"], {"tls_peer_certificate": "ignore"}),
    ([*TLS, "-vc", "--ignore-peer-cert"], {"tls_peer_certificate": "ignore"}),
]


def settings_of(*arguments: str, **file_values: Any) -> Settings:
    return parse([*arguments, "80"], PluginOptionRegistry(), file_values=file_values).settings


@pytest.mark.dcmtk
@pytest.mark.parametrize(("arguments", "changed"), ACCEPTED, ids=[" ".join(row[0]) for row in ACCEPTED])
def test_accepted_as_by_the_original(arguments: list[str], changed: dict[str, Any]) -> None:
    assert settings_of(*arguments) == Settings(port=80, **{"tls": ("key", "certificate"), **changed})
    assert original([*arguments, "80", *NO_DIRECTORY]).code == 45


def test_every_option_is_tried() -> None:
    tried = {token for arguments, _ in ACCEPTED for token in arguments}
    names = {name for option in flatten([TLS_SECTION]) for name in (option.long, option.short)}
    assert names - tried == {"+cc", "--list-ciphers"}


def fault_of(*arguments: str) -> str:
    with pytest.raises(CommandLineError) as caught:
        settings_of(*arguments)
    return str(caught.value)


def fault_of_original(*arguments: str) -> str:
    return original([*arguments, "80"]).stderr.partition("error: ")[2].strip()


NEED_TLS = [
    [option.short, *(["x"] * option.arity)]
    for option in flatten([TLS_SECTION])
    if option.long not in ("--disable-tls", "--enable-tls", "--list-ciphers")
]


@pytest.mark.dcmtk
@pytest.mark.parametrize("arguments", NEED_TLS, ids=lambda arguments: arguments[0])
def test_options_that_need_tls(arguments: list[str]) -> None:
    expected = fault_of_original(*arguments).replace("--profile-basic", "--profile-aes")  # a slip of the original
    assert fault_of(*arguments) == expected
    assert fault_of(*TLS, "-tls", *arguments) == expected


@pytest.mark.dcmtk
def test_the_first_complaint_is_the_originals() -> None:
    def said(pair: tuple[list[str], list[str]]) -> str:
        return fault_of_original(*pair[0], *pair[1]).replace("--profile-basic", "--profile-aes")

    by_order = sorted(NEED_TLS, key=lambda arguments: fault_of(*arguments))
    pairs = list(pairwise(by_order))
    assert [fault_of(*first, *second) for first, second in pairs] == [said(pair) for pair in pairs]


@pytest.mark.dcmtk
@pytest.mark.parametrize(
    "arguments",
    [
        ["+ws"],
        ["+wf", "f"],
        ["+ws", "+wf", "f"],
        ["+crv", "+cra"],
        ["+pz", "+cs", "A"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_fit_each_other(arguments: list[str]) -> None:
    assert fault_of(*TLS, *arguments) == fault_of_original(*TLS, *arguments)


def test_each_pair_is_allowed_otherwise() -> None:
    exclusive = {option.short: option.exclusive for option in flatten([TLS_SECTION])}
    refused = {("+crv", "+cra"), ("+pz", "+cs")}
    for first, second in combinations(NEED_TLS, 2):
        if (first[0], second[0]) in refused or (exclusive[first[0]] and exclusive[first[0]] == exclusive[second[0]]):
            continue
        settings_of(*TLS, "+rs", "s", *first, *second)


def test_the_settings_file_may_enable_tls() -> None:
    assert settings_of("-vc", tls=("key", "certificate")).tls_peer_certificate == "verify"


def test_the_password_is_not_in_the_arguments() -> None:
    line = parse([*TLS, "+pw", "geheim", "--arguments", "80"], PluginOptionRegistry())
    assert "'--use-passwd' '***'" in line.arguments
    assert "geheim" not in line.arguments
