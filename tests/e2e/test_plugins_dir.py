"""Plugins that are dropped into a directory, and plugins whose code is loaded again while the receiver runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from support.data.datasets import instance_of
from support.paths import DOCS
from support.programs.receivers import Receiver, Start, run, until
from support.protocol.pdus import status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

IMPORT = "from dcmrecv_core import hookimpl\n"


def subdir(name: str) -> str:
    return f"{IMPORT}@hookimpl\ndef choose_subdir(instance): return {name!r}\n"


PAGE = (DOCS / "debugging.md").read_text()


def on_page(receiver: Receiver, *lines: str) -> None:
    """Wait for these lines of docs/debugging.md."""
    for line in lines:
        assert line.replace(str(receiver.directory), "/home/me") in PAGE
        receiver.wait_for_log(line)


def store(receiver: Receiver, uid: str) -> int:
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        status = association.store(CT, uid, instance_of(CT, uid))
        association.release()
    return status


def change(path: Path, text: str) -> None:
    """As editors do it: the file is never half there."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


LETTER = """\
from dcmrecv_core import hookimpl

@hookimpl
def add_options(options): options.add("--letter", value="l")

@hookimpl
def configure(settings):
    global letter
    letter = settings.options["letter"]

@hookimpl
def choose_filename(instance): return letter
"""


def test_drop_in_files(ours: Start, program: Path) -> None:
    """They accept storage classes as named plugins do; the last name is asked first, named ones before all of them."""
    options = 'plugins_dir = ["drop-ins"]\n[plugins.10-letter]\nletter = "b"\n'
    files = {
        "drop-ins/10-letter.py": LETTER,
        "drop-ins/20-first.py": subdir("first"),
        "drop-ins/30-second/__init__.py": "from .place import PLACE\n" + subdir("").replace("''", "PLACE"),
        "drop-ins/30-second/place.py": "PLACE = 'second'\n",
        "drop-ins/_helper.py": "raise RuntimeError\n",
        "site.toml": options,
    }
    receiver = ours("-v", "--settings", "site.toml", files=files)
    assert store(receiver, "1.1") == 0
    assert receiver.files() == ["second/b"]
    listed = run(
        program, "--settings", "site.toml", "--plugins-dir", "drop-ins", "--list-plugins", cwd=receiver.directory
    )
    assert "30-second: active (--plugins-dir drop-ins)\n" in listed.stdout
    assert "  choose_subdir     30-second, 20-first, no-subdir\n" in listed.stdout
    (receiver.directory / "drop-ins" / "40-late.py").write_text("no Python\n")
    receiver.process.send_signal(signal.SIGHUP)
    receiver.wait_for_log("I: settings reloaded")
    assert "drop-ins/40-late.py has changed since it was loaded: a reload loads no code, dcmrecvctl upg" in receiver.log
    refused = run(program, "--settings", "site.toml", "11112", cwd=receiver.directory)
    assert refused.returncode == 66
    assert "site.toml: plugins_dir: plugin drop-ins/40-late.py: cannot be loaded: SyntaxError" in refused.stderr
    assert "drop-ins/40-late.py:1)" in refused.stderr


