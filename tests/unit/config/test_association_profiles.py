"""Association profiles: meaning, lexical oddities, and the places that errors name.

Texts of errors are compared with the original's by the parity tests.
"""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.api.verdicts import Role, SupportedContext
from dcmrecv_core.config.association_profiles import AssociationConfigurationError, load_profile
from support.association_profile import BASE
from support.programs.original import NO_DIRECTORY, Ended, original
from support.uids import BIG_ENDIAN, CT, EXPLICIT_LE, IMPLICIT_LE, JPEG, MR, VERIFICATION


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(content: str, name: str = "file.cfg") -> None:
    Path(name).write_bytes(content.encode(errors="surrogateescape"))


def edited(old: str, new: str) -> str:
    assert old in BASE
    return BASE.replace(old, new, 1)


def our_own(path: str, profile: str) -> Ended:
    """What our program prints and returns up to the profile; it ends at the output directory."""
    try:
        load_profile(path, profile)
    except AssociationConfigurationError as error:
        letters = {logging.ERROR: "E: ", logging.CRITICAL: "F: "}
        lines = [
            letters[level] + line
            for level, text in error.lines
            if not text.startswith("  at ")
            for line in text.split("\n")
        ]
        return Ended(error.exit_code, "", "".join(f"{line}\n" for line in lines))
    return Ended(45, "", "F: cannot specify output directory: Directory does not exist\n")


def assert_as_original(path: str, profile: str) -> Ended:
    ended = our_own(path, profile)
    assert ended == original(["-xf", path, profile, *NO_DIRECTORY, "1"])
    return ended


@pytest.mark.usefixtures("directory")
def test_meaning() -> None:
    write(BASE)
    assert load_profile("file.cfg", "D e f") == (
        SupportedContext(CT, (EXPLICIT_LE, IMPLICIT_LE), Role.BOTH, b"\x01\x02\xff"),
        SupportedContext("1.2.3.4", (JPEG,), Role.SCP),
    )
    assert load_profile("file.cfg", "two") == (SupportedContext(MR, (EXPLICIT_LE, IMPLICIT_LE)),)


@pytest.mark.dcmtk
@pytest.mark.parametrize("profile", ["Default", "AllDICOM"])
def test_shipped_file(profile: str) -> None:
    contexts = load_profile("/etc/dcmtk/storescp.cfg", profile)
    assert len(contexts) == 128
    assert contexts[0] == SupportedContext(VERIFICATION, (EXPLICIT_LE, BIG_ENDIAN, IMPLICIT_LE))


# what is done to the base file -> the transfer syntaxes of list A that profile Two then has
LEXICAL = [
    ("[A]", "[ a\t]", (EXPLICIT_LE, IMPLICIT_LE)),
    ("[A]", "[(a).]", (EXPLICIT_LE, IMPLICIT_LE)),
    ("[[TransferSyntaxes]]", "[ [ Transfer\nSyntaxes ] x ]", (EXPLICIT_LE, IMPLICIT_LE)),
    ("[[TransferSyntaxes]]", "[[[TransferSyntaxes]]]", (EXPLICIT_LE, IMPLICIT_LE)),
    ("TransferSyntax1 =", "t r a n s f e r syntax 1=", (EXPLICIT_LE, IMPLICIT_LE)),
    ("TransferSyntax1 =", "  \n  TransferSyntax1\t= \t", (EXPLICIT_LE, IMPLICIT_LE)),
    ("TransferSyntax1 =", "TransferSyntax1\n=", (EXPLICIT_LE, IMPLICIT_LE)),
    ("TransferSyntax1 =", "TransferSyntax1 =\n ", (EXPLICIT_LE, IMPLICIT_LE)),
    ("TransferSyntax2 =", "#TransferSyntax2 =", (EXPLICIT_LE,)),
    ("TransferSyntax2 =", "  \n\t\n\nTransferSyntax2 =", (EXPLICIT_LE, IMPLICIT_LE)),
    ("TransferSyntax2 =", "TransferSyntax02 =", (EXPLICIT_LE,)),
    ("TransferSyntax2 =", "TransferSyntax3 = JPEGBaseline\nTransferSyntax2 =", (EXPLICIT_LE, IMPLICIT_LE, JPEG)),
    ("TransferSyntax2 =", "TransferSyntax1 = 9\nTransferSyntax2 =", (EXPLICIT_LE, IMPLICIT_LE)),
    ("TransferSyntax2 =", "unknown = 9\nTransferSyntax2 =", (EXPLICIT_LE, IMPLICIT_LE)),
    ("TransferSyntax2 =", "unknown \nTransferSyntax2 =", (EXPLICIT_LE,)),
    ("[B-2]", "[A]\nTransferSyntax1 = JPEGBaseline\n[B-2]", (EXPLICIT_LE, IMPLICIT_LE, JPEG)),
    (
        "[[TransferSyntaxes]]",
        "TransferSyntax9 = x\n[X]\nTransferSyntax1 = x\n[[TransferSyntaxes]]",
        (EXPLICIT_LE, IMPLICIT_LE),
    ),
    (
        "[[PresentationContexts]]",
        "[[TransferSyntaxes]]\n[A]\nTransferSyntax1 = x\n[[PresentationContexts]]",
        (EXPLICIT_LE, IMPLICIT_LE),
    ),
    ("[A]", "TransferSyntax1 = x\n[A]", (EXPLICIT_LE, IMPLICIT_LE)),
    ("LocalEndianExplicit", "1..2.", ("1..2.", IMPLICIT_LE)),
    ("LocalEndianExplicit", "=OppositeEndianExplicit", (BIG_ENDIAN, IMPLICIT_LE)),
    ("LocalEndianExplicit", "LocalEndianExplicit\n# comment\n\n", (EXPLICIT_LE, IMPLICIT_LE)),
    ("# a profile", "\0\N{WHITE SMILING FACE} = \udcff\n# a profile", (EXPLICIT_LE, IMPLICIT_LE)),
]


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(("old", "new", "syntaxes"), LEXICAL)
def test_lexical_rules(old: str, new: str, syntaxes: tuple[str, ...]) -> None:
    write(edited(old, new))
    assert load_profile("file.cfg", "Two") == (SupportedContext(MR, syntaxes),)


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_line_ends(line_end: str) -> None:
    write(BASE)
    expected = load_profile("file.cfg", "Def")
    write(BASE.rstrip().replace("\n", line_end))
    assert load_profile("file.cfg", "Def") == expected


