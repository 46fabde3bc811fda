"""A site's own plugin, as a module in the working directory, a file, and an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.data.datasets import instance_of
from support.data.samples import Sample
from support.programs.environment import make_site, write_files
from support.programs.receivers import Receiver, Start, run
from support.protocol.pdus import status_of, store_rq
from support.protocol.raw_sender import RawAssociation, send
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, MR, VERIFICATION

NAMING = '''\
"""Files by sender and Series Date."""

from dcmrecv_core import hookimpl


@hookimpl
def choose_subdir(instance):
    return f"{instance.association.calling_ae_title}/{instance.get('SeriesDate')}"


@hookimpl
def choose_filename(instance):
    return f"{instance.modality_prefix}-{instance.header.PatientName.family_name}-{instance.sop_instance_uid}"
'''

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "dcmrecv-mysite"
version = "1.0"
dependencies = ["dcmrecv"]

[project.entry-points.dcmrecv]
mysite = "mysite_naming"

[tool.hatch.build.targets.wheel]
only-include = ["mysite_naming.py"]
"""


def check_layout(receiver: Receiver) -> None:
    samples = [Sample("", sop, "1.2.3", EXPLICIT_LE, instance_of(sop, "1.2.3")) for sop in (CT, MR)]
    assert send(receiver.port, samples, calling="SCANNER 1") == [0, 0]
    assert receiver.files() == ["SCANNER 1/20200102/CT-Doe-1.2.3", "SCANNER 1/20200102/MR-Doe-1.2.3"]


def test_module_in_the_working_directory(ours: Start) -> None:
    """Without a profile: a storage plugin is enough to accept storage classes."""
    receiver = ours("-v", "--plugin", "mysite.naming", files={"mysite/naming.py": NAMING})
    check_layout(receiver)
    with RawAssociation(receiver.port, [(VERIFICATION, [IMPLICIT_LE])]) as association:
        assert association.echo() == 0


@pytest.mark.parametrize("name", ["naming.py", "site plugins/naming-1.py"])
def test_single_file(ours: Start, name: str) -> None:
    check_layout(ours("--plugin", name, files={name: NAMING}))


@pytest.fixture(scope="module")
def site_environment(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Path:
    """An environment with a third party's package beside dcmrecv, and a dcmrecv command that runs there."""
    source = tmp_path_factory.mktemp("mysite")
    write_files(source, {"pyproject.toml": PYPROJECT, "mysite_naming.py": NAMING})
    return make_site(tmp_path_factory.mktemp("site"), program, source)


def test_entry_point_of_an_installed_package(ours: Start, site_environment: Path) -> None:
    check_layout(ours("--plugin", "mysite", program=site_environment))


def test_installed_is_not_active(ours: Start, site_environment: Path) -> None:
    receiver = ours("-pm", program=site_environment)
    assert send(receiver.port, [Sample("", CT, "1.2.3", EXPLICIT_LE, instance_of(CT, "1.2.3"))]) == [0]
    assert receiver.files() == ["CT.1.2.3"]


def test_list_plugins(site_environment: Path, directory: Path) -> None:
    done = run(site_environment, "--list-plugins", cwd=directory)
    assert done.returncode == 0, done.stderr
    assert "mysite" in done.stdout


def test_unknown_name_is_answered_with_near_matches(site_environment: Path, directory: Path) -> None:
    done = run(site_environment, "-od", ".", "--plugin", "mysiet", "11112", cwd=directory)
    assert done.returncode == 1
    assert "mysiet" in done.stderr
    assert "mysite" in done.stderr


def test_later_plugins_are_asked_first(ours: Start) -> None:
    naming = "from dcmrecv_core import hookimpl\n@hookimpl\ndef choose_filename(instance): return {!r}\n"
    files = {"first.py": naming.format("first"), "second.py": naming.format("second")}
    receiver = ours("-pm", "--plugin", "first", "--plugin", "second", files=files)
    assert send(receiver.port, [Sample("", CT, "1.2.3", EXPLICIT_LE, instance_of(CT, "1.2.3"))]) == [0]
    assert receiver.files() == ["second"]


VERDICTS = """\
from dcmrecv_core import Discard, Name, Refuse, Warn, hookimpl


@hookimpl
def receive(instance):
    return {"1": Refuse(0x0124, "not from you"), "2": Warn(0xB007, "odd"), "3": Discard("duplicate")}.get(
        instance.sop_instance_uid
    )


@hookimpl
def choose_filename(instance):
    return Name(f"n{instance.attempt}", on_exists="retry")


@hookimpl
def stored(instance, location):
    with open("stored.txt", "a") as log:
        print(instance.sop_instance_uid, location, file=log)


@hookimpl
def association_ended(association, summary):
    with open("ended.txt", "w") as log:
        print(summary.stored, summary.refused, summary.discarded, summary.ended.value, file=log)
"""


def test_verdicts_retries_and_notifications(ours: Start) -> None:
    receiver = ours("-pm", "--plugin", "verdicts", files={"verdicts.py": VERDICTS})
    samples = [Sample("", CT, uid, EXPLICIT_LE, instance_of(CT, uid)) for uid in ("1", "2", "3", "4")]
    assert send(receiver.port, samples) == [0x0124, 0xB007, 0, 0]
    assert receiver.files() == ["n0", "n1"]
    told = [line.split()[0] for line in (receiver.directory / "stored.txt").read_text().splitlines()]
    assert told == ["2", "4"]
    assert receiver.stop() == 0
    assert (receiver.directory / "ended.txt").read_text().split() == ["2", "1", "1", "released"]


RENAMING = """\
from dcmrecv_core import hookimpl


@hookimpl
def receive(instance):
    header = instance.copy_header()
    header.SOPInstanceUID = "2.25.4711"
    instance.replace_header(header)
"""


@pytest.mark.parametrize(
    ("options", "name"),
    [(("-pm", "+fd"), "CT.2.25.4711"), (("-pm", "--layout", "{SOPInstanceUID}.dcm"), "2.25.4711.dcm")],
    ids=["+fd", "layout"],
)
def test_a_new_uid_names_the_file_and_the_response_has_the_old_one(
    ours: Start, options: tuple[str, ...], name: str
) -> None:
    receiver = ours(*options, "-v", "--plugin", "./renaming.py", files={"renaming.py": RENAMING})
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        association.request(store_rq(CT, "1.2.3"), instance_of(CT, "1.2.3"))
        response = association.response()
        association.release()
    assert status_of(response) == 0xB000
    assert response[0x1000].rstrip(b"\0") == b"1.2.3"
    assert receiver.files() == [name]
    assert receiver.log.count("SOP instance 1.2.3: a plugin made it SOP instance 2.25.4711") == 1
