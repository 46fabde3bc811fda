"""Credentials, region and server from where AWS's own tools take them.

First the environment; then, in the profile that `AWS_PROFILE` names, the files `~/.aws/credentials` and
`~/.aws/config`. Without keys in either, obstore asks the container's or the machine's own service.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path

_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}
_OTHERS = {"region": "region", "endpoint_url": "endpoint"}
_ENVIRONMENT = {
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN",),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
}


def find_account() -> dict[str, str]:
    """The fields of obstore's configuration that are known. Raises OSError, ValueError if a file cannot be read."""
    found = {
        field: value
        for field, names in _ENVIRONMENT.items()
        if (value := next((os.environ[name] for name in names if os.environ.get(name)), ""))
    }
    profile = os.environ.get("AWS_PROFILE", "default")
    config = _section("AWS_CONFIG_FILE", "config", profile if profile == "default" else f"profile {profile}")
    of_files = {field: config[name] for name, field in {**_KEYS, **_OTHERS}.items() if name in config}
    credentials = _section("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile)
    of_files |= {field: credentials[name] for name, field in _KEYS.items() if name in credentials}
    if "access_key_id" in found:  # never a key of one place with a secret or a token of another
        of_files = {field: value for field, value in of_files.items() if field not in _KEYS.values()}
    return {**of_files, **found}


def _section(variable: str, name: str, section: str) -> dict[str, str]:
    path = Path(os.environ.get(variable) or f"~/.aws/{name}").expanduser()
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        return {}
    except configparser.Error:
        raise ValueError(f"{path} cannot be read as a file of AWS's tools") from None  # its text may quote a secret
    return dict(parser[section]) if parser.has_section(section) else {}
