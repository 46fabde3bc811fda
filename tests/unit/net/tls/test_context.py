"""Contexts made from files: every form of a key, which files are refused with which text, and which only warn."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import TlsError
from dcmrecv_core.net.tls.context import ContextMaker, ask_on_terminal, reason_of
from dcmrecv_core.settings.settings import Settings
from support.programs.certificates import Certificates, Pair, openssl

PASSWORD = "secret"
Convert = Callable[..., Pair]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def convert(certificates: Certificates, tmp_path: Path) -> Convert:
    """The server's pair in another form: `convert("pkcs8", "-topk8", "-nocrypt")` calls `openssl pkcs8` on the key."""

    def converted(command: str, *options: str, form: str = "der") -> Pair:
        pair = Pair(tmp_path / "key", tmp_path / "certificate")
        openssl(command, *options, "-in", certificates.server.key, "-outform", form, "-out", pair.key)
        openssl("x509", "-in", certificates.server.certificate, "-outform", form, "-out", pair.certificate)
        return pair

    return converted


def settings(pair: Pair, **more: object) -> Settings:
    return Settings(tls=(str(pair.key), str(pair.certificate)), **more)  # type: ignore[arg-type]


def make(pair: Pair, **more: object) -> ssl.SSLContext:
    context = ContextMaker(lambda: "").make(settings(pair, **more))
    assert context is not None
    return context


