"""Credentials are found where AWS's own tools find them."""

from __future__ import annotations

from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from servers import Misbehaving, refuse, reply

from dcmrecv_s3.accounts import find_account
from dcmrecv_s3.client import Bucket
from dcmrecv_s3.place import place_of

CREDENTIALS = """
[default]
aws_access_key_id = of-file
aws_secret_access_key = secret%of=file
[site]
aws_access_key_id = of-site
aws_secret_access_key = secret-of-site
aws_session_token = token-of-site
"""
CONFIG = """
[default]
region = eu-west-1
[profile site]
region = eu-central-1
endpoint_url = https://s3.example.org
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With files of AWS's tools, and nothing in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS)
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    return tmp_path


def test_files(files: Path) -> None:
    assert find_account() == {
        "access_key_id": "of-file",
        "secret_access_key": "secret%of=file",
        "region": "eu-west-1",
    }


def test_a_profile(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "site")
    assert find_account() == {
        "access_key_id": "of-site",
        "secret_access_key": "secret-of-site",
        "session_token": "token-of-site",
        "region": "eu-central-1",
        "endpoint": "https://s3.example.org",
    }


def test_the_environment_takes_precedence(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of one place never come with the token of another."""
    monkeypatch.setenv("AWS_PROFILE", "site")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-environment")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert find_account() == {
        "access_key_id": "of-environment",
        "secret_access_key": "secret-of-environment",
        "region": "us-west-2",
        "endpoint": "https://s3.example.org",
    }


def test_a_token_that_is_renewed_in_a_file(files: Path, misbehaving: Misbehaving) -> None:
    """A delivery process may live for months: after a request that was refused the next one has what the file has."""
    refused = refuse("ExpiredToken", 400)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "Credential=renewed/" in handler.headers["Authorization"]:
            reply(handler, 200)
        else:
            refused(handler)

    misbehaving.answer = answer
    bucket = Bucket(place_of("s3://bucket", misbehaving.endpoint, 20))
    for _ in range(2):
        with pytest.raises(OSError, match="the server says"):
            bucket.remove("a")
    (files / ".aws" / "credentials").write_text(CREDENTIALS.replace("of-file", "renewed"))
    with suppress(OSError):
        bucket.remove("a")
    bucket.remove("a")
    bucket.close()


def test_files_elsewhere(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files / ".aws" / "credentials").rename(files / "keys")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(files / "keys"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(files / "none"))
    assert find_account() == {"access_key_id": "of-file", "secret_access_key": "secret%of=file"}


def test_a_file_that_cannot_be_read_shows_no_secret(files: Path) -> None:
    (files / ".aws" / "credentials").write_text("secret-without-section\n")
    with pytest.raises(ValueError, match="cannot be read as a file of AWS's tools") as caught:
        find_account()
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__
