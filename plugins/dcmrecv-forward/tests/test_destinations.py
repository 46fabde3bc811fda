"""What is checked at the start: each mistake is named with destination and key."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from peers import SECONDS

from dcmrecv_core import PluginError
from dcmrecv_core.testing import fake_settings
from dcmrecv_forward import ForwardPlugin
from dcmrecv_forward.destinations import Destination, routes
from support.programs.certificates import Certificates
from support.programs.receivers import system_program


def dimse(**fields: Any) -> Destination:
    return Destination(**{"name": "A", "kind": "dimse", "host": "a", "port": 104, "called": "PACS", **fields})


def stow(**fields: Any) -> Destination:
    return Destination(**{"name": "A", "kind": "stow", "url": "https://a/b", **fields})


def folder(**fields: Any) -> Destination:
    return Destination(**{"name": "A", "kind": "folder", "path": Path("/mnt/a"), **fields})


def test_good_ones(certificates: Certificates, tmp_path: Path) -> None:
    key, certificate = certificates.client
    files = {"tls_authority": certificates.authority, "tls_certificate": certificate, "tls_key": key}
    made = routes(
        [
            dimse(),
            dimse(name="B", calling="ROUTER", tls=True, tls_name="pacs", **files, timeout=0.5, when={"calling": "CT*"}),
            stow(name="C", user="jane", password="s\u00fc\u00df"),
            stow(name="D", url="http://[::1]:8042/dicom-web/studies/", token="abc"),
            stow(name="E", **files),
            folder(name="F.x@y+z:1-_", path=tmp_path / "f"),
        ],
        str(tmp_path / "out"),
    )
    assert [bool(route.tls) for route in made.values()] == [False, True, True, False, True, False]


@pytest.mark.parametrize(
    ("destination", "text"),
    [
        (dimse(name=""), "destination '': name: 1 to 64 letters"),
        (dimse(name="a b"), "destination 'a b': name: 1 to 64 letters"),
        (dimse(name="a" * 65), "name: 1 to 64 letters"),
        (dimse(host=None), "destination 'A': host: is missing: kind = \"dimse\" needs it"),
        (dimse(port=None), "port: is missing"),
        (dimse(called=None), "called: is missing"),
        (stow(url=None), "url: is missing"),
        (folder(path=None), "path: is missing"),
        (dimse(url="http://a"), 'url: kind = "dimse" has no such key; there is host, port, called'),
        (stow(called="A"), 'called: kind = "stow" has no such key; there is url, token'),
        (folder(timeout=3.0), 'timeout: kind = "folder" has no such key; there is path'),
        (dimse(port=0), "port: a number from 1 to 65535"),
        (dimse(port=65536), "port: a number from 1 to 65535"),
        (dimse(called="x" * 17), "called: 'x*' is no AE title"),
        (dimse(called=" "), "called: ' ' is no AE title"),
        (dimse(calling="A\\B"), "calling: .* is no AE title"),
        (dimse(calling="\u00c4"), "calling: .* is no AE title"),
        (dimse(timeout=0.0), "timeout: seconds expected"),
        (dimse(timeout=float("nan")), "timeout: seconds expected"),
        (stow(url="ftp://a"), "url: http://HOST"),
        (stow(url="https://"), "url: http://HOST"),
        (stow(url="https://a:x/"), "url: http://HOST"),
        (stow(url="https://u:p@a/"), "url: http://HOST"),
        (stow(url="https://a/?x=1"), "url: http://HOST"),
        (stow(url="https://a/b c"), "url: http://HOST"),
        (stow(url="https://[::1"), "url: http://HOST"),
        (stow(token="t", user="u", password="p"), "token: there is a user too"),
        (stow(user="u"), "user: user and password belong together"),
        (stow(password="p"), "user: user and password belong together"),
        (stow(token="SECRET\n"), "token: it has a character that no header can have"),
        (stow(url="http://a", tls_authority=Path("x")), "tls_authority: is of no use without a URL that begins with"),
        (dimse(tls_name="x"), "tls_name: is of no use without tls = true"),
        (dimse(tls=True, tls_authority=Path("/none/x")), "tls_authority: /none/x cannot be read: No such file"),
        (dimse(tls=True, tls_authority=Path("/dev/null")), "tls_authority: .* cannot be read: no certificate or"),
        (dimse(tls=True, tls_key=Path("x")), "tls_certificate: tls_certificate and tls_key belong together"),
        (
            dimse(tls=True, tls_certificate=Path("/none/x"), tls_key=Path("/none/y")),
            "tls_certificate: /none/x and /none/y cannot be used: No such file",
        ),
        (
            dimse(tls=True, tls_certificate=Path("/dev/null"), tls_key=Path("/dev/null")),
            "tls_certificate: /dev/null and /dev/null cannot be used: not in PEM$",
        ),
        (dimse(when={"modalty": "CT"}), "destination 'A': when.modalty: .*you mean modality"),
    ],
)
def test_mistakes(destination: Destination, text: str) -> None:
    with pytest.raises(PluginError, match=text) as caught:
        routes([destination], "/var/lib/received")
    assert "SECRET" not in str(caught.value)


def test_a_secret_without_encryption_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    destinations = [
        stow(name="A", url="http://a/", token="abc"),
        stow(name="B", url="HTTP://b/", user="u", password="p"),
        stow(name="C", url="https://c/", token="abc"),
        stow(name="D", url="http://d/"),
        stow(name="E", url="http://[::1]:8042/", token="abc"),
    ]
    routes(destinations, "out")
    assert caplog.messages == [
        "destination 'A': token: it is sent unencrypted, because the url begins with http:",
        "destination 'B': password: it is sent unencrypted, because the url begins with http:",
    ]


def test_a_key_with_a_password(certificates: Certificates, tmp_path: Path) -> None:
    """It must not ask for it on the terminal."""
    key, certificate = certificates.client
    locked = tmp_path / "locked.key"
    command = [system_program("openssl"), "rsa", "-aes256", "-passout", "pass:x", "-in", key, "-out", locked]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    with pytest.raises(PluginError, match=r"tls_certificate: .* cannot be used: the key has a password"):
        routes([dimse(tls=True, tls_certificate=certificate, tls_key=locked)], "out")


def test_names_are_unique() -> None:
    with pytest.raises(PluginError, match="destination 'A': name: another destination has it too"):
        routes([dimse(), stow()], "out")


def test_no_destination() -> None:
    with pytest.raises(PluginError, match=r"no destination is given: write \[\[plugins.forward.destinations\]\]"):
        routes([], "out")


@pytest.mark.parametrize("path", ["out", "out/copies", "."])
def test_folders_are_not_the_receivers_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match=r"path: .* and the output directory out are in each other"):
        routes([folder(path=Path(path))], "out")
    routes([folder(path=Path("out2"))], "out")


def test_targets_are_known_before_configure() -> None:
    plugin = ForwardPlugin()
    options = {"destinations": [dimse(), stow(name="B")]}
    assert plugin.delivery_targets(fake_settings(plugin, options=options)) == ["A", "B"]
    assert plugin.delivery_targets(fake_settings(plugin)) == []


def test_secrets_are_not_shown() -> None:
    assert "LETMEIN" not in repr(stow(token="LETMEIN", password="LETMEIN"))
