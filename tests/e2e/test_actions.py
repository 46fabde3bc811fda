"""The installed package dcmrecv-actions beside storescp: the lines of docs/migrating.md have the same effect."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue

import pytest

from dcmrecv_core.testing import until
from support.data.samples import pydicom_files
from support.paths import DOCS, ROOT
from support.programs.certificates import Certificates
from support.programs.environment import make_site
from support.programs.receivers import Receiver, Start, dcmtk, run, start_on_port, system_program

pytestmark = pytest.mark.dcmtk

PAGE = (DOCS / "migrating.md").read_text()
LINES = dict(
    re.findall(
        r"^\| (DCMTK's manual|mercure|FIONA|a sorter of studies|`\+te`.*?) \| (.* \| .*) \|$", PAGE, re.MULTILINE
    )
)
[CT_SMALL] = [path for path in pydicom_files() if path.name == "CT_small.dcm"]
FILE = "CT.1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Path:
    return make_site(tmp_path_factory.mktemp("site"), program, ROOT / "plugins" / "dcmrecv-actions")


def options(line: str, directory: Path) -> tuple[list[str], list[str]]:
    """storescp's and ours of a line of the page, with paths for BIN, DIR and pipe."""
    paths = {"BIN": str(directory / "bin"), "DIR": "dir", "pipe": str(directory / "pipe")}
    text = re.sub(r"\b(BIN|DIR|pipe)\b", lambda name: paths[name[0]], LINES[line])
    theirs, mine = (shlex.split(cell) for cell in re.findall(r"`(.*?)`(?: \||$)", text))
    return theirs, mine


@pytest.fixture
def told(directory: Path) -> Path:
    """Where the command BIN writes each of its arguments, and "end" after the last."""
    path = directory / "bin"
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@" end >> "$0.told"\n')
    path.chmod(0o755)
    return directory / "bin.told"


@pytest.fixture
def storescp(directory: Path, started: list[Receiver]) -> Start:
    def start(*options: object) -> Receiver:
        home = directory / "storescp"
        home.mkdir()
        command = [system_program("storescp"), "-dhl", "-pm", "-od", home / "out", *options]
        started.append(start_on_port(home, *command, clean_exit=-signal.SIGTERM))
        return started[-1]

    return start


def send(receiver: Receiver, calling: str = "CT 1") -> None:
    done = dcmtk("storescu", "-aet", calling, "-aec", "ARCHIVE", "localhost", receiver.port, CT_SMALL)
    assert done.returncode == 0, done.stdout + done.stderr


def lines(path: Path) -> list[str]:
    until(lambda: path.exists() and path.read_text().endswith("end\n"), f"the command has written {path}")
    found = path.read_text().splitlines()
    path.unlink()
    return found


def here(text: str, old: Receiver, new: Receiver) -> str:
    """What storescp has told, as ours does: without the double quotes that 3.6.7 puts around values."""
    return text.replace('"', "").replace(str(old.output), str(new.output))


@pytest.mark.parametrize("line", ["DCMTK's manual", "mercure", "a sorter of studies"])
def test_fault_25_lines_of_storescp_give_the_same_arguments(
    line: str, ours: Start, storescp: Start, site: Path, directory: Path, told: Path
) -> None:
    theirs, mine = options(line, directory)
    old = storescp(*theirs)
    send(old, "CT1")
    expected = lines(told)
    new = ours("-pm", "--plugin", "actions", *mine, program=site)
    send(new, "CT1")
    assert lines(told) == [here(word, old, new) for word in expected]
    assert "CT1" in expected


def test_fault_25_a_study_that_comes_in_two_associations_is_one(
    ours: Start, site: Path, directory: Path, told: Path
) -> None:
    command = f"{directory}/bin #{{study_instance_uid}} #{{revision}}"
    receiver = ours("-pm", "--plugin", "actions", "--study-timeout", 2, "--on-study", command, program=site)
    send(receiver)
    send(receiver)
    assert lines(told) == ["1.3.6.1.4.1.5962.1.2.1.20040119072730.12322", "1", "end"]
    assert receiver.stop() == 0
    assert not told.exists()


def test_fault_25_a_command_holds_no_worker(ours: Start, site: Path, directory: Path) -> None:
    """The only worker serves the second association while the command of the first waits for a reader."""
    gate, begun = directory / "gate", directory / "begun"
    os.mkfifo(gate)
    command = f"sh -c 'echo #a >> {begun}; cat {gate}'"
    receiver = ours("-pm", "--plugin", "actions", "--max-associations", 1, "--on-instance", command, program=site)
    send(receiver, "FIRST")
    until(lambda: begun.exists() and begun.read_text() == "FIRST\n", "the first command runs")
    send(receiver, "SECOND")
    assert begun.read_text() == "FIRST\n"
    for told in ("FIRST\n", "FIRST\nSECOND\n"):
        until(lambda told=told: begun.read_text() == told, "one command after the other")
        gate.write_text("go on\n")


