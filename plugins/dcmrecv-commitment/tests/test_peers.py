"""The tables of the settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dcmrecv_commitment import CommitmentPlugin
from dcmrecv_commitment.peers import Peer, routes
from dcmrecv_core import PluginError, PluginSettings
from support.programs.certificates import Certificates

NOTHING = Path("/dev/null")


def peer(**fields: Any) -> Peer:
    return Peer(**{"title": "CT1", "host": "ct1", "port": 104, **fields})


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"title": ""}, "title: 1 to 16 characters"),
        ({"title": "A" * 17}, "title: 1 to 16 characters"),
        ({"title": "CT1 "}, "title: 1 to 16 characters"),
        ({"port": 0}, "port: a number from 1 to 65535"),
        ({"tls_name": "ct1"}, "tls_name: is of no use without tls = true"),
        ({"tls": True, "tls_key": Path("key")}, "tls_certificate and tls_key belong together"),
        ({"tls": True, "tls_authority": Path("none")}, "tls_authority: none cannot be read: No such file"),
        (
            {"tls": True, "tls_key": Path("key"), "tls_certificate": Path("none")},
            "tls_certificate: none and key cannot be used: No such file",
        ),
        (
            {"tls": True, "tls_authority": NOTHING},
            "tls_authority: /dev/null cannot be read: no certificate or crl found$",
        ),
        (
            {"tls": True, "tls_key": NOTHING, "tls_certificate": NOTHING},
            "tls_certificate: /dev/null and /dev/null cannot be used: not in PEM$",
        ),
    ],
)
def test_what_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(PluginError, match=f"^peer '.*': .*{text}"):
        routes([peer(**fields)])


def test_titles_are_names() -> None:
    with pytest.raises(PluginError, match="another peer has it too"):
        routes([peer(), peer(port=105)])
    with pytest.raises(PluginError, match=r"write \[\[plugins.commitment.peers\]\] into a settings file"):
        routes([])
    assert set(routes([peer(), peer(title="CT2")])) == {"CT1", "CT2"}


def test_tls(certificates: Certificates) -> None:
    key, certificate = certificates.client
    given = peer(tls=True, tls_authority=certificates.authority, tls_key=key, tls_certificate=certificate)
    assert routes([given])["CT1"].tls is not None
    assert routes([peer()])["CT1"].tls is None


def test_it_needs_the_index(tmp_path: Path) -> None:
    plugin = CommitmentPlugin()
    options = {"peers": [peer()]}
    with pytest.raises(PluginError, match=r"^needs dcmrecv-index: add --plugin index$"):
        plugin.configure(PluginSettings(options=options, state_directory=tmp_path))
    plugin.configure(
        PluginSettings(options=options, state_directory=tmp_path, all_options={"index": {"index_url": None}})
    )
    assert plugin.dcmrecv_digest
