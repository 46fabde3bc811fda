"""Association configuration files: those that are refused by exit code and texts, the others by what is accepted.

A row changes one thing in a file that has everything, and names one of its profiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from support.association_profile import BASE
from support.parity.answers import Accepted, next_answer
from support.parity.both_programs import run_both
from support.parity.proposals import context, request, role
from support.parity.rules import Row, by_rule, compare
from support.programs.original import Ended
from support.programs.receivers import Receiver, Start
from support.protocol.pdus import USER
from support.protocol.raw_sender import RawAssociation
from support.uids import BIG_ENDIAN, CT, EXPLICIT_LE, IMPLICIT_LE, JPEG, MR, VERIFICATION

EXPLICIT = "LocalEndianExplicit"
ABSENT = ("-od", "absent", "1")

MR_LINE = "PresentationContext1 = MRImageStorage\\A"
TWICE = f"{MR_LINE}\nPresentationContext2 = MRImageStorage\\B-2"
CLASSES = (CT, MR, "1.2.3.4", VERIFICATION)
SYNTAXES = (BIG_ENDIAN, JPEG, IMPLICIT_LE, EXPLICIT_LE)
ODD_SYNTAXES = ("1..2.", "9")
AS_SCP = [role(uid, 0, 1) for uid in CLASSES]


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile(Row):
    """In the file `old` becomes `new`, or it is `content`; `path` and `profile` are the values of `-xf`."""

    kind: ClassVar[str] = "profile"
    old: str = ""
    new: str = ""
    content: str = BASE
    path: str = "file.cfg"
    profile: str = "Def"


@dataclass(frozen=True, kw_only=True, slots=True)
class Loading(Profile):
    """A file that is accepted: then all kinds of presentation contexts, roles and extended negotiation are proposed."""


def _refused(rule: str, old: str, new: str, profile: str = "Def") -> Profile:
    return Profile(rule=rule, old=old, new=new, profile=profile)


def _goes_on(rule: str, old: str, new: str, rest: str) -> Profile:
    """A transfer syntax gets a second line, `rest`, which makes it wrong."""
    value = EXPLICIT if rest == "# " else IMPLICIT_LE
    fault = "cannot load association configuration: not a valid transfer syntax UID: "
    parsed = "Unable to parse association configuration file: file.cfg: not a valid transfer syntax UID: "
    return Profile(
        rule=rule,
        old=old,
        new=new,
        differs="Ours escapes line ends of a value, so that no value makes lines in the log.",
        ours=Ended(66, "", f"E: {parsed}{value}\\n{rest}\nF: {fault}{value}\\n{rest}\n"),
        theirs=Ended(66, "", f"E: {parsed}{value}\nE: {rest}\nF: {fault}{value}\nF: {rest}\n"),
    )


def _loads(rule: str, old: str = "", new: str = "", profile: str = "Two", content: str = BASE) -> Loading:
    return Loading(rule=rule, old=old, new=new, profile=profile, content=content)


def _numbered(name: str, numbers: range, value: str) -> str:
    return "".join(f"{name}{number} = {value.format(number)}\n" for number in numbers)


LOADING = (
    _loads("contexts, roles and extended negotiation are what the lists say", profile="Def"),
    _loads("names of profiles fold blanks and case", profile=" d E\tf "),
    # names
    _loads("names of sections fold case and blanks", "[A]", "[ a\t]"),
    _loads("names of sections drop other characters", "[A]", "[(a).]"),
    _loads("a super-section's brackets may be apart", "[[TransferSyntaxes]]", "[ [ Transfer\nSyntaxes ] x ]"),
    _loads("a third bracket does not count", "[[TransferSyntaxes]]", "[[[TransferSyntaxes]]]"),
    _loads("keys fold case and blanks", "TransferSyntax1 =", "t r a n s f e r syntax 1="),
    # lines
    _loads("blanks after a header and around a key", "TransferSyntax1 =", "  \n  TransferSyntax1\t= \t"),
    _loads("a line without an equals sign goes on with the next", "TransferSyntax1 =", "TransferSyntax1\n="),
    _loads("a line that starts with a blank goes on with the value", "TransferSyntax1 =", "TransferSyntax1 =\n "),
    _loads("a number sign in column 1 is a comment", "TransferSyntax2 =", "#TransferSyntax2 ="),
    _loads("lines of blanks are nothing", "TransferSyntax2 =", "  \n\t\n\nTransferSyntax2 ="),
    _loads("comments after a value are no part of it", "Explicit\n", "Explicit\n# comment\n\n"),
    _loads("a line without an equals sign makes the next key unknown", "TransferSyntax2 =", "odd \nTransferSyntax2 ="),
    _loads("lines may end with CR and LF", content=BASE.replace("\n", "\r\n")),
    _loads("lines may end with CR", content=BASE.replace("\n", "\r")),
    _loads("the last line needs no end", content=BASE.rstrip()),
    _loads("bytes that are not ASCII pass in keys", "# a profile", "\0\N{WHITE SMILING FACE} = \udcff\n# a profile"),
    # numbers of keys
    _loads("leading zeros of a key's number are not found", "TransferSyntax2 =", "TransferSyntax02 ="),
    _loads(
        "keys are read in the order of their numbers",
        "TransferSyntax2 =",
        "TransferSyntax3 = JPEGBaseline\nTransferSyntax2 =",
    ),
    _loads("reading stops at the first number that is missing", "TransferSyntax2 =", "TransferSyntax3 ="),
    _loads("of equal keys the first counts", "TransferSyntax2 =", "TransferSyntax1 = 9\nTransferSyntax2 ="),
    _loads("unknown keys are ignored", "TransferSyntax2 =", "unknown = 9\nTransferSyntax2 ="),
    # sections
    _loads("sections of one name are one", "[B-2]", "[A]\nTransferSyntax1 = JPEGBaseline\n[B-2]"),
    _loads(
        "unknown super-sections are ignored",
        "[[TransferSyntaxes]]",
        "[[Unknown]]\n[X]\nTransferSyntax1 = x\n[[TransferSyntaxes]]",
    ),
    _loads(
        "what stands before all super-sections is ignored",
        "[[TransferSyntaxes]]",
        "TransferSyntax9 = x\n[X]\nTransferSyntax1 = x\n[[TransferSyntaxes]]",
    ),
    _loads(
        "of super-sections of one name the first counts",
        "[[PresentationContexts]]",
        "[[TransferSyntaxes]]\n[A]\nTransferSyntax1 = x\n[[PresentationContexts]]",
    ),
    _loads("keys before all sections are ignored", "[A]", "TransferSyntax1 = x\n[A]"),
    _loads(
        "super-sections may come in any order",
        content="[[Profiles]]" + BASE.partition("[[Profiles]]")[2] + BASE.partition("[[Profiles]]")[0],
    ),
    # values
    _loads("a UID may be digits and dots of any kind", "LocalEndianExplicit", "1..2."),
    _loads("a symbolic name may have an equals sign", "LocalEndianExplicit", "=OppositeEndianExplicit"),
    _loads("a transfer syntax may be any UID", "LocalEndianExplicit", "9"),
    _loads("a SOP class may be a transfer syntax", "MRImageStorage", "LittleEndianImplicit"),
    _loads("a SOP class may have blanks after the backslash", "MRImageStorage\\A", "MRImageStorage\\ \tA"),
    _loads("a SOP class may be repeated in a profile that is not chosen", MR_LINE, TWICE, profile="Def"),
    _loads("blanks after the name of a list are nothing", "= P D", "= P D \t "),
    _loads("role SCU", "\\Both", "\\scu", profile="Def"),
    _loads("role SCP", "\\Both", "\\Scp", profile="Def"),
    _loads("role BOTH in other case", "\\Both", "\\bOTH", profile="Def"),
    _loads("profiles may do without roles", "SCPSCURoleSelection = R", "", profile="Def"),
    _loads("profiles may do without extended negotiation", "ExtendedNegotiation = E", "", profile="Def"),
    _loads("extended negotiation may be 1023 bytes long", "0102fF", "5a" * 1023, profile="Def"),
    _loads(
        "a list may have 128 contexts", "[PD]", "[PD]\n" + _numbered("PresentationContext", range(2, 129), "1.{}\\A")
    ),
)

PC, TS, RS, EN = "CTImageStorage\\A", EXPLICIT, "CTImageStorage\\Both", "CTImageStorage\\0102fF"
REFUSED = (
    # the file
    Profile(rule="a configuration file that is absent is named", path="absent"),
    Profile(rule="a directory is a configuration file without sections", path="."),
    Profile(rule="an empty configuration file lacks its first super-section", content=""),
    Profile(rule="the name of a configuration file is not empty", path=""),
    Profile(rule="the file is opened before the profile is looked at", path="absent", profile=""),
    # the profile
    Profile(rule="a profile that is not there is named", profile="Foo"),
    Profile(rule="the name of a profile does not drop characters", profile="def."),
    Profile(rule="the name of a profile is not empty", profile=""),
    # sections and lines
    _refused("there are transfer syntaxes", "[[TransferSyntaxes]]", "[[X]]"),
    _refused("there are presentation contexts", "[[PresentationContexts]]", "[[X]]"),
    _refused("there are profiles", "[[Profiles]]", "[[X]]"),
    _refused("a section is no super-section", "[[Profiles]]", "[Profiles]"),
    _refused("super-sections are looked for in a fixed order", "[[PresentationContexts]]", "[[X]]\n[[Profiles]]"),
    _goes_on("an indented number sign is text", "TransferSyntax2 =", " # \nTransferSyntax2 =", rest="# "),
    _refused("a header goes to its closing bracket", "[B-2]", "[B-2"),
    _goes_on("an indented header is part of the value before it", "[B-2]", " [B-2]", rest="[B-2]"),
    _refused("there is no comment after a value", TS, f"{TS} # comment"),
    _refused(
        "a byte order mark spoils the first header", "# a profile with everything\n", "\N{ZERO WIDTH NO-BREAK SPACE}"
    ),
    # transfer syntaxes
    _refused("names of transfer syntaxes are case sensitive", TS, "localendianexplicit"),
    _refused("a name of a transfer syntax has no blanks after it", TS, f"{TS} "),
    _refused("a UID has no blanks after it", TS, "1.2 "),
    _refused("a transfer syntax is not empty", TS, ""),
    _refused("a UID has ASCII digits", TS, "1.\N{ARABIC-INDIC DIGIT FIVE}"),
    _refused("a UID has digits and dots only", TS, "1.2a"),
    _refused("lists that no profile uses are checked", "=JPEGBaseline", "=Foo", profile="Two"),
    # presentation contexts
    _refused("a context has a backslash", PC, "CTImageStorage"),
    _refused("there is no blank before the backslash", PC, "CTImageStorage \\A"),
    _refused("a context's SOP class is known", PC, "Foo\\A"),
    _refused("a context's SOP class is not empty", PC, "\\A"),
    _refused("a context's list is not empty", PC, "CTImageStorage\\"),
    _refused("a context's list is there", PC, "CTImageStorage\\C"),
    _refused("a context's list does not drop characters", PC, "CTImageStorage\\a."),
    _refused("a list has a name", "[PC]", "[]"),
    _refused(
        "a list has 128 contexts at most", "[PD]", "[PD]\n" + _numbered("PresentationContext", range(2, 130), "1.{}\\A")
    ),
    # roles
    _refused("a role has a backslash", RS, "CTImageStorage"),
    _refused("a role has no blanks after it", RS, f"{RS} "),
    _refused("a role is one of three words", RS, "CTImageStorage\\SCPSCU"),
    _refused("a role's SOP class is known", RS, "Foo\\SCU"),
    _refused("a role's SOP class is given once", RS, "1.2.3.4\\SCU"),
    _refused("a role's SOP class has a context", RS, "1.9\\SCU"),
    # extended negotiation
    _refused("extended negotiation has a backslash", EN, "CTImageStorage"),
    _refused("extended negotiation is not empty", EN, "CTImageStorage\\"),
    _refused("extended negotiation has an even number of digits", EN, "CTImageStorage\\012"),
    _refused("extended negotiation has no blanks between digits", EN, "CTImageStorage\\01 2"),
    _refused("extended negotiation has hexadecimal digits", EN, "CTImageStorage\\0g"),
    _refused("extended negotiation is shorter than 1024 bytes", EN, "CTImageStorage\\" + "00" * 1024),
    _refused("extended negotiation's SOP class is known", EN, "Foo\\00"),
    _refused("extended negotiation's SOP class is given once", EN, f"{EN}\nExtendedNegotiation2 = {EN}"),
    _refused("extended negotiation's SOP class has a context", EN, "1.9\\00"),
    # profiles
    _refused("a profile has contexts", "PresentationContexts = PC\n", ""),
    _refused(
        "a profile's contexts are a list that is there", "PresentationContexts = PC", "PresentationContexts = Foo"
    ),
    _refused("a profile's roles are a list with entries", "SCPSCURoleSelection = R", "SCPSCURoleSelection ="),
    _refused("a profile's roles are a list that is there", "SCPSCURoleSelection = R", "SCPSCURoleSelection = Foo"),
    _refused(
        "a profile's extended negotiation is a list that is there",
        "ExtendedNegotiation = E",
        "ExtendedNegotiation = Foo",
    ),
    _refused("profiles that are not used are checked", "= P D", "= Foo"),
    _refused("no two profiles have one name", "[Two]", "[DEF.]"),
    _refused("the chosen profile has each SOP class once", MR_LINE, TWICE, profile="Two"),
)
PLACES = Profile(
    rule="the place of a fault is told",
    old=TS,
    new="Foo",
    profile="Two",
    differs="Ours names super-section, section and key of a fault in a line of its own; other rows leave it out.",
    ours=("E:   at [[TRANSFERSYNTAXES]] [A] TRANSFERSYNTAX1 = Foo",),
    theirs=(),
)
ROWS: tuple[Row, ...] = (*LOADING, *REFUSED, PLACES)


def _files(row: Profile) -> dict[str, str]:
    assert row.old in row.content
    return {"file.cfg": row.content.replace(row.old, row.new, 1) if row.old else row.content}


@by_rule(REFUSED)
def test_refused_as_by_the_original(program: Path, directory: Path, row: Profile) -> None:
    outcomes = run_both(program, directory, ("-xf", row.path, row.profile, *ABSENT), _files(row))
    assert outcomes.original.code == 66
    compare(row, *outcomes)


@by_rule([PLACES])
def test_place_of_a_fault(program: Path, directory: Path, row: Profile) -> None:
    outcomes = run_both(program, directory, ("-xf", row.path, row.profile, *ABSENT), _files(row), keep_places=True)
    compare(row, *(_places(ended) for ended in outcomes))


def _places(ended: Ended) -> tuple[str, ...]:
    return tuple(line for line in ended.stderr.splitlines() if line.startswith("E:   at"))


@by_rule(LOADING)
def test_accepts_what_the_original_accepts(ours: Start, original: Start, directory: Path, row: Loading) -> None:
    path = directory / "file.cfg"
    path.write_bytes(_files(row)["file.cfg"].encode(errors="surrogateescape"))
    arguments = ("-xf", path, row.profile)
    compare(row, _negotiated(ours(*arguments)), _negotiated(original(*arguments)))


def _negotiated(receiver: Receiver) -> list[object]:
    """What is accepted of all transfer syntaxes together and of each of them alone, for each class; without roles and
    as SCP, which shows all kinds of roles."""
    alternatives = (SYNTAXES, *((syntax,) for syntax in (*SYNTAXES, *ODD_SYNTAXES)))
    proposals = [(uid, syntaxes) for uid in CLASSES for syntaxes in alternatives]
    proposed = [context(2 * index + 1, uid, *syntaxes) for index, (uid, syntaxes) in enumerate(proposals)]
    return [_answer(receiver, request(*proposed, user=(*USER, *roles))) for roles in ((), AS_SCP)]


def _answer(receiver: Receiver, asked: bytes) -> object:
    with RawAssociation(receiver.port) as association:
        association.send(asked)
        answer = next_answer(association)
    # DCMTK dcmrecv repeats the items of a class for each of its contexts
    return (answer.contexts, set(answer.user)) if isinstance(answer, Accepted) else answer
