"""The installed package dcmrecv-commitment, with dcmrecv-index, asked on plain sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core.testing import sample_dataset, send
from support.paths import ROOT
from support.programs.environment import make_site
from support.programs.receivers import Start, run
from support.promises.commitment import Requestor, settings


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Path:
    packages = [ROOT / "plugins" / f"dcmrecv-{name}" for name in ("index", "commitment")]
    return make_site(tmp_path_factory.mktemp("site"), program, *packages)


def test_an_image_that_is_there_and_one_that_is_not(ours: Start, site: Path) -> None:
    with Requestor() as requestor:
        files = {"archive.toml": settings(requestor.port)}
        receiver = ours("-v", "-pm", "--settings", "archive.toml", program=site, files=files)
        assert send(receiver.port, sample_dataset(SOPInstanceUID="1.2.3")) == [0]
        assert requestor.ask(receiver.port, "9.1", ["1.2.3"]) == 0
        assert requestor.report() == (1, "9.1", {"1.2.3"}, {})
        assert requestor.ask(receiver.port, "9.2", ["1.2.3", "1.2.4"]) == 0
        assert requestor.report() == (2, "9.2", {"1.2.3"}, {"1.2.4": 0x0112})


def test_without_the_index_it_does_not_start(site: Path, tmp_path: Path) -> None:
    text = settings(104).replace('"index", ', "")
    (tmp_path / "archive.toml").write_text(text)
    done = run(site, "--settings", "archive.toml", "11112", cwd=tmp_path)
    assert done.returncode == 1
    assert "plugin commitment: configure: needs dcmrecv-index: add --plugin index" in done.stderr
