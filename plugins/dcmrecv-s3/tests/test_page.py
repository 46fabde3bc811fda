"""The example of docs/s3.md."""

from __future__ import annotations

import re
from pathlib import Path

from dcmrecv_core.testing import StartReceiver, sample_dataset
from support.servers.s3_server import S3Server

PAGE = Path(__file__).parents[3] / "docs" / "s3.md"


def test_the_example(start_receiver: StartReceiver, server: S3Server, tmp_path: Path) -> None:
    """With the address of a server that is here."""
    text = PAGE.read_text()
    [settings] = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert "dcmrecv --settings cloud.toml" in text
    settings = re.sub(r"(?m)^(port|output_directory) = .*\n", "", settings)
    (tmp_path / "cloud.toml").write_text(settings.replace("https://s3.example.org", server.endpoint))
    server.make_bucket("images")
    receiver = start_receiver("--settings", tmp_path / "cloud.toml")
    sent = sample_dataset(StudyInstanceUID="1.2", SeriesInstanceUID="1.2.3", SOPInstanceUID="1.2.3.4")
    assert receiver.send(sent) == [0]
    assert server.keys("images") == ["site-a/1.2/1.2.3/1.2.3.4.dcm"]


def test_the_comments() -> None:
    """The page has each reason, as the code has it."""
    text = PAGE.read_text()
    source = "".join(path.read_text() for path in (Path(__file__).parents[1] / "src" / "dcmrecv_s3").glob("*.py"))
    for comment in re.findall(r"(?m)^\| `S3: (.*?)` \|", text):
        words = re.sub(r"\bimages\b|AccessDenied|\d+", "{}", comment).split("{}")
        assert all(word.strip() in source for word in words), comment
