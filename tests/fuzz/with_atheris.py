"""Fuzz with atheris (libFuzzer, guided by coverage): `python tests/fuzz/with_atheris.py [--seconds N] [TARGET ...]`.

Without a target it runs all, one after the other. Exit code 1 if one raised; the input is then in corpus/TARGET, and
every later run reads it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import atheris

TESTS = Path(__file__).parent.parent
sys.path.append(str(TESTS))
if find_spec("dcmrecv_core") is None:
    sys.path += [str(TESTS.parent), str(TESTS.parent / "plugins")]

with atheris.instrument_imports(include=["dcmrecv_core", "dcmrecv_builtin"]):
    from support.fuzz.targets import CORPUS, TARGETS, Target

HOUR = 3600
LONGEST_INPUT = 20_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=HOUR, help="for each target")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", default=[target.name for target in TARGETS])
    arguments = parser.parse_args()
    chosen = [target for target in TARGETS if target.name in arguments.targets]
    if arguments.in_process:
        fuzz(chosen[0], arguments.seconds)
    command = [sys.executable, __file__, "--in-process", "--seconds", str(arguments.seconds)]
    raised = [target.name for target in chosen if subprocess.run([*command, target.name], check=False).returncode]
    if raised:
        print("raised:", *raised, file=sys.stderr)
    return bool(raised)


def fuzz(target: Target, seconds: int) -> None:
    """Never returns: libFuzzer ends the process."""
    with tempfile.TemporaryDirectory() as directory:
        seeds = Path(directory, "seeds")
        seeds.mkdir()
        for number, seed in enumerate(target.seeds()):
            (seeds / str(number)).write_bytes(seed)
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", "-seed=1", "-verbosity=0"]
        found = CORPUS / target.name
        found.mkdir(parents=True, exist_ok=True)
        options.append(f"-artifact_prefix={found}/")
        if target.words:
            words = Path(directory, "words")
            words.write_text(dictionary(target.words))
            options.append(f"-dict={words}")
        atheris.Setup([sys.argv[0], *options, str(seeds)], target.fuzz_one)
        atheris.Fuzz()


def dictionary(words: Sequence[bytes]) -> str:
    """In libFuzzer's format."""
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words)


if __name__ == "__main__":
    sys.exit(main())