LONG_LIST = "".join(f"PresentationContext{number} = 1.{number}\\A\n" for number in range(2, 130))

# what is done to the base file -> the place that the error names, "" for the file as a whole
REFUSED = [
    ("[[TransferSyntaxes]]", "[[X]]", ""),
    ("[[PresentationContexts]]", "[[X]]", ""),
    ("[[Profiles]]", "[[X]]", ""),
    ("[[Profiles]]", "[Profiles]", ""),
    ("LocalEndianExplicit", "localendianexplicit", "[[TRANSFERSYNTAXES]] [A] TRANSFERSYNTAX1 = localendianexplicit"),
    ("LocalEndianExplicit", "LocalEndianExplicit ", "[[TRANSFERSYNTAXES]] [A] TRANSFERSYNTAX1 = LocalEndianExplicit "),
    ("LocalEndianExplicit", "1.2 ", "[[TRANSFERSYNTAXES]] [A] TRANSFERSYNTAX1 = 1.2 "),
    ("LocalEndianExplicit", "", "[[TRANSFERSYNTAXES]] [A] TRANSFERSYNTAX1 = "),
    ("LocalEndianExplicit", "1.\N{ARABIC-INDIC DIGIT FIVE}", "[[TRANSFERSYNTAXES]] [A] TRANSFERSYNTAX1 = 1.\u0665"),
    ("CTImageStorage\\A", "CTImageStorage", "[[PRESENTATIONCONTEXTS]] [PC] PRESENTATIONCONTEXT1 = CTImageStorage"),
    (
        "CTImageStorage\\A",
        "CTImageStorage \\A",
        "[[PRESENTATIONCONTEXTS]] [PC] PRESENTATIONCONTEXT1 = CTImageStorage \\A",
    ),
    ("CTImageStorage\\A", "Foo\\A", "[[PRESENTATIONCONTEXTS]] [PC] PRESENTATIONCONTEXT1 = Foo\\A"),
    ("CTImageStorage\\A", "\\A", "[[PRESENTATIONCONTEXTS]] [PC] PRESENTATIONCONTEXT1 = \\A"),
    ("CTImageStorage\\A", "CTImageStorage\\", "[[PRESENTATIONCONTEXTS]] [PC] PRESENTATIONCONTEXT1 = CTImageStorage\\"),
    (
        "CTImageStorage\\A",
        "CTImageStorage\\a.",
        "[[PRESENTATIONCONTEXTS]] [PC] PRESENTATIONCONTEXT1 = CTImageStorage\\a.",
    ),
    ("[PC]", "[]", "[[PRESENTATIONCONTEXTS]] [] PRESENTATIONCONTEXT1 = CTImageStorage\\A"),
    ("[PD]", "[PD]\n" + LONG_LIST, "[[PRESENTATIONCONTEXTS]] [PD] PRESENTATIONCONTEXT129 = 1.129\\A"),
    ("\\Both", "", "[[SCPSCUROLESELECTION]] [R] ROLE1 = CTImageStorage"),
    ("\\Both", "\\Both ", "[[SCPSCUROLESELECTION]] [R] ROLE1 = CTImageStorage\\Both "),
    ("CTImageStorage\\Both", "Foo\\SCU", "[[SCPSCUROLESELECTION]] [R] ROLE1 = Foo\\SCU"),
    ("CTImageStorage\\Both", "1.2.3.4\\SCU", "[[SCPSCUROLESELECTION]] [R] ROLE2 = 1.2.3.4\\SCP"),
    ("CTImageStorage\\Both", "1.9\\SCU", "[[PROFILES]] [DEF] SCPSCUROLESELECTION"),
    ("\\0102fF", "", "[[EXTENDEDNEGOTIATION]] [E] EXTENDEDNEGOTIATION1 = CTImageStorage"),
    ("\\0102fF", "\\", "[[EXTENDEDNEGOTIATION]] [E] EXTENDEDNEGOTIATION1 = CTImageStorage\\"),
    ("\\0102fF", "\\012", "[[EXTENDEDNEGOTIATION]] [E] EXTENDEDNEGOTIATION1 = CTImageStorage\\012"),
    ("\\0102fF", "\\01 2", "[[EXTENDEDNEGOTIATION]] [E] EXTENDEDNEGOTIATION1 = CTImageStorage\\01 2"),
    ("\\0102fF", "\\" + "00" * 1024, "[[EXTENDEDNEGOTIATION]] [E] EXTENDEDNEGOTIATION1 = CTImageStorage\\0000"),
    ("CTImageStorage\\0102fF", "Foo\\00", "[[EXTENDEDNEGOTIATION]] [E] EXTENDEDNEGOTIATION1 = Foo\\00"),
    (
        "\\0102fF",
        "\\00\nExtendedNegotiation2 = CTImageStorage\\00",
        "[[EXTENDEDNEGOTIATION]] [E] EXTENDEDNEGOTIATION2 = CTImageStorage\\00",
    ),
    ("CTImageStorage\\0102fF", "1.9\\00", "[[PROFILES]] [DEF] EXTENDEDNEGOTIATION"),
    ("PresentationContexts = PC", "", "[[PROFILES]] [DEF]"),
    ("PresentationContexts = PC", "PresentationContexts = Foo", "[[PROFILES]] [DEF] PRESENTATIONCONTEXTS"),
    ("SCPSCURoleSelection = R", "SCPSCURoleSelection =", "[[PROFILES]] [DEF] SCPSCUROLESELECTION"),
    ("ExtendedNegotiation = E", "ExtendedNegotiation = Foo", "[[PROFILES]] [DEF] EXTENDEDNEGOTIATION"),
    ("[Two]", "[DEF.]", "[[PROFILES]] [DEF]"),
    ("1.2.3.4\\ b- 2", "=CTImageStorage\\B-2\n[Other]\nPresentationContext1 = 1.2.3.4\\A", "[[PROFILES]] [DEF] SCP"),
]


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(("old", "new", "place"), REFUSED)
def test_refused_with_the_place(old: str, new: str, place: str) -> None:
    write(edited(old, new))
    with pytest.raises(AssociationConfigurationError) as raised:
        load_profile("file.cfg", "Def")
    assert str(raised.value).startswith(f"file.cfg: {place}")
    assert place in "".join(text for _, text in raised.value.lines)


