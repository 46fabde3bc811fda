"""Placeholders in scripts, as real shells read them: each is the value, and no value is executed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dcmrecv_actions.fields import LETTERS, variable
from dcmrecv_actions.scripts import referring

SHELLS = ("sh", "bash")

HOSTILE = [
    "CT 1",
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "'\"'\"'$(touch pwned)",
    "; touch pwned #",
    "& touch pwned &",
    "| touch pwned",
    "> pwned",
    "${IFS}",
    "* ? [a-z]",
    "~ \\",
    "a\nb",
    "-n",
    "#a",
    "%s",
    "M\u00fcller",
]

SCRIPTS = [
    ("printf %s #a", "{}"),
    ("printf %s '#a'", "{}"),
    ('printf %s "#a"', "{}"),
    ("printf %s x#a.y", "x{}.y"),
    ("printf %s '<#a,'#a\",#a>\"", "<{},{},{}>"),
    ('x=#a; printf %s "$x"', "{}"),
    ('printf %s "$(printf %s "#a")"', "{}"),
    ("printf %s \"$(printf %s '#a'; printf %s #a)\"", "{}{}"),
    ('printf %s "`printf %s "#a"`"', "{}"),
    ("(printf %s #a) | cat", "{}"),
    ("# it's a comment about \"\nprintf %s #a # and it's \"another", "{}"),
    ("printf '%s' \\\"#a\\\"", '"{}"'),
    ('printf %s "it\'s #a"', "it's {}"),
    ("printf %s '\"'#a'\"'", '"{}"'),
    ("if [ -n #a ]; then printf %s #{calling_ae_title}; fi", "{}"),
    ('f() { printf %s "$1"; }; f #a', "{}"),
    ("cat <<END\n#a\nEND", None),
    ("printf %s \"$(case x in x) printf %s '#a';; esac)\"", None),
]
"""With the output, in which {} is the value; None: only that nothing is executed."""


def field_of(placeholder: str) -> str:
    name = placeholder.strip("#{}")
    return LETTERS.get(name, name)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("script", "expected"), SCRIPTS)
def test_values_are_never_executed(shell: str, script: str, expected: str | None, tmp_path: Path) -> None:
    program = shutil.which(shell)
    assert program
    for value in HOSTILE:
        check(program, script, value, expected, tmp_path)


def check(program: str, script: str, value: str, expected: str | None, directory: Path) -> None:
    done = subprocess.run(
        [program, "-c", referring(script, field_of)],
        env={variable("calling_ae_title"): value, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert list(directory.iterdir()) == []
    if expected is not None:
        assert done.returncode == 0, done.stderr
        assert done.stdout.rstrip("\n") == expected.replace("{}", value).rstrip("\n")


@pytest.mark.parametrize(
    "script",
    [
        "printf %s $#",
        "x=/a/b.c; printf %s ${x#/a} ${x##*/} ${#x}",
        "# a comment",
        "printf %s \\#a",
        "echo a # it's",
        "",
        "echo 'open",
        'echo "open',
        "echo ) `",
    ],
)
def test_what_is_no_placeholder_stays(script: str) -> None:
    assert referring(script, field_of) == script


def test_the_line_of_fiona() -> None:
    script = referring("echo '#a,#c,#r,#p,#f' > pipe", field_of)
    assert script == (
        "echo ''\"${DCMRECV_CALLING_AE_TITLE}\"','\"${DCMRECV_CALLED_AE_TITLE}\"','\"${DCMRECV_PEER_ADDRESS}\"','"
        "\"${DCMRECV_DIRECTORY}\"','\"${DCMRECV_FILE_NAME}\"'' > pipe"
    )
