"""The examples in the README work as shown."""

from __future__ import annotations

import re

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.data.samples import pydicom_files
from support.paths import ROOT
from support.programs.receivers import Start, dcmtk
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

README = (ROOT / "README.md").read_text()
[CT_SMALL] = [path for path in pydicom_files() if path.name == "CT_small.dcm"]


def block(language: str) -> str:
    """The one code block of the README in this language."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return str(text)


def test_first_session(ours: Start) -> None:
    receiver = ours("-v", "-pm")
    assert dcmtk("storescu", "localhost", receiver.port, CT_SMALL).returncode == 0
    shown = block("text").replace(" ./CT.", " out/CT.")

    def log() -> str:
        return re.sub(r"after \d+\.\d s;", "after 0.1 s;", receiver.log)

    until(lambda: shown in log(), f"the log that the README shows:\n{shown}", log=log)


def test_site_plugin(ours: Start) -> None:
    receiver = ours("--plugin", "mysite.naming", files={"mysite/naming.py": block("python")})
    assert dcmtk("storescu", "-aet", "SCANNER", "localhost", receiver.port, CT_SMALL).returncode == 0
    assert receiver.files() == ["SCANNER/19970430/CT-1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322.dcm"]


def test_site_plugin_stores_whatever_is_sent(ours: Start) -> None:
    receiver = ours("--plugin", "mysite.naming", files={"mysite/naming.py": block("python")})
    sent = [("", "1.2.1"), ("/A", "1.2.2"), ("A/../..", "1.2.3"), ("A", "1.2/4")]
    for calling, uid in sent:
        with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], calling=calling) as association:
            assert association.store(CT, uid, instance_of(CT, uid)) == 0
    files = receiver.files()
    assert len(files) == len(sent)
    assert all(file.count("/") == 2 for file in files), files
