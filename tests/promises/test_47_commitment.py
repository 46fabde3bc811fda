"""Images of all sizes, in three transfer syntaxes, as they are and with other UIDs, are stored and then damaged:
removed, truncated, lengthened, one bit flipped anywhere, exchanged for another image, replaced by another content. A
requestor on plain sockets asks for all of them and for some that were never sent, by the UIDs that it knows. Meanwhile
processes are killed. What is whole, and nothing else, is committed to.

Flipped are all bits but those of the version number in File Meta Information: other versions write other digits there.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from support.data.datasets import deflate, element, identification
from support.programs.environment import write_files
from support.programs.receivers import Receiver, create_listener, start_ours
from support.promises.commitment import Requestor, index_locked, installed, settings
from support.promises.deliveries import kill_process
from support.promises.promises import promise
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE

pytestmark = promise(47)

COERCED, NO_SUCH, CHANGED = 0xB000, 0x0112, 0x0110
SYNTAXES = (EXPLICIT_LE, IMPLICIT_LE, DEFLATED)
CONTEXTS = [(CT, [syntax]) for syntax in SYNTAXES]
LOOK = 0.5
"""Seconds between two looks at requests for storage commitment."""

BACKGROUND = "background of plugin commitment"
RENAMES = """\
from dcmrecv_core import hookimpl

@hookimpl
def receive(instance):
    if instance.sop_instance_uid.startswith("1.9."):
        header = instance.copy_header()
        header.SOPInstanceUID = "2.25." + instance.sop_instance_uid[4:]
        header.PatientName = "nobody"
        instance.replace_header(header, keep_unseen=False)
"""


def file_of(receiver: Receiver, uid: str) -> Path:
    """`RENAMES` has given some another UID."""
    return receiver.output / f"CT.{uid.replace('1.9.', '2.25.')}"


def image(uid: str, syntax: str, chance: random.Random) -> bytes:
    explicit = syntax != IMPLICIT_LE
    size = chance.choice((0, 2, 512, 4096, 70_000, 1 << 20, 3 << 20))
    head = identification(CT, uid, explicit=explicit)
    data = head + element(0x7FE00010, "OW", chance.randbytes(size), explicit=explicit)
    return deflate(data, padded=True) if syntax == DEFLATED else data


def store(port: int, uids: Iterable[str], chance: random.Random) -> None:
    with RawAssociation(port, CONTEXTS) as association:
        for uid in uids:
            number = chance.randrange(len(SYNTAXES))
            data = image(uid, SYNTAXES[number], chance)
            status = association.store(CT, uid, data, context_id=2 * number + 1)
            assert status == (COERCED if uid.startswith("1.9.") else 0)
        association.release()


def flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    version = data.index(b"DCMRECV_PY_") + len(b"DCMRECV_PY_")
    places = [*range(min(version, 400)), *range(version + 3, len(data))]
    place = chance.choice(places) if chance.random() < 0.5 else chance.choice(places[:320])
    data[place] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def damage(path: Path, others: list[Path], chance: random.Random) -> int:
    """Damage a file in one of the ways; the Failure Reason that is due."""
    size = path.stat().st_size
    match chance.choice(("remove", "cut", "lengthen", *["flip"] * 4, "other", "content", "zeros")):
        case "remove":
            path.unlink()
            return NO_SUCH
        case "cut":
            os.truncate(path, chance.choice((0, size - 1, size - 2, chance.randrange(size))))
        case "lengthen":
            with path.open("ab") as file:
                file.write(bytes(chance.randint(1, 3)))
        case "flip":
            flip(path, chance)
        case "other":
            path.write_bytes(chance.choice(others).read_bytes())
        case "content":
            data = path.read_bytes()
            path.write_bytes(data[:-400] + chance.randbytes(len(data[-400:])))
        case "zeros":
            os.truncate(path, size // 2)
            os.truncate(path, size)
    return CHANGED


def start(program: Path, home: Path, requestor: Requestor, **options: Any) -> Receiver:
    files, environment = installed()
    write_files(home, {**files, "renames.py": RENAMES, "site.toml": settings(requestor.port, "renames.py")})
    return start_ours(program, home, "-pm", "-v", "--settings", "site.toml", env=environment, **options)


def test_only_what_is_whole(
    program: Path, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    chance = random.Random(47)
    total = count(60, 1500)
    uids = [f"1.{chance.choice((2, 9))}.{number + 1}" for number in range(total)]
    with Requestor() as requestor:
        receiver = start(program, directory / "ours", requestor)
        try:
            store(receiver.port, uids, chance)
            assert requestor.ask(receiver.port, "9.1", uids) == 0
            assert requestor.report() == (1, "9.1", set(uids), {}), receiver.log
            broken = chance.sample(uids, total // 2)
            whole = [file_of(receiver, uid) for uid in uids if uid not in broken]
            expected = {uid: damage(file_of(receiver, uid), whole, chance) for uid in broken}
            never = {f"1.2.{number + 1}": NO_SUCH for number in range(total, total + 10)}
            assert requestor.ask(receiver.port, "9.2", [*uids, *never]) == 0
            report = requestor.report()
            assert report.failed == {**expected, **never}, receiver.log
            assert report.committed == set(uids) - set(broken)
        finally:
            receiver.kill()
    figure(f"{len(broken)} of {total} damaged: all reported, {len(report.committed)} committed to")


def test_at_once_after_storing(
    program: Path, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    """Whoever asks at once has the answer when the index has caught up, which it cannot in every second round."""
    chance = random.Random(48)
    rounds = count(4, 40)
    with Requestor() as requestor:
        receiver = start(program, directory / "ours", requestor)
        try:
            for number in range(rounds):
                uids = [f"1.{chance.choice((2, 9))}.{number}.{each + 1}" for each in range(20)]
                with index_locked(receiver) if number % 2 else nullcontext():
                    store(receiver.port, uids, chance)
                    assert requestor.ask(receiver.port, f"9.{number}", uids) == 0
                    assert not (number % 2 and requestor.is_called(2 * LOOK)), receiver.log
                report = requestor.report()
                assert report == (1, f"9.{number}", set(uids), {}), receiver.log
        finally:
            receiver.kill()
    figure(f"{rounds} times asked at once: 0 of {20 * rounds} denied")


def test_whatever_is_killed(
    program: Path, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    """A request that was answered with Success gets its report, whoever dies meanwhile."""
    chance = random.Random(49)
    kills = count(4, 40)
    home = directory / "ours"
    with Requestor() as requestor, create_listener() as listener:
        port = listener.getsockname()[1]
        receiver = start(program, home, requestor, listener=listener)
        try:
            for number in range(kills):
                uids = [f"1.2.{number}.{each + 1}" for each in range(5)]
                store(port, uids, chance)
                assert requestor.ask(port, f"9.{number}", uids) == 0
                if number % 2:
                    receiver.process.send_signal(signal.SIGKILL)
                    receiver.process.wait(20)
                    receiver = start(program, home, requestor, listener=listener)
                else:
                    kill_process(receiver, BACKGROUND)
                report = requestor.report()
                while report.transaction_uid != f"9.{number}":  # of the one before, whose answer came too late
                    report = requestor.report()
                assert report.committed == set(uids), receiver.log
        finally:
            receiver.kill()
    figure(f"{kills} kills: each request has its report")
