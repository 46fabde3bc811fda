from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.testing import Receiver, StartReceiver
from support.programs.certificates import Certificates
from support.servers.requestor import Requestor

pytest_plugins = ["dcmrecv_core.testing"]

SETTINGS = """
plugin = ["index", "commitment"{more}]

[[plugins.commitment.peers]]
title = "{title}"
host = "localhost"
port = {port}
"""


@pytest.fixture
def requestor() -> Iterator[Requestor]:
    started = Requestor()
    yield started
    started.end()


@pytest.fixture
def start(start_receiver: StartReceiver, tmp_path: Path) -> Callable[..., Receiver]:
    """Starts a receiver that reports to this port."""

    def start_for(
        port: int, *arguments: object, title: str = "CT1", more: tuple[str, ...] = (), keys: str = ""
    ) -> Receiver:
        path = tmp_path / f"{title}.toml"
        named = "".join(f', "{each}"' for each in more)
        path.write_text(SETTINGS.format(title=title, port=port, more=named) + keys)
        return start_receiver("-pm", "--settings", path, *arguments)

    return start_for


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return Certificates(tmp_path_factory.mktemp("certificates"))