@contextmanager
def reading(pipe: Path) -> Iterator[Queue[str]]:
    """Reads lines from a FIFO, as FIONA does."""
    os.mkfifo(pipe)
    found: Queue[str] = Queue()
    with open(os.open(pipe, os.O_RDWR), "rb") as file:  # both ends, so that it never ends
        thread = threading.Thread(target=lambda: [found.put(file.readline().decode()) for _ in range(2)])
        thread.start()
        yield found
        thread.join(20)
        assert not thread.is_alive()


def test_a_pipe(ours: Start, storescp: Start, site: Path, directory: Path) -> None:
    theirs, mine = options("FIONA", directory)
    with reading(directory / "pipe") as found:
        old = storescp(*theirs)
        send(old)
        expected = found.get(timeout=20)
        new = ours("-pm", "--plugin", "actions", *mine, program=site)
        send(new)
        assert found.get(timeout=20) == here(expected, old, new)
        assert found.empty()


@pytest.mark.parametrize(
    ("line", "title", "written"),
    [("DCMTK's manual", "$(touch pwned)", "bin.told"), ("FIONA", "';touch pwned;'", "pipe")],
)
def test_a_title_is_not_executed(
    line: str, title: str, written: str, ours: Start, site: Path, directory: Path, told: Path
) -> None:
    _, mine = options(line, directory)
    new = ours("-pm", "--plugin", "actions", *mine, program=site)
    send(new, title)
    file = directory / written
    until(lambda: file.exists() and title in file.read_text(), "ours takes it as a value")
    assert not (new.directory / "pwned").exists()


def test_conversion(ours: Start, storescp: Start, site: Path, directory: Path) -> None:
    theirs, mine = options("`+te`, and other conversions", directory)
    old, new = storescp(*theirs), ours("-pm", "--plugin", "actions", *mine, program=site)
    (new.directory / "dir").mkdir()
    for receiver in (old, new):
        assert dcmtk("storescu", "-xi", "localhost", receiver.port, CT_SMALL).returncode == 0
    expected = data_set(old.output / FILE)
    assert "Used TransferSyntax: Little Endian Explicit" in expected
    assert data_set(new.output / FILE) != expected
    until(lambda: data_set(new.directory / "dir" / FILE) == expected, "it is converted")


def data_set(path: Path) -> str:
    """Its transfer syntax and its elements, "" while there is none; storescp drops the trailing padding."""
    shown = run(system_program("dcmdump"), "-q", path).stdout.partition("# Dicom-Data-Set")[2]
    return shown.partition("(fffc,fffc)")[0].rstrip()


def test_the_page_forwards_a_study(ours: Start, site: Path) -> None:
    [line] = re.findall(r'^on_study = "(xargs .*)"$', (DOCS / "actions.md").read_text(), re.MULTILINE)
    archive = ours("-pm", program=site)
    settings = f'plugin = ["actions"]\n[plugins.actions]\non_study = "{line}"\n'
    settings = settings.replace("pacs.example.org 104", f"localhost {archive.port}")
    arguments = ("-pm", "--settings", "site.toml", "--study-timeout", 1)
    receiver = ours(*arguments, files={"site.toml": settings}, program=site)
    send(receiver)
    until(lambda: archive.files() == [FILE], "the study is in the archive", log=lambda: receiver.log)


class _Endpoint(BaseHTTPRequestHandler):
    posts: Queue[bytes]

    def do_POST(self) -> None:
        self.posts.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def https(certificates: Certificates) -> Iterator[tuple[str, Queue[bytes]]]:
    """A URL, and what is posted to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server.certificate, certificates.server.key)
    posts: Queue[bytes] = Queue()
    with HTTPServer(("127.0.0.1", 0), type("Endpoint", (_Endpoint,), {"posts": posts})) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://localhost:{server.server_port}/", posts
        server.shutdown()
        thread.join(20)


def test_https(
    ours: Start,
    site: Path,
    https: tuple[str, Queue[bytes]],
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, posts = https
    arguments = ("-pm", "--plugin", "actions", "--on-instance-url", url)
    stranger = ours(*arguments, program=site)
    send(stranger)
    stranger.wait_for_log("certificate verify failed")
    assert stranger.stop() == 0
    assert posts.empty()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    send(ours(*arguments, program=site))
    assert json.loads(posts.get(timeout=20))["data"]["calling_ae_title"] == "CT 1"
