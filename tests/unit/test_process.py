"""The program as a process: closed streams, Ctrl-C while it starts, threads that plugins leave."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import dcmrecv_core
from dcmrecv_core.process import STRAY

SOURCES = Path(dcmrecv_core.__file__).parent.parent
PROGRAM = (
    f"import signal, sys; sys.path[:0] = [{str(SOURCES)!r}, {str(SOURCES / 'plugins')!r}];"
    # a test runner in the background ignores it
    "signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from dcmrecv_core.cli import main; sys.exit(main())"
)


def run(directory: Path, *arguments: str, streams: str = "") -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=20, check=False)


def test_starts_with_closed_streams(tmp_path: Path) -> None:
    done = run(tmp_path, "-v", "-od", "absent", "11112", streams="<&- >&- 2>&-")
    assert done.returncode == 45
    assert run(tmp_path, "--version", streams=">&-").returncode == 0
    assert run(tmp_path, "--absent", streams="2>&-").returncode == 1


def test_a_thread_of_a_plugin_does_not_hold_up_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n"
    )
    done = run(tmp_path, "--plugin", "./threaded.py", "11112")
    assert done.returncode == 1
    assert "implements no hook" in done.stderr


def test_ctrl_c_while_it_starts_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    done = run(tmp_path, "--plugin", "./interrupted.py", "11112")
    assert done.returncode == -signal.SIGINT
    assert done.stderr == ""


def test_fault_15_stray_signals_are_ignored_unless_a_plugin_has_a_use_for_one(tmp_path: Path) -> None:
    (tmp_path / "stray.py").write_text(
        "import signal\nfrom dcmrecv_core.process import STRAY\n"
        "for number in STRAY:\n    signal.raise_signal(number)\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('a use for it'))\nsignal.raise_signal(signal.SIGUSR1)\n"
    )
    done = run(tmp_path, "--plugin", "./stray.py", "11112")
    assert done.returncode == 1
    assert "implements no hook" in done.stderr
    assert done.stdout == "a use for it\n"
    assert {signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGRTMIN, signal.SIGRTMAX} <= STRAY
    assert not STRAY & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGSEGV, signal.SIGABRT}
