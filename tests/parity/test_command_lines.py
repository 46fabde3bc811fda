"""Command lines that end the program: exit code, streams and texts, compared with DCMTK dcmrecv.

A valid command line ends at a missing output directory, exit code 45, before anything is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from support.parity.both_programs import run_both
from support.parity.rules import Row, by_rule, compare
from support.programs.original import Ended

ABSENT = ("-od", "absent")
IN_ORDER = "F: cannot specify output directory: Directory does not exist\n"
VERIFICATION_ONLY = "W: no configuration file specified, SCP will only support the Verification SOP Class\n"
HEADER = "\ndcmrecv: Simple DICOM storage SCP (receiver)\n"
CONFLICT = Ended(1, "", f"{HEADER}error: --bit-preserving not allowed with --series-date-subdir\n")
STARTED = Ended(45, "", VERIFICATION_ONLY + IN_ORDER)
COMBINES = "Ours stores exactly what was received and finds the Series Date in it all the same, so the two combine."

FILES = {"empty": "", "version": "--version", "words": "1 2", "text": "nothing of the kind"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLine(Row):
    """Arguments; `file` is the content of a file of that name."""

    kind: ClassVar[str] = "command line"
    arguments: tuple[str, ...]
    file: str | None = None


def _line(rule: str, *arguments: str, file: str | None = None) -> CommandLine:
    return CommandLine(rule=rule, arguments=arguments, file=file)


def _combines(rule: str, *arguments: str, ours: Ended = STARTED, theirs: Ended = CONFLICT) -> CommandLine:
    return CommandLine(rule=rule, arguments=(*arguments, *ABSENT, "1"), differs=COMBINES, ours=ours, theirs=theirs)


def _shown(value: str, option: str = "--filename-extension") -> Ended:
    calling = f"I: calling 'dcmrecv' with 4 arguments: '--arguments' '{option}' {value} '0' \nI: \n"
    return Ended(1, "", f"{calling}{HEADER}error: Invalid parameter value 0 (underflow)\n")


ROWS: tuple[Row, ...] = (
    # options that end the program, and what they ignore
    _line("no arguments at all ask for the help"),
    _line("a command file without tokens asks for the help", "@empty"),
    _line("-h shows the help", "-h"),
    _line("--help beats --version", "--version", "--help"),
    _line("--help needs no port and no more than one", "--help", "1", "2"),
    _line("--version ignores values that are out of range", "--version", "-pdu", "1", "-ll", "foo"),
    _line("--version ignores conflicts of log options", "--version", "-v", "-ll", "info"),
    _line("--version ignores --arguments", "--version", "--arguments"),
    _line("--version ignores -q", "-q", "--version"),
    _line("--version ignores dependences", "--version", "+v"),
    _line("--version comes out of a command file", "@version"),
    _line("an unknown option beats --help", "-h", "--foo"),
    _line("a missing value beats --version", "--version", "-ta"),
    # how options are recognised
    _line("an unknown long option is refused", "--foo", "1"),
    _line("an unknown short option is refused", "-V", "1"),
    _line("an unknown option with a plus sign is refused", "+x", "1"),
    _line("names are not abbreviated", "--verb", "1"),
    _line("names are case sensitive", "--Verbose", "1"),
    _line("values do not follow an equals sign", "--acse-timeout=5", "1"),
    _line("short options are not bundled", "-vd", "1"),
    _line("two hyphens are an unknown option", "--", "1"),
    _line("a hyphen alone is a parameter", "-", "1"),
    _line("a plus sign alone is a parameter", "+"),
    _line("a hyphen and digits are a parameter", "-12", "1"),
    _line("a plus sign and digits are a port", "+12001", *ABSENT),
    _line("an empty argument is a parameter", "", "1"),
    _line("options may follow the port", "1", *ABSENT, "-pdu", "4095"),
    _line("options and parameters are counted before values are looked at", "1", "2", "--foo"),
    _line("the first unknown option is named, before a missing value", "--foo", "-ta"),
    # values
    _line("an option swallows what looks like an option", "-fe", "--verbose", *ABSENT, "1"),
    _line("an option with two values swallows two tokens", "-xf", "absent", "-v", *ABSENT, "1"),
    _line("an option that swallows the port leaves none", "-xf", "file", "1"),
    _line("a missing value is told with the long name", "-ta"),
    _line("the second of two values may be missing", "1", "-xf", "file"),
    _line("an option that swallows the last token leaves no port", "-fe", "-v"),
    _line("an empty value is a value", "-fe", "", *ABSENT, "1"),
    _line("a missing value is told with -q, too", "-q", "-ll"),
    _line(
        "the last of repeated options counts, earlier values are not looked at", "-ta", "x", "-ta", "3", *ABSENT, "1"
    ),
    _line("the last of repeated options is the one that is refused", "-ta", "3", "-ta", "x", *ABSENT, "1"),
    # parameters
    _line("a port is needed", "-v"),
    _line("a missing port is told with -q, too", "-q"),
    _line("only one port is taken", "1", "2"),
    _line("a second port is told with -q, too", "-q", "1", "2"),
    _line("port 0 is too small", "0"),
    _line("port 65535 is the largest", "65535", *ABSENT),
    _line("port 65536 is too large", "65536"),
    _line("port -1 is too large", "-1"),
    _line("a port beyond 64 bits is too large", "18446744073709551616"),
    _line("a port without digits is no number", "x"),
    _line("an empty port is no number", ""),
    _line("a hexadecimal port is 0", "0x50"),
    _line("a port ends at what is no digit", "11112x", *ABSENT),
    _line("a port may have blanks and zeros before it", " \t0080", *ABSENT),
    _line("a lone @ is a parameter", "@"),
    _line("the port is checked after all options", "0", "-ta", "0"),
    # numbers
    _line("--acse-timeout 0 is too small", "-ta", "0", "1"),
    _line("--acse-timeout 1 is the smallest", "-ta", "1", *ABSENT, "1"),
    _line("--acse-timeout may be beyond 32 bits", "-ta", "99999999999999999999", *ABSENT, "1"),
    _line("--dimse-timeout 0 is too small", "-td", "0", "1"),
    _line("--dimse-timeout 1 is the smallest", "-td", "1", *ABSENT, "1"),
    _line("--max-pdu 4095 is too small", "-pdu", "4095", "1"),
    _line("--max-pdu 4096 is the smallest", "-pdu", "4096", *ABSENT, "1"),
    _line("--max-pdu 131072 is the largest", "-pdu", "131072", *ABSENT, "1"),
    _line("--max-pdu 131073 is too large", "-pdu", "131073", "1"),
    _line("an odd --max-pdu is in order", "-pdu", "4097", *ABSENT, "1"),
    _line("a number may have a plus sign, blanks before it and rubbish after it", "-pdu", " +16384.5", *ABSENT, "1"),
    _line("an exponent is no part of a number", "-pdu", "1e4", "1"),
    _line("a hexadecimal number is 0", "-pdu", "0x4000", "1"),
    _line("letters are no number", "-pdu", "x", "1"),
    _line("a negative number is no number", "-td", "-5", "1"),
    _line("blanks do not make a negative number one", "-ta", " -5", "1"),
    _line("an empty number is told without parentheses", "-ta", "", "1"),
    _line("values are checked in the order of the help", "-pdu", "1", "-td", "0", "-ta", "0", "0"),
    # log levels
    _line("no -v, -d or -q: warnings and above are shown", *ABSENT, "1"),
    _line("-v shows what is done", "-v", *ABSENT, "1"),
    _line("-d shows no less than -v, debug messages aside", "-d", *ABSENT, "1"),
    _line("-q shows what is fatal", "-q", *ABSENT, "1"),
    _line("the rightmost of -v, -d and -q counts: -v", "-d", "-q", "-v", *ABSENT, "1"),
    _line("the rightmost of -v, -d and -q counts: -q", "-d", "-v", "-q", *ABSENT, "1"),
    _line("-ll fatal shows what is fatal", "-ll", "fatal", *ABSENT, "1"),
    _line("-ll error is a level", "-ll", "error", *ABSENT, "1"),
    _line("-ll warn is a level", "-ll", "warn", *ABSENT, "1"),
    _line("-ll info is a level", "-ll", "info", *ABSENT, "1"),
    _line("-ll debug is a level", "-ll", "debug", *ABSENT, "1"),
    _line("-ll trace is a level", "-ll", "trace", *ABSENT, "1"),
    _line("-ll all is a level", "-ll", "all", *ABSENT, "1"),
    _line("-ll off silences fatal errors, too", "-ll", "off", *ABSENT, "1"),
    _line("levels are not case sensitive", "-ll", "ErRoR", *ABSENT, "1"),
    _line("-ll warning is no level", "-ll", "warning", "1"),
    _line("-ll with an empty value is no level", "-ll", "", "1"),
    _line("-ll is not allowed with -v", "-ll", "info", "-v", "1"),
    _line("-ll is not allowed with -d", "-ll", "info", "-d", "1"),
    _line("-ll is not allowed with -q, which hides only later errors", "-ll", "info", "-q", "1"),
    _line("a conflict of -ll beats its value", "-ll", "foo", "-v", "1"),
    _line("+v needs verbose mode", "+v", "1"),
    _line("+v needs more than -ll warn", "+v", "-ll", "warn", "1"),
    _line("+v needs more than -q", "+v", "-q", "1"),
    _line("+v is allowed with -v", "+v", "-v", *ABSENT, "1"),
    _line("+v is allowed with -d", "+v", "-d", *ABSENT, "1"),
    _line("+v is allowed with -ll info", "+v", "-ll", "info", *ABSENT, "1"),
    _line("+v is allowed with -ll trace", "+v", "-ll", "trace", *ABSENT, "1"),
    _line("+v is judged by the rightmost of -v and -q", "+v", "-q", "-v", *ABSENT, "1"),
    _line("+v is judged before numbers", "+v", "-ta", "0", "1"),
    _line("-ll is judged before numbers", "-ta", "0", "-ll", "foo", "0"),
    # log configurations
    _line("-lc is not allowed with -v", "-lc", "text", "-v", "1"),
    _line("-lc is not allowed with -d", "-lc", "text", "-d", "1"),
    _line("-lc is not allowed with -q", "-lc", "text", "-q", "1"),
    _line("-lc is not allowed with -ll", "-lc", "text", "-ll", "info", "1"),
    _line("a wrong level beats the conflict of -lc with it", "-lc", "text", "-ll", "foo", "1"),
    _line("a log configuration is there", "-lc", "absent", "1"),
    _line("a log configuration is no directory", "-lc", ".", "1"),
    _line("a log configuration is not empty", "-lc", "empty", "1"),
    _line("a log configuration has settings", "-lc", "text", "1"),
    _line("a log configuration has more than comments", "-lc", "file", "1", file="# a = b\n"),
    _line("a log configuration has settings of log4cplus", "-lc", "file", "1", file="a = b\n"),
    _line("a log configuration sets up the root logger", "-lc", "file", "1", file="log4cplus.logger.a = INFO\n"),
    _line("an empty name of a log configuration is one that is absent", "-lc", "", "1"),
    # lines that -q hides
    _line("-q hides values out of range", "-q", "-ta", "0", "1"),
    _line("-q hides a wrong port", "-q", "0"),
    _line("-q hides that +v needs verbose mode", "-q", "+v", "1"),
    _line("-q hides nothing if -v is right of it", "-q", "-v", "-ta", "0", "1"),
    _line("-q hides errors if it is right of -v", "-v", "-q", "-ta", "0", "1"),
    _line("-q does not hide unknown options", "-q", "--foo", "1"),
    _line("-q does not hide a command file that is absent", "-q", "@absent"),
    _line("-ll fatal hides errors as -q does", "-ll", "fatal", "-ta", "0", "1"),
    _line("-ll off hides errors as -q does", "-ll", "off", "0"),
    _line("-ll error hides no errors", "-ll", "error", "-ta", "0", "1"),
    # --arguments
    _line("--arguments is shown before all else, whatever the level", "--arguments", "-q", *ABSENT, "1"),
    _line("--arguments is shown before an error of a value, which -q hides", "--arguments", "-q", "-ta", "0", "1"),
    _line("--arguments shows long names and values as they are", "-v", "-ta", " 7", *ABSENT, "1", "--arguments"),
    _line("--arguments counts empty arguments and does not show them", "--arguments", "-fe", "", *ABSENT, "1"),
    _line("--arguments is not shown for a wrong level", "--arguments", "-ll", "foo", "1"),
    _line("--arguments is not shown for too many parameters", "--arguments", "1", "2"),
    _line("--arguments shows lines of a value as lines", "--arguments", "-fe", "a\nb", *ABSENT, "1"),
    # command files
    _line("a command file that is absent is named", "@absent"),
    _line("a command file is read before anything is judged", "--foo", "@absent"),
    _line("a command file may stand where a value is expected", "-ta", "@words", *ABSENT),
    _line("a command file that is absent may stand there, too", "-fe", "@absent", "1"),
    _line("a command file may hold too many parameters", "@words"),
    _line(
        "a command file is cut at blanks, tabs and line ends", *("--arguments", "@file", "0"), file="-fe a\t-fe\r\nb\n"
    ),
    _line("a command file is not cut at other white space", *("--arguments", "@file", "0"), file="-fe \va\fb"),
    _line("quotes of both kinds group", *("--arguments", "@file", "0"), file="-fe \"a b\" -fe 'c d'"),
    _line("in quotes the other kind is text", *("--arguments", "@file", "0"), file="-fe \"it's\" -fe '\"'"),
    _line("a closing quote ends a token, an opening one does not", "--arguments", "@file", "0", file="-fe a'b c'-fe d"),
    _line("line ends may be quoted", *("--arguments", "@file", "0"), file='-fe "a\nb"'),
    _line("two quotes are an empty token", *("--arguments", "@file", "0"), file="-fe '' -fe \"\""),
    _line("a quote that is not closed ends with the file", *("--arguments", "@file", "0"), file='-fe "b c'),
    _line("a quote at the end of the file makes no token", *("--arguments", "@file", "0"), file='-dhl "'),
    _line("backslashes are text", *("--arguments", "@file", "0"), file="-fe \\'a -fe b'"),
    _line("command files have no comments", *("--arguments", "@file", "0"), file="-fe # -dhl"),
    _line("command files do not nest", *("--arguments", "@file", "0"), file="-fe @words"),
    CommandLine(
        rule="bytes that are not UTF-8 are shown",
        arguments=("--arguments", "@file", "0"),
        file="-fe \udcff",
        differs="Ours escapes them, so that its output is text.",
        ours=_shown("'\\udcff'"),
        theirs=_shown("'\udcff'"),
    ),
    # every option by both its names; other tests compare its effect
    _line("--quiet is known", "--quiet", *ABSENT, "1"),
    _line("--verbose is known", "--verbose", *ABSENT, "1"),
    _line("--debug is known", "--debug", *ABSENT, "1"),
    _line("--log-level is known", "--log-level", "off", *ABSENT, "1"),
    _line("--log-config is known", "--log-config", "absent", *ABSENT, "1"),
    _line("--verbose-pc is known", "--verbose-pc", *ABSENT, "1"),
    _line("--config-file is known", "--config-file", "absent", "x", *ABSENT, "1"),
    _line("the title may be anything: -aet", "-aet", "\x1b", *ABSENT, "1"),
    _line("the title may be empty: --aetitle", "--aetitle", "", *ABSENT, "1"),
    _line("-aet and -uca exclude each other without an error", "-aet", "A", "-uca", *ABSENT, "1"),
    _line("--use-called-aetitle is known", "--use-called-aetitle", *ABSENT, "1"),
    _line("--acse-timeout is known", "--acse-timeout", "5", *ABSENT, "1"),
    _line("--dimse-timeout is known", "--dimse-timeout", "5", *ABSENT, "1"),
    _line("--max-pdu is known", "--max-pdu", "5000", *ABSENT, "1"),
    _line("-dhl is known", "-dhl", *ABSENT, "1"),
    _line("--disable-host-lookup is known", "--disable-host-lookup", *ABSENT, "1"),
    _line("--output-directory is known", "--output-directory", "absent", "1"),
    _line("-s is known", "-s", *ABSENT, "1"),
    _line("--no-subdir is known", "--no-subdir", *ABSENT, "1"),
    _line("+ssd is known", "+ssd", *ABSENT, "1"),
    _line("--series-date-subdir is known", "--series-date-subdir", *ABSENT, "1"),
    _line("+fd is known", "+fd", *ABSENT, "1"),
    _line("--default-filenames is known", "--default-filenames", *ABSENT, "1"),
    _line("+fu is known", "+fu", *ABSENT, "1"),
    _line("--unique-filenames is known", "--unique-filenames", *ABSENT, "1"),
    _line("+fsu is known", "+fsu", *ABSENT, "1"),
    _line("--short-unique-names is known", "--short-unique-names", *ABSENT, "1"),
    _line("+fst is known", "+fst", *ABSENT, "1"),
    _line("--system-time-names is known", "--system-time-names", *ABSENT, "1"),
    _line("--filename-extension is known", "--filename-extension", ".dcm", *ABSENT, "1"),
    _line("-B is known", "-B", *ABSENT, "1"),
    _line("--normal is known", "--normal", *ABSENT, "1"),
    _line("+B is known", "+B", *ABSENT, "1"),
    _line("--bit-preserving is known", "--bit-preserving", *ABSENT, "1"),
    _line("--ignore is known", "--ignore", *ABSENT, "1"),
    _line("of all schemes of names the rightmost counts", "+fd", "+fu", "+fsu", "+fst", *ABSENT, "1"),
    # TLS
    _line("-rc needs +tls", "-rc", *ABSENT, "1"),
    _line("-vc needs +tls", "-vc", *ABSENT, "1"),
    _line("-ic needs +tls", "-ic", *ABSENT, "1"),
    _line("-pem needs +tls", "-pem", *ABSENT, "1"),
    _line("-der needs +tls", "-der", *ABSENT, "1"),
    _line("+ps needs +tls", "+ps", *ABSENT, "1"),
    _line("+pw needs +tls", "+pw", "x", *ABSENT, "1"),
    _line("-pw needs +tls", "-pw", *ABSENT, "1"),
    _line("+cf needs +tls", "+cf", "x", *ABSENT, "1"),
    _line("+cd needs +tls", "+cd", "x", *ABSENT, "1"),
    _line("+crl needs +tls", "+crl", "x", *ABSENT, "1"),
    _line("+crv needs +tls", "+crv", *ABSENT, "1"),
    _line("+cra needs +tls", "+cra", *ABSENT, "1"),
    _line("+py needs +tls", "+py", *ABSENT, "1"),
    _line("+px needs +tls", "+px", *ABSENT, "1"),
    _line("+pz needs +tls", "+pz", *ABSENT, "1"),
    _line("+pn needs +tls", "+pn", *ABSENT, "1"),
    _line("+cs needs +tls", "+cs", "x", *ABSENT, "1"),
    _line("+dp needs +tls", "+dp", "x", *ABSENT, "1"),
    _line("+rs needs +tls", "+rs", "x", *ABSENT, "1"),
    _line("+ws needs +tls", "+ws", *ABSENT, "1"),
    _line("+wf needs +tls", "+wf", "x", *ABSENT, "1"),
    _line("+cf needs +tls, and -tls is not enough", "-tls", "+cf", "x", *ABSENT, "1"),
    _line("-tls is known", "-tls", *ABSENT, "1"),
    _line("-tls takes +tls back", "+tls", "k", "c", "-tls", *ABSENT, "1"),
    _line("+tls has two values", "+tls", "k"),
    _line("keys are read after the output directory is checked", "+tls", "k", "c", *ABSENT, "1"),
    _line("ciphersuites are checked after the output directory", "+tls", "k", "c", "+cs", "x", *ABSENT, "1"),
    _line("+cs is not allowed with +pz", "+tls", "k", "c", "+pz", "+cs", "x", *ABSENT, "1"),
    _line("+ws needs +rs", "+tls", "k", "c", "+ws", *ABSENT, "1"),
    _line("+wf needs +rs", "+tls", "k", "c", "+wf", "x", *ABSENT, "1"),
    _line("a wrong port is told before what needs +tls", "-vc", "0"),
    _line("-q hides that -vc needs +tls", "-q", "-vc", *ABSENT, "1"),
    _line("+cc shows ciphersuites without a port", "+cc"),
    _line("+cc ignores numbers of parameters", "+cc", "1", "2"),
    _line("+cc is less than an unknown option", "+cc", "--foo"),
    _line("--version beats +cc", "+cc", "--version"),
    _line("+pb of older versions is gone", "+pb", "1"),
    CommandLine(
        rule="+pa needs +tls",
        arguments=("+pa", *ABSENT, "1"),
        differs="Ours uses the current name of the option, not an old one.",
        ours=Ended(1, "", f"{HEADER}error: --profile-aes only allowed with --enable-tls\n"),
        theirs=Ended(1, "", f"{HEADER}error: --profile-basic only allowed with --enable-tls\n"),
    ),
    CommandLine(
        rule="--arguments shows passwords",
        arguments=("--arguments", "+pw", "secret", "0"),
        differs="Ours masks them, because more people read logs than start programs.",
        ours=_shown("'***'", "--use-passwd"),
        theirs=_shown("'secret'", "--use-passwd"),
    ),
    # conflicts of storage options
    _combines("+B and +ssd", "+B", "+ssd"),
    _combines("+B and +ssd in the other order", "+ssd", "+B"),
    _combines("+B, taken back by --ignore, and +ssd", "+B", "--ignore", "+ssd"),
    _combines("+B after --ignore, and +ssd", "--ignore", "+B", "+ssd"),
    _combines("+B and +ssd with -q", "-q", "+B", "+ssd", ours=Ended(45, "", IN_ORDER), theirs=Ended(1, "", "")),
    _line("+B, taken back by -B, and +ssd", "+B", "-B", "+ssd", *ABSENT, "1"),
    _line("+B and +ssd, taken back by -s", "+ssd", "-s", "+B", *ABSENT, "1"),
    _line("--ignore and +ssd", "--ignore", "+ssd", *ABSENT, "1"),
)


@by_rule(ROWS)
def test_ends_as_the_original(program: Path, directory: Path, row: CommandLine) -> None:
    files = FILES if row.file is None else {**FILES, "file": row.file}
    outcomes = run_both(program, directory, row.arguments, files)
    compare(row, *(_without_pages(ended) for ended in outcomes))


def _without_pages(ended: Ended) -> Ended:
    """The output with pages that test_help_texts.py compares replaced by their names."""
    pages = {
        "usage: dcmrecv [options] port\n": "help",
        "Supported TLS ciphersuites are:\n  TLS_": "ciphersuites",
        "\nHost type: ": "version",
    }
    shown = next((name for sign, name in pages.items() if sign in ended.stdout), ended.stdout)
    return ended._replace(stdout=shown)