def test_fault_29_code_is_loaded_again(ours: Start) -> None:
    package = {"__init__.py": "", "place.py": "PLACE = 'one'\n"}
    files = {
        **{f"mysite/{name}": text for name, text in package.items()},
        "mysite/naming.py": "from mysite.place import PLACE\n" + subdir("").replace("''", "PLACE"),
        "drop-ins/.keep": "",
    }
    receiver = ours("-v", "--reload-plugins", "--plugin", "mysite.naming", "--plugins-dir", "drop-ins", files=files)
    home = receiver.directory
    on_page(
        receiver,
        "W: --reload-plugins is for development: who changes a plugin's file changes this receiver at once",
    )
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, "1.1", instance_of(CT, "1.1")) == 0
        change(home / "mysite" / "place.py", "PLACE = 'two'\n")
        receiver.wait_for_log(f"I: {home}/mysite/place.py has changed: loading the plugins again")
        receiver.wait_for_log("I: plugins loaded again")
        assert association.store(CT, "1.2", instance_of(CT, "1.2")) == 0  # goes on with the old code
        association.release()
    assert store(receiver, "1.3") == 0
    assert receiver.files() == ["one/CT.1.1", "one/CT.1.2", "two/CT.1.3"]

    change(home / "mysite" / "place.py", "PLACE = 'three'\nsyntax error\n")
    receiver.wait_for_log(
        "E: plugins not loaded again, nothing has changed: plugin mysite.naming: cannot be loaded: Syntax"
    )
    assert f"({home}/mysite/place.py:2)" in receiver.log
    assert store(receiver, "1.4") == 0
    assert (receiver.output / "two" / "CT.1.4").exists()

    # a mended file, an option that is new, and a plugin that is
    change(home / "mysite" / "place.py", "PLACE = 'four'\n")
    until(lambda: receiver.log.count("I: plugins loaded again") == 2, "the mended file", log=lambda: receiver.log)
    stored = f"{IMPORT}@hookimpl\ndef stored(instance, location): print('told of', location, flush=True)\n"
    change(home / "drop-ins" / "told.py", stored)
    until(lambda: receiver.log.count("I: plugins loaded again") == 3, "the new file", log=lambda: receiver.log)
    assert store(receiver, "1.5") == 0
    assert (receiver.output / "four" / "CT.1.5").exists()
    receiver.wait_for_log("told of out/four/CT.1.5")
    os.remove(home / "drop-ins" / "told.py")
    until(lambda: receiver.log.count("I: plugins loaded again") == 4, "the end of it", log=lambda: receiver.log)
    assert store(receiver, "1.6") == 0
    assert "told of out/four/CT.1.6" not in receiver.log


DELIVERS = f"{IMPORT}@hookimpl\ndef deliver(event):\n    open('delivered', 'a').write(event.sop_instance_uid + '\\n')\n"


def test_new_code_may_deliver(ours: Start) -> None:
    """Journal and queue are made then, and a worker that has begun with the old code needs none."""
    receiver = ours("-v", "-pm", "--reload-plugins", "--plugin", "./site.py", files={"site.py": subdir("a")})
    change(receiver.directory / "site.py", DELIVERS)
    receiver.wait_for_log("I: plugins loaded again")
    assert store(receiver, "1.1") == 0
    delivered = receiver.directory / "delivered"
    until(lambda: delivered.exists() and delivered.read_text(), "the delivery", log=lambda: receiver.log)
    assert delivered.read_text() == "1.1\n"


STOPS = f"""{IMPORT}
@hookimpl
def receive(instance):
    breakpoint()
    return None
"""


def test_fault_29_a_debugger_in_code_that_was_loaded_again(ours: Start, tmp_path: Path) -> None:
    """It reads what the receiver's standard input has; pdb's output goes to standard output."""
    keys = tmp_path / "keys"
    os.mkfifo(keys)
    receiver = ours(
        *(
            "-v",
            "-pm",
            "--reload-plugins",
            "--plugin",
            "./mysite.py",
            "--max-associations",
            "1",
            "--hook-timeout",
            "60",
        ),
        files={"mysite.py": subdir("a")},
        prefix=["sh", "-c", f'exec "$@" <>{keys}', "sh"],
    )
    change(receiver.directory / "mysite.py", STOPS)
    on_page(
        receiver, f"I: {receiver.directory}/mysite.py has changed: loading the plugins again\nI: plugins loaded again\n"
    )
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association, keys.open("w") as terminal:
        association.request(store_rq(CT, "1.2.3"), instance_of(CT, "1.2.3"))
        on_page(receiver, f"{receiver.directory}/mysite.py(6)receive()\n-> return None\n(Pdb)")
        terminal.write("p 'it is', instance.sop_instance_uid\nc\n")
        terminal.flush()
        receiver.wait_for_log("('it is', '1.2.3')")
        assert status_of(association.response()) == 0
        association.release()
