"""What the log says about a handshake that failed."""

from __future__ import annotations

import dataclasses
import ssl

import pytest

from dcmrecv_core.net.tls.context import ContextMaker
from dcmrecv_core.net.tls.refusals import explained
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.settings.tls_profiles import PROFILES
from support.programs.certificates import Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def hello(ciphers: str, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = context.maximum_version = newest
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    return outgoing.read()


def reason(text: str) -> ssl.SSLError:
    error = ssl.SSLError(1, text)
    error.reason = text.upper().replace(" ", "_")
    return error


def made(certificates: Certificates, profile: str = "bcp195-nd") -> tuple[ssl.SSLContext, Settings]:
    settings = Settings(tls=tuple(map(str, certificates.server)), tls_profile=profile)  # type: ignore[arg-type]
    context = ContextMaker().make(settings)
    assert context is not None
    return context, settings


@pytest.mark.parametrize(
    ("profile", "ciphers", "said"),
    [
        ("bcp195-nd", "AES128-SHA", "it would be served with +px (BCP 195 TLS Profile)"),
        ("bcp195-nd", "NULL-SHA", "it would be served with +pn (Authenticated unencrypted communication)"),
        ("aes", "ECDHE-RSA-AES128-GCM-SHA256", "it would be served with +py (Non-downgrading BCP 195 TLS Profile)"),
        ("bcp195-nd", "AES256-SHA", "in use, nor of any other"),
        ("bcp195-nd", "ECDHE-ECDSA-AES128-GCM-SHA256", "in use, nor of any other"),
    ],
    ids=["old", "unencrypted", "too new", "unknown", "another kind of key"],
)
def test_fault_20_the_profile_that_would_serve(
    certificates: Certificates, profile: str, ciphers: str, said: str
) -> None:
    context, settings = made(certificates, profile)
    before = [cipher["name"] for cipher in context.get_ciphers()], context.minimum_version, context.maximum_version
    assert explained(reason("no shared cipher"), context, hello(ciphers), settings).endswith(said)
    after = [cipher["name"] for cipher in context.get_ciphers()], context.minimum_version, context.maximum_version
    assert after == before, "the worker's context is in use"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("peer did not return a certificate", "the sender shows no certificate; "),
        ("certificate verify failed", "the sender's certificate is not accepted (); see +cf, +cd, -vc"),
        ("tlsv1 alert unknown ca", "the sender does not accept our certificate; "),
        ("sslv3 alert certificate unknown", "the sender does not accept our certificate; "),
        ("bad signature", ""),
        ("no shared cipher", ""),
    ],
)
def test_fault_20_other_reasons(certificates: Certificates, text: str, said: str) -> None:
    context, settings = made(certificates)
    told = explained(reason(text), context, b"", settings)
    assert told.startswith(said) and bool(told) == bool(said)


def test_a_profile_without_a_suite_is_not_proposed(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "null", dataclasses.replace(PROFILES["null"], suites=()))
    context, settings = made(certificates)
    assert explained(reason("no shared cipher"), context, hello("NULL-SHA"), settings).endswith("nor of any other")
