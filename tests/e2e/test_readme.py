"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

from receivers import Start, dcmtk, until
from samples import pydicom_files

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
[CT_SMALL] = [path for path in pydicom_files() if path.name == "CT_small.dcm"]


def block(language: str) -> str:
    """The one code block of the README in this language."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return str(text)


def test_first_session(ours: Start) -> None:
    receiver = ours("-v", "-pm")
    assert dcmtk("storescu", "localhost", receiver.port, CT_SMALL).returncode == 0
    shown = block("text").replace("file: ./", "file: out/")
    until(lambda: shown in receiver.log, f"the log that the README shows:\n{shown}", log=lambda: receiver.log)


def test_site_plugin(ours: Start) -> None:
    receiver = ours("--plugin", "mysite.naming", files={"mysite/naming.py": block("python")})
    assert dcmtk("storescu", "-aet", "SCANNER", "localhost", receiver.port, CT_SMALL).returncode == 0
    assert receiver.files() == ["SCANNER/19970430/CT-1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322.dcm"]
