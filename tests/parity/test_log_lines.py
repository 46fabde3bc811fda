"""The log lines of each event at each level: scripts match them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from support.data.datasets import instance_of
from support.parity.conversations import (
    ABORTING,
    DATA,
    ECHO,
    ECHO_RQ,
    END,
    INSTANCE,
    OPEN,
    OWN,
    RELEASE,
    SHUT,
    STORE,
    Step,
    command,
    log_of,
    start_log_of,
    store,
)
from support.parity.proposals import abstract_syntax, asking, context, context_of, extended, identity, request, role
from support.parity.rules import Row, by_rule, compare
from support.programs.receivers import Receiver
from support.protocol.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    IDENTIFICATION,
    P_DATA,
    application_context,
    max_length,
    pdu,
    store_rq,
)
from support.uids import CT, EXPLICIT_LE, JPEG, MR, SECONDARY_CAPTURE, ULTRASOUND, VERIFICATION

Lines = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLines(Row):
    """A conversation, or with none the start of the programs. `only` is a pattern of the lines to compare; where a file
    is `taken`, its name is that of a directory. Our own lines that name the sender, beside a line of DCMTK dcmrecv that
    does not, are compared where `own` is true, and left out elsewhere: the rows would all differ in them."""

    kind: ClassVar[str] = "log lines"
    steps: tuple[Step, ...] = ()
    arguments: tuple[str, ...] = ("-v",)
    profile: str = "Default"
    taken: bool = False
    only: str = ""
    own: bool = False


LEVELS = {"-q": ("-q",), "the default level": (), "-v": ("-v",), "-v +v": ("-v", "+v"), "-d": ("-d",)}

EVERYWHERE: dict[str, tuple[Step, ...]] = {
    "a C-ECHO and a release": (*OPEN, *ECHO, *RELEASE),
    "a C-STORE": (*OPEN, *STORE, *RELEASE),
    "overwriting a file": (*OPEN, *STORE, *STORE, *RELEASE),
    "an abort": (*OPEN, ABORTING),
    "a plain disconnect": OPEN,
    "a bad application context": (request(application=[application_context("1.2.3")]), ASSOCIATE_RJ),
    "a disconnect within a data set": (*OPEN, store(last=False)),
}

STARTS = tuple(
    LogLines(
        rule=f"the start, {how}, is logged alike at {level}",
        arguments=(*arguments, "-ta", "60"),
        profile=profile,
    )
    for how, profile in (("with a profile", "Default"), ("without one", ""))
    for level, arguments in LEVELS.items()
    if level != "-v +v"
)

EVENTS = tuple(
    LogLines(rule=f"{event} is logged alike at {level}", steps=steps, arguments=arguments)
    for level, arguments in LEVELS.items()
    for event, steps in EVERYWHERE.items()
)


def _asking(length: int) -> tuple[Step, ...]:
    return request(user=(max_length(length), *IDENTIFICATION)), ASSOCIATE_AC, *RELEASE


ALIKE = (
    LogLines(
        rule="an odd -pdu is warned of at the start",
        arguments=("-v", "-pdu", "4097"),
    ),
    LogLines(rule="a peer without a limit: the longest PDV is said", steps=_asking(0)),
    LogLines(rule="a peer with an odd limit is warned of", steps=_asking(16383)),
    LogLines(rule="a limit that leaves no room for data is warned of", steps=_asking(10)),
    LogLines(
        rule="a peer that says nothing of a limit",
        steps=(request(user=IDENTIFICATION), ASSOCIATE_AC, *RELEASE),
    ),
    LogLines(rule="an abort within a data set", steps=(*OPEN, store(last=False), ABORTING)),
    LogLines(rule="a release within a data set", steps=(*OPEN, store(last=False), *RELEASE)),
    LogLines(rule="--ignore: no file is named", steps=(*OPEN, *STORE, *RELEASE), arguments=("-v", "--ignore")),
    LogLines(
        rule="--ignore: the debug level says that nothing is stored",
        steps=(*OPEN, *STORE, *RELEASE),
        arguments=("-d", "--ignore"),
        only=r"I: |D: received dataset",
    ),
)

_ROLES = request(
    *(context(2 * n + 1, uid, EXPLICIT_LE) for n, uid in enumerate((CT, MR, SECONDARY_CAPTURE, ULTRASOUND))),
    user=(max_length(16384), *IDENTIFICATION, role(CT, 1, 0), role(MR, 1, 1), role(ULTRASOUND, 0, 1)),
)
_MOVED = {**store_rq(CT, INSTANCE, 8), 0x0700: 1, 0x1030: b"MOVER ", 0x1031: 12}

DUMPS = (
    LogLines(
        rule="dump: roles proposed and accepted",
        steps=(_ROLES, ASSOCIATE_AC, *RELEASE),
        arguments=("-v", "+v"),
        profile="Roles",
    ),
    LogLines(
        rule="dump: a context whose role is refused",
        steps=(request(context(1, MR, EXPLICIT_LE), context(3, VERIFICATION)), ASSOCIATE_AC, *RELEASE),
        arguments=("-v", "+v"),
        profile="Roles",
        only="I: ",
    ),
    LogLines(
        rule="dump: extended negotiation, of an unknown class too",
        steps=(
            request(
                context(1, CT, EXPLICIT_LE),
                user=(max_length(0), *IDENTIFICATION, extended(CT, b"\0\x7f\xff"), extended("1.2.3", b"")),
            ),
            ASSOCIATE_AC,
            *RELEASE,
        ),
        arguments=("-v", "+v"),
        profile="Extended",
    ),
    LogLines(
        rule="dump: what has no name is shown in digits, and why a context is refused",
        steps=(
            request(context(1, VERIFICATION), context(3, "1.2.3"), context(5, CT, "1.2.4"), context(7, MR, JPEG)),
            ASSOCIATE_AC,
            *RELEASE,
        ),
        arguments=("-v", "+v"),
        only=r"I:  .*(Context ID| Syntax|Role): |I:       [=1]",
    ),
    *(
        LogLines(
            rule=f"dump: user identity, {name}",
            steps=(asking(identity(kind, response=response, primary="jane")), ASSOCIATE_AC, *RELEASE),
            arguments=("-v", "+v"),
        )
        for kind, name, response in (
            (1, "a user name", False),
            (3, "a Kerberos ticket", True),
            (4, "a SAML assertion", False),
            (5, "a JSON web token", False),
        )
    ),
    LogLines(
        rule="dump: +v has it at the info level at -d too",
        steps=(*OPEN, *RELEASE),
        arguments=("-d", "+v"),
    ),
    LogLines(
        rule="dump: all but the bytes after the 512th of a request",
        steps=(request(*(context(2 * n + 1, CT, EXPLICIT_LE) for n in range(8))), ASSOCIATE_AC, *RELEASE),
        arguments=("-d",),
    ),
    LogLines(
        rule="dump: priority and move originator of a C-STORE",
        steps=(*OPEN, store(elements=_MOVED), P_DATA, *RELEASE),
        arguments=("-d",),
    ),
)

RECEIVED, ACKNOWLEDGED = (
    "I: Association Received 127.0.0.1: RAWSCU -> ANY",
    "I: Association Acknowledged (Max Send PDV: 16372)",
)
BEGUN = (RECEIVED, ACKNOWLEDGED)
STORING = (*BEGUN, "I: Received C-STORE Request (MsgID 8)")
STORED = "I: Stored received object to file: out/CT.1.2.3.4"
OVERWRITING = "W: file already exists, overwriting: out/CT.1.2.3.4"
CANNOT_STORE = "E: cannot store received object: out/CT.1.2.3.4: Is a directory"
SUCCESS = "I: Sending C-STORE Response (Success)"
FAILED = "I: Sending C-STORE Response (Refused: OutOfResources)"
ROLE_REFUSED = (
    "E: ASSOC: SCP/SCU role selection failed, Default role (i.e. SCU) proposed "
    "but only SCP role configured for acceptance"
)
NO_ROLE = "W: setting accepted SCP/SCU role to NONE, i.e. both role fields are 0 in SCP/SCU role selection sub-item"
RELEASED = "I: Received Association Release Request"
ABORTED = "I: Received Association Abort Request"
NO_DATA_SET = "E: Unable to receive dataset on presentation context 0: 0006:020d DIMSE Failed to receive message"
NO_DATA_SET_LOST = (
    "E: Unable to receive dataset on presentation context 0: 0006:0317 Peer aborted Association (or never connected)"
)
BROKEN = "the sender's data set is broken; --bit-preserving stores it unchecked)"
NOT_STORED = "E: Unable to receive C-STORE dataset on presentation context 3"
NOT_REQUESTED = "E: Could not receive association request: "
PEER = "E:   from 127.0.0.1"
WHO = "RAWSCU (127.0.0.1) to ANY"

NAMED = "beside the lines of DCMTK dcmrecv ours has a line that names sender and instance, "

NAMES_PEER = "a line after it names the peer, because ours serves many at once"
NOT_SILENT = "DCMTK dcmrecv aborts and logs it at debug level only; ours says why"
STATUS = "ours answers with a status, and logs which, where DCMTK dcmrecv aborts"


def _unreadable(rule: str, steps: tuple[Step, ...], why: str, peer: str = PEER, **more: Any) -> LogLines:
    theirs = (f"{NOT_REQUESTED}{why}",)
    return LogLines(rule=rule, steps=steps, differs=NAMES_PEER, ours=(*theirs, peer), theirs=theirs, **more)


def _ended(how: str, what: str) -> str:
    return f"I: Association from {WHO}: {how} after N s; {what}"


def _broken(rule: str, steps: tuple[Step, ...], why: str) -> LogLines:
    ours = (*BEGUN, f"E: protocol error by {WHO}: {why}")
    return LogLines(rule=rule, steps=(*OPEN, *steps), differs=NOT_SILENT, ours=ours, theirs=BEGUN)


REQUESTS = (
    _unreadable(
        "a request that does not come within -ta", (b"\1", END), "DUL network read timeout", arguments=("-ta", "1")
    ),
    _unreadable("a request that breaks off", (request()[:50],), "DUL network closed"),
    _unreadable(
        "a PDU of an unknown type for a request", (pdu(0x47, bytes(4)), SHUT, END), "Unrecognized PDU type: 47"
    ),
    LogLines(
        rule="another protocol than DICOM",
        steps=(b"GET / HTTP/1.0\r\n\r\n", SHUT, END),
        differs="one warning names HTTP, PROXY, SSH, HL7 and TLS, and what to do, instead of the type of a PDU",
        own=True,
        ours=(
            "W: connection from 127.0.0.1 refused: HTTP instead of DICOM; this port speaks DICOM only; a health check "
            "connects without sending",
        ),
        theirs=(f"{NOT_REQUESTED}Unrecognized PDU type: 47",),
    ),
    LogLines(
        rule="a connection without a word",
        steps=(b"",),
        differs="health checks and port scans are logged at the debug level, not as an association without titles",
        ours=(),
        theirs=(
            "I: Association Received 127.0.0.1:  -> ",
            "I: Refusing Association (bad application context)",
        ),
    ),
    _unreadable(
        "a context without transfer syntax in a request",
        (request(context_of(1, abstract_syntax(CT))), SHUT, END),
        "DUL Presentation Context translation failure",
        f"E:   from {WHO}: presentation context 1 has no transfer syntax",
    ),
    _unreadable(
        "an unknown protocol version",
        (request(version=2), ASSOCIATE_RJ),
        "DUL Unsupported peer protocol 0002; expected 0001 in parseAssociate",
        f"E:   from {WHO}",
    ),
    LogLines(
        rule="nothing acceptable",
        steps=(request(context(1, MR, JPEG)), ASSOCIATE_RJ),
        differs="ours adds the lines of configuration that would accept what was refused, and a warning at the default "
        "level",
        own=True,
        ours=(
            RECEIVED,
            f"I: 1 presentation contexts of {WHO} refused; a profile (-xf) that accepts them:",
            "I:   [[TransferSyntaxes]]",
            "I:   [Refused1]",
            "I:   TransferSyntax1 = JPEGBaseline",
            "I:   [[PresentationContexts]]",
            "I:   [Refused]",
            "I:   PresentationContext1 = MRImageStorage\\Refused1",
            "I:   [[Profiles]]",
            "I:   [Refused]",
            "I:   PresentationContexts = Refused",
            "I: or, in the settings file (--settings):",
            "I:   [[contexts]]",
            'I:   abstract_syntaxes = ["MRImageStorage"]',
            'I:   transfer_syntaxes = ["JPEGBaseline"]',
            "I: No Acceptable Presentation Contexts",
            "I: Refusing Association (no acceptable presentation contexts)",
            f"W: Association from {WHO}: rejected (1/1/1), none of its presentation contexts is accepted: "
            "MRImageStorage (JPEGBaseline); see -xf, -pm or [[contexts]] in --settings",
        ),
        theirs=(
            RECEIVED,
            "I: No Acceptable Presentation Contexts",
            "I: Refusing Association (no acceptable presentation contexts)",
        ),
    ),
    LogLines(
        rule="only the other role is allowed",
        steps=(request(context(1, MR, EXPLICIT_LE)), ASSOCIATE_RJ),
        arguments=(),
        profile="Roles",
        differs="a line after it names the SOP class and the sender",
        ours=(ROLE_REFUSED, f"E:   for SOP class {MR}, from {WHO}"),
        theirs=(ROLE_REFUSED,),
    ),
    LogLines(
        rule="none of the roles that are asked for is allowed",
        steps=(
            request(context(1, CT, EXPLICIT_LE), user=(max_length(0), *IDENTIFICATION, role(CT, 0, 1))),
            ASSOCIATE_AC,
            *RELEASE,
        ),
        arguments=(),
        profile="Roles",
        differs="a line after it names the SOP class and the sender",
        ours=(NO_ROLE, f"W:   for SOP class {CT}, from {WHO}"),
        theirs=(NO_ROLE,),
    ),
    LogLines(
        rule="control characters in an AE title",
        steps=(request(calling=b"A\nI: B\x1b[2J"), ASSOCIATE_AC, *RELEASE),
        differs="control characters are escaped, so that no peer can forge a line or drive a terminal",
        ours=("I: Association Received 127.0.0.1: A\\nI: B\\x1b[2J -> ANY", ACKNOWLEDGED, RELEASED),
        theirs=("I: Association Received 127.0.0.1: A", "I: I: B\x1b[2J -> ANY", ACKNOWLEDGED, RELEASED),
    ),
    LogLines(
        rule="dump: a password",
        steps=(asking(identity(2, response=True, primary="jane", secondary="secret")), ASSOCIATE_AC, *RELEASE),
        arguments=("-v", "+v"),
        only="I:   (Auth|User|Pass|Pos)",
        differs="a password is never logged",
        ours=(
            "I:   Authentication mode 2: Username/Password",
            "I:   Username: [jane]",
            "I:   Password: [not dumped]",
            "I:   Positive Response requested: Yes",
        )
        * 2,
        theirs=(
            "I:   Authentication mode 2: Username/Password",
            "I:   Username: [jane]",
            "I:   Password: [secret]",
            "I:   Positive Response requested: Yes",
        )
        * 2,
    ),
    LogLines(
        rule="dump: the bytes of a user identity",
        steps=(asking(identity(2, response=True, primary="jane", secondary="secret")), ASSOCIATE_AC, *RELEASE),
        arguments=("-d",),
        only="D:   52",
        differs="the bytes of a user identity are hidden, its type and length are not",
        ours=("D:   52  41  57  53  43  55  58  00  00  10  02  **  **  **  **  **",),
        theirs=("D:   52  41  57  53  43  55  58  00  00  10  02  01  00  04  6a  61",),
    ),
)

_TRUNCATED = DATA[:-10]
_NO_DATA_SET_TYPE = {**store_rq(CT, INSTANCE, 8), 0x0800: 0x0101}

FAULTS = (
    LogLines(
        rule="a data set that is cut off",
        steps=(*OPEN, store(_TRUNCATED), P_DATA),
        differs=f"{STATUS}; the fault is described in our own words",
        ours=(
            *STORING,
            f"E: C-STORE 1.2.3.4 from {WHO}: refused with status C000: (7FE0,0010) at 82: Value runs past the end "
            f"(its length is 512, but 502 bytes follow; {BROKEN}",
            NO_DATA_SET,
            NOT_STORED,
            "I: Sending C-STORE Response (Error: CannotUnderstand)",
            ABORTED,
            _ended("connection closed by the peer", f"0 stored, 1 refused, 0 discarded, {len(_TRUNCATED)} bytes"),
        ),
        own=True,
        theirs=(
            *STORING,
            "E: DcmElement: PixelData (7fe0,0010) larger (512) than remaining bytes (502) in file, premature end of "
            "stream",
            "W: DIMSE Warning: (RAWSCU,ANY): DIMSE receiveDataSetInMemory: dset->read() Failed (Invalid stream)",
            NO_DATA_SET,
            NOT_STORED,
        ),
    ),
    LogLines(
        rule="an empty data set (C000)",
        steps=(*OPEN, store(b""), P_DATA, *RELEASE),
        differs="ours says what is wrong",
        ours=(
            *STORING,
            f"E: C-STORE 1.2.3.4 from {WHO}: refused with status C000: There is no data set ({BROKEN}",
            "I: Sending C-STORE Response (Error: CannotUnderstand)",
            RELEASED,
            _ended("released", "0 stored, 1 refused, 0 discarded, 0 bytes"),
        ),
        own=True,
        theirs=(*STORING, "I: Sending C-STORE Response (Error: CannotUnderstand)", RELEASED),
    ),
    LogLines(
        rule="a C-STORE that announces no data set",
        steps=(*OPEN, command(_NO_DATA_SET_TYPE, 3), P_DATA),
        differs=STATUS,
        ours=(
            *BEGUN,
            f"E: C-STORE 1.2.3.4 from {WHO}: refused with status 0212: C-STORE without a data set",
            "I: Sending C-STORE Response (Failure: MistypedArgument)",
            ABORTED,
            _ended("connection closed by the peer", "0 stored, 1 refused, 0 discarded, 0 bytes"),
        ),
        own=True,
        theirs=(*BEGUN, "W: DIMSE Warning: (RAWSCU,ANY): C-Store RQ: DataSetType == NULL"),
    ),
    LogLines(
        rule="a command that a storage receiver does not have",
        steps=(*OPEN, command({**ECHO_RQ, 0x0100: 0x0140}), P_DATA),
        differs=STATUS,
        ours=(
            *BEGUN,
            "E: cannot handle this kind of DIMSE command (0x0140), we are a Storage SCP only",
            "I: Sending N-CREATE Response (Failure: UnrecognizedOperation)",
            ABORTED,
        ),
        theirs=(*BEGUN, "E: cannot handle this kind of DIMSE command (0x0140), we are a Storage SCP only"),
    ),
    LogLines(
        rule="a file that cannot be created (A700)",
        steps=(*OPEN, *STORE, *RELEASE),
        taken=True,
        differs="a line after it names the sender, the instance and the cause to look at",
        own=True,
        ours=(
            *STORING,
            CANNOT_STORE,
            f"E: C-STORE 1.2.3.4 from {WHO}: refused with status A700: Cannot store file: Is a directory "
            "(file out/CT.1.2.3.4; a directory has this name)",
            FAILED,
            RELEASED,
            _ended("released", f"0 stored, 1 refused, 0 discarded, {len(DATA)} bytes"),
        ),
        theirs=(*STORING, CANNOT_STORE, FAILED, RELEASED),
    ),
    LogLines(
        rule="an instance that is another one than its command says",
        steps=(*OPEN, store(instance_of(CT, "1.2.3.5")), P_DATA, *RELEASE),
        arguments=(),
        differs="DCMTK dcmrecv does not compare them; ours stores and warns",
        ours=(
            "W: RAWSCU@127.0.0.1, SOP instance 1.2.3.4: SOP Instance UID in data set differs from command: 1.2.3.5 "
            "(out/CT.1.2.3.4)",
        ),
        theirs=(),
    ),
    LogLines(
        rule="+B: overwriting a file",
        steps=(*OPEN, *STORE, *STORE, *RELEASE),
        arguments=("-v", "+B"),
        differs="ours gives the file its name when the data set is complete, so the warning comes then, as without +B",
        ours=(*STORING, STORED, SUCCESS, STORING[2], OVERWRITING, STORED, SUCCESS, RELEASED),
        theirs=(*STORING, STORED, SUCCESS, OVERWRITING, STORING[2], STORED, SUCCESS, RELEASED),
    ),
    _broken(
        "a command without Command Field",
        (command({0x0002: VERIFICATION, 0x0110: 7, 0x0800: 0x0101}), ABORT),
        "command set without Command Field",
    ),
    _broken("a PDU of an unknown type within an association", (pdu(0x47, bytes(4)), ABORT), "unrecognized PDU type 47"),
    LogLines(
        rule="a peer that is idle longer than -td",
        steps=(*OPEN, ABORT),
        arguments=("-v", "-td", "1"),
        differs=NOT_SILENT,
        ours=(
            *BEGUN,
            f"W: aborting association with {WHO}: nothing received for 1 s (--dimse-timeout)",
        ),
        theirs=BEGUN,
    ),
)

NAMING = (
    LogLines(
        rule="whose instance it is, and what an association brought",
        steps=(*OPEN, *STORE, *RELEASE),
        differs=f"{NAMED}and at the end of each association one with what it brought",
        own=True,
        ours=(
            *STORING,
            STORED,
            f"I: C-STORE 1.2.3.4 from {WHO}: stored in out/CT.1.2.3.4, {len(DATA)} bytes",
            SUCCESS,
            RELEASED,
            _ended("released", f"1 stored, 0 refused, 0 discarded, {len(DATA)} bytes"),
        ),
        theirs=(*STORING, STORED, SUCCESS, RELEASED),
    ),
    LogLines(
        rule="who overwrites a file",
        steps=(*OPEN, *STORE, *STORE, *RELEASE),
        arguments=(),
        differs="a line after it names sender and instance",
        own=True,
        ours=(OVERWRITING, "W:   by RAWSCU@127.0.0.1, SOP instance 1.2.3.4"),
        theirs=(OVERWRITING,),
    ),
    LogLines(
        rule="whose instance a disconnect cuts off",
        steps=(*OPEN, store(last=False)),
        arguments=(),
        differs=f"{NAMED}and says how much of it came",
        own=True,
        ours=(
            NO_DATA_SET_LOST,
            NOT_STORED,
            f"E: C-STORE 1.2.3.4 from {WHO}: not received, connection closed by the peer within a message when "
            f"{len(DATA)} bytes had arrived",
        ),
        theirs=(NO_DATA_SET_LOST, NOT_STORED),
    ),
    LogLines(
        rule="who has a bad application context",
        steps=EVERYWHERE["a bad application context"],
        arguments=(),
        differs="a rejection is a warning at the default level",
        own=True,
        ours=(f"W: Association from {WHO}: rejected (1/1/2), application context 1.2.3 is not that of DICOM",),
        theirs=(),
    ),
)

ROWS = (*STARTS, *EVENTS, *ALIKE, *DUMPS, *REQUESTS, *FAULTS, *NAMING)


@by_rule(ROWS)
def test_log_lines(row: LogLines, profiles: Path, both: Callable[..., Any]) -> None:
    profile = ("-xf", profiles, row.profile) if row.profile else ()
    ours, original = both(*profile, "-dhl", *row.arguments)
    compare(row, _lines(ours, row), _lines(original, row))


def _lines(receiver: Receiver, row: LogLines) -> Lines:
    if not row.steps:
        lines = start_log_of(receiver)
    else:
        _prepare(receiver.output, taken=row.taken)
        lines = log_of(receiver, row.steps)
    own = [re.sub(r" after \d+\.\d s; ", " after N s; ", line) for line in lines]
    return tuple(line for line in own if re.match(row.only, line) and (row.own or not OWN.search(line)))


def _prepare(output: Path, *, taken: bool) -> None:
    path = output / f"CT.{INSTANCE}"
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    if taken:
        path.mkdir()