def shakes_hands(context: ssl.SSLContext, authority: Path) -> bool:
    """Whether a client that trusts `authority` completes a handshake with a server of this context."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(authority)).wrap_bio(to_client, to_server, False, "localhost")
    server = context.wrap_bio(to_server, to_client, True)
    ends = [client, server]
    for _ in range(10):
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
    return not ends


# Keys


@pytest.mark.parametrize(
    "command",
    [
        ("pkcs8", "-topk8", "-nocrypt"),
        ("rsa",),
        ("pkcs8", "-topk8", "-passout", f"pass:{PASSWORD}"),
    ],
    ids=["pkcs8", "pkcs1", "encrypted"],
)
def test_keys_in_der(convert: Convert, certificates: Certificates, command: tuple[str, ...]) -> None:
    context = make(convert(*command), tls_format="der", tls_peer_certificate="ignore", tls_password=PASSWORD)
    assert shakes_hands(context, certificates.authority)


@pytest.mark.parametrize(
    ("given", "answer", "works"),
    [(PASSWORD, "wrong", True), (None, PASSWORD, True), (None, "wrong", False), ("wrong", PASSWORD, False)],
    ids=["given", "asked", "wrong answer", "wrong one given"],
)
def test_passwords(convert: Convert, given: str | None, answer: str, works: bool) -> None:
    """A password is asked for once: a reload uses the answer again."""
    asked: list[bool] = []

    def ask() -> str:
        asked.append(True)
        return answer

    pair = convert("pkcs8", "-topk8", "-passout", f"pass:{PASSWORD}", form="pem")
    maker = ContextMaker(ask)
    for _ in range(2):
        if works:
            assert maker.make(settings(pair, tls_password=given)) is not None
        else:
            with pytest.raises(TlsError, match=r"^000b:0004 Unable to load private TLS key from "):
                maker.make(settings(pair, tls_password=given))
            maker = ContextMaker(ask)
    assert bool(asked) is (given is None)
    assert not works or len(asked) <= 1


def test_standard_input_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", ended)
    assert ask_on_terminal() == ""


@pytest.mark.parametrize("form", ["pem", "der"])
def test_what_is_no_key(certificates: Certificates, convert: Convert, form: str) -> None:
    pair = convert("rsa", form=form)
    with pytest.raises(TlsError, match=r"^000b:0004 Unable to load private TLS key from "):
        make(Pair(pair.certificate, pair.certificate), tls_format=form)


def test_a_key_of_another_certificate(certificates: Certificates) -> None:
    pair = Pair(certificates.client.key, certificates.server.certificate)
    with pytest.raises(TlsError, match=r"^000b:0006 Private key .* and certificate .* do not match$"):
        make(pair)


def test_no_certificate(certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TlsError, match=r"^000b:0005 Unable to load certificate from "):
        make(Pair(certificates.server.key, tmp_path / "absent"))
    assert "OpenSSL error: No such file or directory" in caplog.text


# Trusted certificates


def test_directories_in_der(certificates: Certificates, convert: Convert, tmp_path: Path) -> None:
    """They are read at the start, file by file; a file that is no certificate only warns."""
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    openssl("x509", "-in", certificates.authority, "-outform", "der", "-out", trusted / "authority.der")
    (trusted / "other").write_bytes(b"nothing")
    context = make(convert("rsa"), tls_format="der", tls_ca_directories=(str(trusted),))
    assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("form", ["pem", "der"])
def test_a_directory_that_is_not_there(convert: Convert, form: str, tmp_path: Path) -> None:
    assert make(convert("rsa", form=form), tls_format=form, tls_ca_directories=(str(tmp_path / "absent"),))


def test_files_that_cannot_be_read_only_warn(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "nothing").write_bytes(b"nothing")
    context = make(
        certificates.server,
        working_directory=str(tmp_path),
        tls_ca_files=("absent", str(certificates.authority)),
        tls_crl_files=("nothing",),
        tls_dh_file="nothing",
    )
    assert context.cert_store_stats()["x509_ca"] == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        "unable to load certificate file 'absent', ignoring",
        "unable to load CRL file 'nothing', ignoring",
        "unable to load temporary DH parameter file 'nothing', ignoring",
        "every sender will be refused, because there is no revocation list: see --add-crl-file",
    ]


NONE_TRUSTED = (
    "every sender will be refused, because no certificate is trusted: see --add-cert-file, --add-cert-dir and "
    "--ignore-peer-cert"
)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, [NONE_TRUSTED]),
        ({"tls_ca_files": ("absent",)}, ["unable to load certificate file 'absent', ignoring", NONE_TRUSTED]),
        (
            {"tls_ca_directories": ("absent",)},
            ["unable to read certificate directory 'absent', ignoring", NONE_TRUSTED],
        ),
        (
            {"tls_ca_directories": ("empty",)},
            ["no certificate in directory 'empty' will be found: name them by openssl rehash"],
        ),
        ({"tls_ca_directories": ("hashed",)}, []),
        (
            {"tls_peer_certificate": "verify"},
            [NONE_TRUSTED.replace("every sender", "every sender that has a certificate")],
        ),
        ({"tls_peer_certificate": "ignore"}, []),
    ],
)
def test_fault_24_who_will_be_refused_is_said_at_the_start(
    certificates: Certificates,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    more: dict[str, object],
    said: list[str],
) -> None:
    for name in ("empty", "hashed"):
        (tmp_path / name).mkdir()
    (tmp_path / "hashed" / "0a1b2c3d.0").touch()
    assert make(certificates.server, working_directory=str(tmp_path), **more)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == said


@pytest.mark.parametrize(
    ("more", "flags"),
    [
        ({}, 0),
        ({"tls_crl_check": "chain"}, ssl.VERIFY_CRL_CHECK_CHAIN),
        ({"tls_crl_check": "leaf"}, ssl.VERIFY_CRL_CHECK_LEAF),
        ({"tls_crl_files": ("crl.pem",)}, ssl.VERIFY_CRL_CHECK_LEAF),
        ({"tls_crl_files": ("crl.pem",), "tls_crl_check": "chain"}, ssl.VERIFY_CRL_CHECK_CHAIN),
    ],
    ids=["none", "all asked for", "one asked for", "a list", "a list and all"],
)
def test_which_certificates_are_checked_for_revocation(
    certificates: Certificates, more: dict[str, object], flags: int
) -> None:
    certificates.revocation_list()
    context = make(certificates.server, working_directory=str(certificates.directory), **more)
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_CHAIN == flags


def test_dh_parameters_of_a_file(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    from dcmrecv_core.net.tls import context as tls

    assert make(certificates.server, tls_peer_certificate="ignore", tls_dh_file=str(tls._DH_PARAMETERS))
    assert caplog.text == ""


# Profiles and suites


@pytest.mark.parametrize(
    ("suite", "more", "words"),
    [
        ("TLS_NO_SUCH_SUITE", {}, "^000b:0003 Unknown or invalid ciphersuite: TLS_NO_SUCH_SUITE$"),
        ("TLS_RSA_WITH_NULL_SHA", {}, "Ciphersuite not allowed in current DICOM security profile$"),
    ],
    ids=["unknown", "without encryption"],
)
def test_suites_that_are_refused(certificates: Certificates, suite: str, more: dict[str, object], words: str) -> None:
    with pytest.raises(TlsError, match=words):
        make(certificates.server, tls_ciphers=(suite,), **more)


def test_the_null_profile_may_have_suites_without_encryption(certificates: Certificates) -> None:
    context = make(certificates.server, tls_profile="null", tls_ciphers=("TLS_RSA_WITH_NULL_SHA",))
    assert "NULL-SHA" in {cipher["name"] for cipher in context.get_ciphers()}


# Seeds


@pytest.mark.parametrize("write", [{"tls_write_seed": True}, {"tls_write_seed_file": "other"}, {}])
def test_seeds_that_cannot_be_used_only_warn(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture, write: dict[str, object]
) -> None:
    for name in ("seed", "other"):
        (tmp_path / name).mkdir()
    ignoring = {"tls_peer_certificate": "ignore"}
    assert make(certificates.server, working_directory=str(tmp_path), tls_seed_file="seed", **ignoring, **write)
    lines = ["unable to read random seed file 'seed', ignoring: Is a directory"]
    if write:
        name = write.get("tls_write_seed_file", "seed")
        lines.append(f"unable to write random seed file '{name}', ignoring: Is a directory")
    assert caplog.messages == lines


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (ValueError("[SSL] unknown thing (_ssl.c:123)"), "unknown thing"),
        (ValueError("password cannot be longer than 1024 bytes"), "password cannot be longer than 1024 bytes"),
    ],
)
def test_reasons_contain_no_place_in_python(error: Exception, words: str) -> None:
    assert reason_of(error) == words


def test_a_revocation_list_adds_no_trust(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenSSL reads both kinds from one file; a certificate among the lists would be trusted."""
    mixed = tmp_path / "mixed.pem"
    mixed.write_bytes(certificates.revocation_list().read_bytes() + certificates.authority.read_bytes())
    context = make(certificates.server, tls_crl_files=(str(mixed),))
    assert context.cert_store_stats() == {"x509": 0, "crl": 0, "x509_ca": 0}
    assert "OpenSSL error: certificates among the revocation lists" in caplog.messages
    assert f"unable to load CRL file '{mixed}', ignoring" in caplog.messages
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF, "and without a list no sender is admitted"


def test_only_the_first_context_may_ask(tmp_path: Path) -> None:
    asked: list[str] = []
    maker = ContextMaker(lambda: asked.append("x") or "secret")
    settings = Settings(tls=(str(tmp_path / "k"), str(tmp_path / "c")))
    assert maker.make(Settings()) is None
    with pytest.raises(TlsError, match=r"^000b:0004 Unable to load private TLS key from '.*/k'$"):
        maker.make(settings)
    assert maker._password() == ""
    assert asked == []


def test_seed_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seed, out = tmp_path / "seed", tmp_path / "out"
    seed.write_bytes(b"x")
    settings = Settings(tls=("absent", "absent"), tls_seed_file=str(seed), tls_write_seed_file=str(out))
    with pytest.raises(TlsError):
        ContextMaker().make(settings)
    assert len(out.read_bytes()) == 1024
    assert out.stat().st_mode & 0o777 == 0o600
    assert ssl.RAND_status()
    assert "random seed file" not in caplog.text