def test_error_names_file_place_and_text(directory: Path) -> None:
    path = str(directory / "file.cfg")
    write(edited("LocalEndianExplicit", "Foo"))
    with pytest.raises(AssociationConfigurationError) as raised:
        load_profile(path, "Def")
    place = "[[TRANSFERSYNTAXES]] [A] TRANSFERSYNTAX1 = Foo"
    text = "not a valid transfer syntax UID: Foo"
    assert str(raised.value) == f"{path}: {place}: {text}"
    assert raised.value.lines == (
        (logging.ERROR, f"Unable to parse association configuration file: {path}: {text}"),
        (logging.ERROR, f"  at {place}"),
        (logging.CRITICAL, f"cannot load association configuration: {text}"),
    )


PIECES = [
    "\n",
    "\r",
    " ",
    "\t",
    "#",
    "[",
    "]",
    "=",
    "\\",
    "\0",
    "x",
    "1",
    "[[",
    "\n ",
    "\n#c\n",
    "A",
    ".",
    "\r\n",
    "[B]\n",
]


@pytest.mark.dcmtk
@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_are_judged_as_by_the_original(seed: int) -> None:
    chance = random.Random(seed)
    text = BASE
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(PIECES) + text[at + chance.choice((0, 0, 3)) :]
    write(text)
    assert_as_original("file.cfg", "Def")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(st.sampled_from(BASE.splitlines(keepends=True)), st.text(max_size=5))))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.cfg"
    path.write_bytes("".join(lines).encode(errors="surrogatepass"))
    with suppress(AssociationConfigurationError):
        load_profile(str(path), "Def")
