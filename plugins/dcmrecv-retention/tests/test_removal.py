"""What happens to a study while it is removed: instances come again, processes are killed, directories are in the way.

Mistakes are planted to see that the tests find them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from archive import Archive

from dcmrecv_index.database import Database
from dcmrecv_retention import removal, rounds
from dcmrecv_retention.notes import Notes
from dcmrecv_retention.removal import Removal

# Something comes meanwhile


def test_an_instance_that_comes_again(archive: Archive) -> None:
    """It was acknowledged, so it is there afterwards, in the index too."""
    archive.store("1", days=31)
    archive.store("2", days=31)
    archive.meanwhile = lambda: archive.store("1")
    assert not archive.once(keep_days=30)
    assert archive.files == archive.indexed == ["1", "2"]
    assert archive.aside == []


def test_a_new_instance_of_the_study(archive: Archive) -> None:
    archive.store("1", days=31)
    archive.meanwhile = lambda: archive.store("2")
    assert not archive.once(keep_days=30)
    assert archive.files == archive.indexed == ["1", "2"]


def test_an_instance_that_is_recorded_only(archive: Archive) -> None:
    """Answered "kept" when its old file was still there: the index does not know of it yet."""
    archive.store("1", days=31)

    def recorded() -> None:
        archive.unfinished = {"1.2"}

    archive.meanwhile = recorded
    assert not archive.once(keep_days=30)
    assert archive.files == archive.indexed == ["1"]


def test_a_commitment_that_is_asked_for_meanwhile(archive: Archive) -> None:
    archive.store("1", days=31)

    def asked() -> None:
        archive.requested = {"1"}

    archive.meanwhile = asked
    assert not archive.once(keep_days=30)
    assert archive.files == ["1"]


def test_an_instance_that_comes_after_the_decision(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.store("1", days=31)
    archive.store("2", days=31)
    finish = Removal.finish

    def late(self: Removal, database: Database, studies: list[str]) -> None:
        archive.store("1")
        finish(self, database, studies)

    monkeypatch.setattr(Removal, "finish", late)
    assert archive.once(keep_days=30)
    assert archive.files == archive.indexed == ["1"]
    assert archive.studies == ["1.2"]


def test_another_instance_takes_the_name(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    location = Path(archive.store("1", days=31).location)

    def other() -> None:
        os.rename(archive.store("2").location, location)
        archive.unfinished = {"1.2"}

    archive.meanwhile = other
    assert not archive.once(keep_days=30)
    assert sorted(os.listdir(archive.output)) == [".dcmrecv", "1.dcm", "1.dcm~6b86b273"]
    assert "something else has this name now; it is put back as 1.dcm~6b86b273" in caplog.text
    assert archive.aside == []


def test_the_same_instance_comes_again_with_other_content(archive: Archive) -> None:
    """Under --on-duplicate keep or rename, both were acknowledged."""
    location = Path(archive.store("1", days=31).location)
    before = location.read_bytes()

    def again() -> None:
        archive.store("1")
        location.write_bytes(location.read_bytes() + b"more")

    archive.meanwhile = again
    assert not archive.once(keep_days=30)
    assert sorted(os.listdir(archive.output)) == [".dcmrecv", "1.dcm", "1.dcm~6b86b273"]
    assert Path(archive.output, "1.dcm~6b86b273").read_bytes() == before
    assert archive.aside == []


def test_a_file_that_is_replaced_just_before_it_is_moved(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.store("1", days=31)
    note = Notes.note

    def late(self: Notes, *arguments: object) -> None:
        note(self, *arguments)  # type: ignore[arg-type]
        archive.store("1", indexed=False)

    monkeypatch.setattr(Notes, "note", late)
    assert not archive.once(keep_days=30)
    assert archive.files == ["1"]


# File systems


def test_a_directory_that_is_gone_is_made_again(archive: Archive) -> None:
    (archive.output / "a").mkdir()
    event = archive.store("1", days=31, indexed=False)
    moved = archive.output / "a" / "1.dcm"
    os.rename(event.location, moved)
    from dataclasses import replace

    archive.index.index([replace(event, location=str(moved))])

    def gone() -> None:
        (archive.output / "a").rmdir()
        archive.unfinished = {"1.2"}

    archive.meanwhile = gone
    assert not archive.once(keep_days=30)
    assert moved.exists()


def test_without_hard_links(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def refuse(source: str | Path, name: str, **at: object) -> None:
        if "retention" in str(source):
            raise PermissionError(1, "Operation not permitted")
        link(source, name, **at)  # type: ignore[arg-type]

    monkeypatch.setattr(removal.os, "link", refuse)
    archive.store("1", study="1.1", days=31)
    archive.store("2", study="1.2", days=31)

    def meanwhile() -> None:
        archive.store("2")
        archive.unfinished = {"1.1", "1.2"}

    archive.meanwhile = meanwhile
    assert not archive.once(keep_days=30)
    assert archive.files == ["1", "2"]
    assert archive.aside == []


def test_a_file_that_cannot_be_moved(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive.store("1", days=31)
    archive.store("2", days=31)
    rename = os.rename

    def refuse(name: str, aside: Path, **at: int) -> None:
        if name == "2.dcm":
            raise OSError(18, "Invalid cross-device link")
        rename(name, aside, **at)

    monkeypatch.setattr(removal.os, "rename", refuse)
    with archive.rounds(keep_days=30) as made:
        assert not made.round()
        assert not made.round()
    assert archive.files == archive.indexed == ["1", "2"]
    assert archive.waits == [0], "it is not tried again each minute"
    assert "2.dcm cannot be moved: Invalid cross-device link" in caplog.text


def test_other_users_links_are_not_followed(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    event = archive.store("1", days=31, indexed=False)
    from dataclasses import replace

    os.rename(event.location, elsewhere / "1.dcm")
    (archive.output / "link").symlink_to(elsewhere)
    archive.index.index([replace(event, location=str(archive.output / "link" / "1.dcm"))])
    os.lchown(archive.output / "link", 4242, 4242)
    assert not archive.once(keep_days=30)
    assert (elsewhere / "1.dcm").exists()


# Kills

STEPS = (
    (Notes, "note"),
    (Notes, "decide"),
    (Notes, "forget"),
    (removal.os, "rename"),
    (removal.os, "link"),
    (removal.os, "unlink"),
    (removal.os, "fsync"),
    (removal, "forget"),
    (Path, "unlink"),
    (Database, "execute"),
)


def killed_at(archive: Archive, number: int, act: Callable[[], object]) -> bool:
    """Do it in a process that is killed before the step of this number; whether there is such a step."""
    pid = os.fork()
    if not pid:
        try:
            count = iter(range(number, -1, -1))

            def counted(function: Callable[..., object]) -> Callable[..., object]:
                def step(*arguments: object, **more: object) -> object:
                    if next(count, 1) == 0:
                        os._exit(9)
                    return function(*arguments, **more)

                return step

            for owner, name in STEPS:
                setattr(owner, name, counted(getattr(owner, name)))
            act()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    return code == 9


def agree(archive: Archive) -> bool:
    """Files and index have the same instances, of whole studies, and nothing is left over."""
    return archive.files == archive.indexed in ([], ["1", "2"], ["3"], ["1", "2", "3"]) and archive.aside == []


def fill(archive: Archive) -> None:
    for uid, study in (("1", "1.1"), ("2", "1.1"), ("3", "1.2")):
        archive.store(uid, study=study, days=31)


def empty(archive: Archive) -> None:
    archive.recover()
    archive.once(keep_days=30)
    assert archive.files == archive.indexed == []


def kills(archive: Archive, act: Callable[[], object]) -> int:
    """Kill it before each step, one after the other, and recover; returns the number of steps."""
    number = 0
    while True:
        fill(archive)
        was_killed = killed_at(archive, number, act)
        archive.recover()
        assert agree(archive), f"killed before step {number}"
        empty(archive)
        if not was_killed:
            return number
        number += 1


def test_kills(archive: Archive) -> None:
    archive.index.close()  # no open database in a fork
    assert kills(archive, lambda: archive.once(keep_days=30)) > 20


def test_kills_while_a_study_is_put_back(archive: Archive) -> None:
    archive.index.close()

    def act() -> None:
        def meanwhile() -> None:
            archive.unfinished = {"1.1"}

        archive.meanwhile = meanwhile
        archive.once(keep_days=30)

    assert kills(archive, act) > 20


def test_kills_of_the_recovery(archive: Archive) -> None:
    archive.index.close()
    for before in (5, 9, 13, 17):
        number = 0
        while True:
            fill(archive)
            killed_at(archive, before, lambda: archive.once(keep_days=30))
            was_killed = killed_at(archive, number, archive.recover)
            archive.recover()
            assert agree(archive), (before, number)
            empty(archive)
            if not was_killed:
                break
            number += 1


def test_a_process_that_ends_puts_back(archive: Archive) -> None:
    """SIGTERM raises SystemExit in the hook: nothing stays aside while the receiver does not run."""
    archive.store("1", days=31)

    def end() -> None:
        raise SystemExit

    archive.meanwhile = end
    with archive.rounds(keep_days=30) as made, pytest.raises(SystemExit):
        made.round()
    assert archive.files == archive.indexed == ["1"]
    assert archive.aside == []


# Planted mistakes


def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Removal, "is_unchanged", lambda *_: True)


def _no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Removal, "decide", lambda *_: None)


def _no_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal.Removal, "recover", lambda *_: None)


def _files_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study is removed without a decision: what was moved is lost when the process is killed in the middle."""
    decide = Removal.decide

    def wrong(self: Removal, study: str) -> None:
        for each in self._notes.of(study)[:1]:
            (self._aside / str(each.number)).unlink(missing_ok=True)
        decide(self, study)

    monkeypatch.setattr(Removal, "decide", wrong)


@pytest.mark.parametrize("mistake", [_no_decision, _no_notes, _files_first])
def test_kills_find_mistakes(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, mistake: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        test_kills(archive)


def test_the_second_look_is_needed(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_second_look(monkeypatch)
    with pytest.raises(AssertionError):
        test_a_new_instance_of_the_study(archive)


def test_the_look_into_the_queues_is_needed(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = rounds.unfinished_studies
    asked: list[object] = []

    def once(state: Path) -> frozenset[str]:
        asked.append(state)
        return seen(state) if len(asked) == 1 else frozenset()

    monkeypatch.setattr(rounds, "unfinished_studies", once)
    with pytest.raises(AssertionError):
        test_an_instance_that_is_recorded_only(archive)


def test_the_look_at_the_moved_file_is_needed(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "what_is_wrong_with", lambda *_: "")
    with pytest.raises(AssertionError):
        test_a_file_that_is_replaced_just_before_it_is_moved(archive, monkeypatch)
