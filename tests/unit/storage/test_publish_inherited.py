"""Files get the group, the mode and the ACL that their directory gives, wherever they were made."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import NameTakenError
from dcmrecv_core.api.verdicts import OnExists
from dcmrecv_core.storage.directories import TEMPORARY_PARTS
from dcmrecv_core.storage.publish import Publisher
from dcmrecv_core.storage.temporary import Capabilities
from support.acls import DEFAULT, acl, acl_of
from support.publishing import HIDDEN, Calls, content, names, publisher, spooled, stored

SHARED = acl(user=6, named={54323: 6}, group=5, mask=6, other=0)
OTHER_GROUP = 54321
SETTING = ("fchown", "fchmod", "setxattr", "removexattr", "sendfile")
UNNAMED = Capabilities()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def give_group(directory: Path) -> None:
    if not os.geteuid():
        os.chown(directory, -1, OTHER_GROUP)
    directory.chmod(0o2775)


def give_acl(directory: Path) -> None:
    os.setxattr(directory, DEFAULT, SHARED)


def given(path: Path) -> tuple[int, int, bytes]:
    status = path.stat()
    return status.st_gid, status.st_mode, acl_of(path)


def made_in(directory: Path) -> tuple[int, int, bytes]:
    (directory / "made").touch()
    return given(directory / "made")


def publish_spooled(place: Publisher, directory: str, name: str = "a", on_exists: OnExists = "replace-same") -> None:
    data, file = spooled(place, b"large")
    place.publish((directory,), name, on_exists, data)
    file.close()


@pytest.mark.parametrize("give", [give_group, give_acl])
@pytest.mark.parametrize("capabilities", [UNNAMED, HIDDEN], ids=["unnamed", "hidden"])
def test_a_spooled_file_gets_it(tmp_path: Path, give: Callable[[Path], None], capabilities: Capabilities) -> None:
    place = publisher(tmp_path, capabilities=capabilities)
    target = tmp_path / "target"
    target.mkdir()
    give(target)
    publish_spooled(place, "target")
    assert given(target / "a") == made_in(target)
    assert (target / "a").read_bytes() == stored(b"large")


@pytest.mark.parametrize("capabilities", [UNNAMED, HIDDEN], ids=["unnamed", "hidden"])
def test_what_the_output_directory_gives_is_taken_back(tmp_path: Path, capabilities: Capabilities) -> None:
    target = tmp_path / "target"
    target.mkdir()
    tmp_path.joinpath(*TEMPORARY_PARTS).mkdir(parents=True)
    for directory in (tmp_path, tmp_path.joinpath(*TEMPORARY_PARTS)):
        give_acl(directory)
        give_group(directory)
    place = publisher(tmp_path, capabilities=capabilities)
    publish_spooled(place, "target")
    place.publish(("target",), "small", "replace-same", content())
    assert given(target / "a") == given(target / "small") == made_in(target)
    assert stat.S_IMODE((target / "a").stat().st_mode) == 0o666 & ~0o022


@pytest.mark.parametrize("function", ["fchown", "setxattr"])
@pytest.mark.parametrize("capabilities", [UNNAMED, HIDDEN], ids=["unnamed", "hidden"])
def test_where_that_is_not_permitted_it_is_copied(
    tmp_path: Path, calls: Calls, function: str, capabilities: Capabilities
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    give_group(target)
    give_acl(target)
    place = publisher(tmp_path, capabilities=capabilities)
    calls.fail(function, errno.EPERM)
    if os.geteuid() and function == "fchown":
        function = "setxattr"  # there is but one group
        calls.fail(function, errno.EPERM)
    publish_spooled(place, "target")
    publish_spooled(place, "target", "b", "keep")  # under this policy the name is looked at first
    assert function in calls.made
    for name in ("a", "b"):
        assert given(target / name) == made_in(target)
        assert (target / name).read_bytes() == stored(b"large")
    assert names(tmp_path) == ["target/a", "target/b", "target/made"]


@pytest.mark.parametrize("permitted", [True, False])
def test_a_name_in_a_second_directory(tmp_path: Path, calls: Calls, permitted: bool) -> None:
    """The first was taken when the file had what that directory gives, or a part of it."""
    for name in ("shared", "plain"):
        (tmp_path / name).mkdir()
    give_group(tmp_path / "shared")
    give_acl(tmp_path / "shared")
    (tmp_path / "shared" / "a").touch()
    place = publisher(tmp_path)
    if not permitted:
        calls.fail("setxattr", errno.EPERM)
    data, file = spooled(place, b"large")
    with pytest.raises(NameTakenError):
        place.publish(("shared",), "a", "refuse", data)
    place.publish(("plain",), "a", "refuse", data)
    file.close()
    assert given(tmp_path / "plain" / "a") == made_in(tmp_path / "plain")


def test_hidden_files_are_made_where_they_belong(tmp_path: Path, calls: Calls) -> None:
    """Only where the directory of hidden files gives something else."""
    for name in ("same", "other"):
        (tmp_path / name).mkdir()
    give_acl(tmp_path / "other")
    place = publisher(tmp_path, capabilities=HIDDEN)
    place.directories.get(TEMPORARY_PARTS)
    calls.record(*SETTING)
    for name in ("same", "other"):
        place.publish((name,), "a", "replace-same", content())
        assert given(tmp_path / name / "a") == made_in(tmp_path / name)
    assert calls.made == []


def test_nothing_is_set_where_directories_give_the_same(tmp_path: Path, calls: Calls) -> None:
    give_group(tmp_path)
    give_acl(tmp_path)
    place = publisher(tmp_path)
    calls.record(*SETTING, "open")
    publish_spooled(place, "made")
    assert [call for call in calls.made if call in SETTING] == []
    assert given(tmp_path / "made" / "a") == made_in(tmp_path / "made")


def test_small_files_cost_no_call(tmp_path: Path, calls: Calls) -> None:
    place = publisher(tmp_path)
    place.publish(("target",), "a", "replace-same", content())
    calls.record("fstat", "getxattr", *SETTING)
    place.publish(("target",), "b", "replace-same", content())
    assert calls.made == []
