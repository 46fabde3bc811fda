"""Settings files: what they may say, what errors say, and that what is dumped reads back the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core import Role, SupportedContext, cli
from dcmrecv_core.api.errors import CommandLineError, ConfigurationError, PluginError
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.config import settings_file
from dcmrecv_core.config.commandline import CommandLine, parse
from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.config.options.option import LARGEST_INTEGER
from dcmrecv_core.config.options.table import OPTIONS, PORT
from dcmrecv_core.config.settings_dump import dump, effective
from dcmrecv_core.config.settings_file import read
from dcmrecv_core.config.settings_keys import CONTEXTS, KEYS
from dcmrecv_core.hooks.plugins import Negotiated, Plugins
from dcmrecv_core.settings.settings import Settings
from support.plugins import ASSOCIATION
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, MR, VERIFICATION

SITE = """\
from pathlib import Path
from dcmrecv_core import hookimpl

def fussy(text):
    if text == "bug":
        raise RuntimeError(text)
    if text == "no":
        raise ValueError("no is no answer to " + text)
    return text.upper()

@hookimpl
def add_options(options):
    options.add("--root", value="directory", type=Path, default=Path("/data"))
    options.add("--days", value="number", type=int, default=7)
    options.add("--share", value="number", type=float, default=0.5)
    options.add("--word", value="word", type=fussy)
    options.add("--dry-run")
    options.add("--password", value="text", type=fussy, default="LETMEIN", secret=True)
"""
PROFILE = """\
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = 1.2.3.4
[[PresentationContexts]]
[All]
PresentationContext1 = VerificationSOPClass\\Plain
PresentationContext2 = CTImageStorage\\Plain
PresentationContext3 = 1.2.826.0.1.3680043.9.9999.1\\Plain
[[SCPSCURoleSelection]]
[Roles]
Role1 = CTImageStorage\\BOTH
[[ExtendedNegotiation]]
[Extended]
ExtendedNegotiation1 = CTImageStorage\\0102ff
[[Profiles]]
[Default]
PresentationContexts = All
SCPSCURoleSelection = Roles
ExtendedNegotiation = Extended
"""
CONTEXT_TABLES = """\
[[contexts]]
abstract_syntaxes = ["CTImageStorage", "1.2.3"]
transfer_syntaxes = ["LittleEndianExplicit", "1.2.4"]
role = "SCP"
[[contexts]]
abstract_syntax = "CTImageStorage"
extended = "00fF"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules_as_before: None) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site_a.py").write_text(SITE)
    (tmp_path / "association.cfg").write_text(PROFILE)


def configured(*arguments: str, file: str | None = None) -> Configuration:
    """A command line, with `file` as its settings file if there is one."""
    if file is not None:
        Path("given.toml").write_text(file)
        arguments = ("--settings", "given.toml", *arguments)
    return Configuration("dcmrecv", arguments, port_optional=False)


def line_of(*arguments: str, file: str | None = None) -> CommandLine:
    return configured(*arguments, file=file).line


def settings_of(*arguments: str, file: str | None = None) -> Settings:
    return line_of(*arguments, file=file).settings


def error_of(file: str, *arguments: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        configured("1", *arguments, file=file)
    assert caught.value.exit_code == 66
    return str(caught.value)


def test_missing_plugins() -> None:
    assert error_of('plugin = ["nowhere"]').startswith("given.toml: plugin: plugin nowhere: ")
    with pytest.raises(PluginError, match=r"^plugin nowhere: "):  # named on the command line as well
        configured("1", "--plugin", "nowhere", file='plugin = ["nowhere"]')


# What a file may say


def test_every_option_that_sets_something_has_a_key() -> None:
    fields = {name for option in OPTIONS for name in (*option.sets, option.key)} - {"", "settings_file"}
    assert fields <= {key.field for key in KEYS.values()}


def test_every_setting_has_a_key() -> None:
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert fields - {key.field for key in KEYS.values()} == {
        CONTEXTS,
        "plugin_options",
        "settings_file",
        "working_directory",
        "owns_state",
        "state_owner",
    }


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if key.choices])
def test_choices_are_those_of_the_options(name: str) -> None:
    for choice in KEYS[name].choices:
        assert getattr(settings_of("1", file=f'{name} = "{choice}"'), KEYS[name].field) == choice


SAYS = {
    "integer at its least": ("max_pdu = 4096", {"max_pdu": 4096}),
    "integer at its most": ("max_pdu = 131072", {"max_pdu": 131072}),
    "seconds": ("hook_seconds = 2", {"hook_seconds": 2.0}),
    "bytes": ("min_free = 4096", {"min_free": 4096}),
    "no limit": ("min_free = 0\nmax_instance = '0K'", {"min_free": None, "max_instance": None}),
    "bytes with a unit": ('min_free = "10G"', {"min_free": 10 << 30}),
    "flag": ("fsync = false", {"fsync": False}),
    "two values": ('config_file = ["f", "p"]', {"config_file": ("f", "p")}),
    "empty string as in the command line": ('output_directory = ""', {"output_directory": "."}),
    "transfer syntaxes": ('prefer = ["LittleEndianExplicit", "1.2"]', {"prefer": (EXPLICIT_LE, "1.2")}),
    "networks": ('proxy_from = ["10.1.2.3", "fd00::/8"]', {"proxy_from": ("10.1.2.3/32", "fd00::/8")}),
    "contexts of all classes": (
        '[[contexts]]\nabstract_syntax = "*"\ntransfer_syntaxes = ["1.2"]',
        {"contexts": (SupportedContext("*", ("1.2",)),)},
    ),
    "contexts": (
        CONTEXT_TABLES,
        {
            "contexts": (
                SupportedContext(CT, (EXPLICIT_LE, "1.2.4"), Role.SCP),
                SupportedContext("1.2.3", (EXPLICIT_LE, "1.2.4"), Role.SCP),
                SupportedContext(CT, None, None, b"\x00\xff"),
            )
        },
    ),
}


@pytest.mark.parametrize(("file", "expected"), SAYS.values(), ids=SAYS)
def test_values(file: str, expected: dict[str, Any]) -> None:
    assert settings_of("1", file=file) == dataclasses.replace(Settings(port=1), **expected)


WINS = {
    "value": ("max_pdu = 8192", ["-pdu", "4096"], {"max_pdu": 4096}),
    "flag of a set": ('filenames = "unique"', ["+fst"], {"filenames": "system-time"}),
    "flag that sets two": ("ignore = true", ["+B"], {"storage_mode": "bit-preserving"}),
    "unset": ('ae_title = "A"', ["-uca"], {}),
    "level over log_config": ('log_config = "l.ini"', ["-v"], {"log_level": "info"}),
    "log_config beside a level": ('log_level = "info"\nverbose_pc = true', [], {"log_level": "info", "verbose_pc": 1}),
    "preferred first": (
        'prefer = ["1.2", "1.3"]',
        ["--prefer", "1.4", "--prefer", "1.3"],
        {"prefer": ("1.4", "1.3", "1.2")},
    ),
    "check after both": ('log_level = "info"', ["+v"], {"log_level": "info", "verbose_pc": True}),
    "the last file counts": ("strict = true", ["--settings", "other.toml"], {"max_pdu": 5000}),
}


@pytest.mark.parametrize(("file", "arguments", "expected"), WINS.values(), ids=WINS)
def test_the_command_line_takes_precedence(file: str, arguments: list[str], expected: dict[str, Any]) -> None:
    Path("other.toml").write_text("max_pdu = 5000")
    assert settings_of(*arguments, "1", file=file) == dataclasses.replace(Settings(port=1), **expected)


def test_the_port_may_be_in_the_file() -> None:
    assert settings_of(file="port = 4711").port == 4711
    assert settings_of("104", file="port = 4711").port == 104
    with pytest.raises(CommandLineError, match="Missing parameter port"):
        configured(file="strict = true")


def test_plugins_of_the_file_come_before_those_of_the_command_line() -> None:
    Path("site_b.py").write_text("from dcmrecv_core import hookimpl\n@hookimpl\ndef stored(): pass\n")
    configuration = configured("1", "--plugin", "./site_a.py", file='plugin = ["./site_a.py", "./site_b.py"]')
    assert configuration.line.settings.plugins == ("./site_b.py", "./site_a.py")
    assert [registered.found.name for registered in configuration.plugins.registered] == ["site_b", "site_a"]


def test_contexts_are_negotiated() -> None:
    plugins = Plugins()
    for contexts in ((SupportedContext(CT, None),), (SupportedContext(MR, (EXPLICIT_LE,)),)):
        effective_settings = Settings(contexts=contexts)
        plugins.add_builtins(effective_settings)
        plugins.configure(effective_settings)
        assert plugins.negotiate(ASSOCIATION) == Negotiated(contexts)
    plugins.add_builtins(Settings())
    assert plugins.negotiate(ASSOCIATION) == Negotiated()


# What errors say: file, key path, value, what is allowed

REFUSED = {
    "unknown key": ("filenmes = 1", "filenmes: no such key; did you mean filenames"),
    "unknown key with quotes": ('"a \\"b" = 1', '"a \\"b": no such key; there is port, '),
    "field that is not in a file": ('settings_file = "x"', "settings_file: no such key"),
    "choice": ('filenames = "uniqe"', "filenames = 'uniqe': one of instance-uid, unique, short-unique, system-time"),
    "near choice": ('filenames = "uniqe"', "did you mean unique?"),
    "choice of another type": ("filenames = 1", "filenames = 1: one of instance-uid, "),
    "integer too small": ("max_pdu = 4095", "max_pdu = 4095: an integer from 4096 to 131072 expected"),
    "integer too large": ("max_pdu = 131073", "max_pdu = 131073: an integer from 4096 to 131072 expected"),
    "without an upper limit": ("acse_timeout = 0", "acse_timeout = 0: an integer from 1 expected"),
    "larger than anything takes": ("acse_timeout = 2147483648", "acse_timeout = 2147483648: an integer from 1"),
    "boolean for an integer": ("acse_timeout = true", "acse_timeout = true: an integer from 1 expected"),
    "no size": ('max_request = "2X"', """max_request = '2X': bytes, or a string like "500M", from 4K to 16M"""),
    "size too small": ("max_request = 4095", """max_request = 4095: bytes, or a string like "500M", from 4K to 16M"""),
    "size too large": (
        'max_request = "17M"',
        """max_request = '17M': bytes, or a string like "500M", from 4K to 16M""",
    ),
    "float for an integer": ("acse_timeout = 1.0", "acse_timeout = 1.0: an integer from 1 expected"),
    "string for an integer": ('port = "104"', "port = '104': an integer from 1 to 65535 expected"),
    "integer for a boolean": ("strict = 1", "strict = 1: true or false expected"),
    "integer for a string": ("bind = 1", "bind = 1: a string expected"),
    "NUL": ('bind = "\\u0000"', "bind = '\\x00': a string expected"),
    "no number": ("hook_seconds = nan", "hook_seconds = nan: a number of seconds from 1 expected"),
    "no time": ("hook_seconds = 0.5", "hook_seconds = 0.5: a number of seconds from 1 expected"),
    "one value of two": ('config_file = ["f"]', "config_file = ['f']: an array of filename and profile expected"),
    "two values of the wrong type": ('config_file = ["f", 1]', "an array of filename and profile expected"),
    "one plugin": ('plugin = "a"', "plugin = 'a': an array of strings expected"),
    "plugins as a list": ('plugins = ["a"]', "plugins = ['a']: tables [plugins.NAME] (the plugins to load: plugin ="),
    "long values": (f'bind = ["{"x" * 1000}"]', "x...: a string expected"),
    "contexts as a table": ("[contexts]", "contexts = {}: an array of tables ([[contexts]]) expected"),
    "extended negotiation of all classes": (
        '[[contexts]]\nabstract_syntax = "*"\nextended = "01"',
        'contexts[1].extended: application information belongs to one SOP class, not to "*"',
    ),
    "class to prefer": (
        'prefer = ["CTImageStorage"]',
        "prefer = ['CTImageStorage']: an array of names or UIDs of transfer syntaxes expected",
    ),
    "transfer syntax that is no string": ("prefer = [1]", "an array of names or UIDs of transfer syntaxes expected"),
    "transfer syntaxes that are no array": ('prefer = "1.2"', "an array of names or UIDs of transfer syntaxes"),
    "host in a network": ('proxy_from = ["10.1.2.3/8"]', "an array of IP addresses or networks expected"),
    "wildcard for a transfer syntax": (
        '[[contexts]]\nabstract_syntax = "*"\ntransfer_syntaxes = ["*"]',
        "contexts[1].transfer_syntaxes[1] = '*': name or UID of a transfer syntax expected",
    ),
    "no class": ("[[contexts]]", "contexts[1]: either abstract_syntax or abstract_syntaxes expected"),
    "unknown class": (
        '[[contexts]]\nabstract_syntax = "1.2"\n[[contexts]]\nabstract_syntaxes = ["1", "CTImageStorge"]',
        "contexts[2].abstract_syntaxes[2] = 'CTImageStorge': name or UID of an abstract syntax expected; did you mean "
        "CTImageStorage",
    ),
    "UID that is too long": (f'[[contexts]]\nabstract_syntax = "{"1" * 65}"', "name or UID of an abstract syntax"),
    "transfer syntax for a class": (
        '[[contexts]]\nabstract_syntax = "LittleEndianExplicit"',
        "contexts[1].abstract_syntax = 'LittleEndianExplicit': name or UID of an abstract syntax expected",
    ),
    "class for a transfer syntax": (
        '[[contexts]]\nabstract_syntax = "1.2"\ntransfer_syntaxes = ["CTImageStorage"]',
        "contexts[1].transfer_syntaxes[1] = 'CTImageStorage': name or UID of a transfer syntax expected",
    ),
    "no transfer syntax": (
        '[[contexts]]\nabstract_syntax = "1.2"\ntransfer_syntaxes = []',
        "contexts[1].transfer_syntaxes = []: an array of names or UIDs, one at least, expected",
    ),
    "role": (
        '[[contexts]]\nabstract_syntax = "1.2"\nrole = "SCX"',
        "contexts[1].role = 'SCX': one of SCU, SCP, BOTH expected; did you mean",
    ),
    "extended": (
        '[[contexts]]\nabstract_syntax = "1.2"\nextended = "012"',
        "contexts[1].extended = '012': 1 to 1024 bytes in hexadecimal expected",
    ),
    "key of a context": ('[[contexts]]\nabstract_sintax = "1.2"', "contexts[1].abstract_sintax: no such key; did you"),
    "not TOML": ("a = ", "is not TOML: Invalid value (at "),
    "plugin that is not loaded": ("[plugins.site_b]", "plugins.site_b: no such plugin is loaded; did you mean site_a?"),
    "built-in plugin": ("[plugins.file-writer]", "plugins.file-writer: no such plugin is loaded"),
    "plugin without a table": ("[plugins]\nsite_a = 1", "plugins.site_a = 1: a table expected"),
    "option that was not declared": (
        "[plugins.site_a]\ndryrun = true",
        "plugins.site_a.dryrun: no such option of plugin site_a; did you mean dry_run?",
    ),
    "flag of a plugin": ("[plugins.site_a]\ndry_run = 1", "plugins.site_a.dry_run = 1: true or false expected"),
    "integer of a plugin": ('[plugins.site_a]\ndays = "7"', "plugins.site_a.days = '7': an integer expected"),
    "boolean for its integer": ("[plugins.site_a]\ndays = true", "plugins.site_a.days = true: an integer expected"),
    "number of a plugin": ("[plugins.site_a]\nshare = true", "plugins.site_a.share = true: a number expected"),
    "path of a plugin": ("[plugins.site_a]\nroot = 1", "plugins.site_a.root = 1: a string expected"),
    "its own type": ("[plugins.site_a]\nword = []", "plugins.site_a.word = []: a string or a number expected"),
    "refused by its type": (
        '[plugins.site_a]\nword = "no"',
        "plugins.site_a.word = 'no': Invalid value for option --word (no): no is no answer to no",
    ),
    "bug in its type": ('[plugins.site_a]\nword = "bug"', "plugins.site_a.word = 'bug': plugin site_a: option --word"),
    "reference for what is not secret": ('[plugins.site_a]\nword = { env = "X" }', "a string or a number expected"),
    "absent variable": (
        '[plugins.site_a]\npassword = { env = "DCMRECV_TEST_NONE" }',
        "plugins.site_a.password: there is no environment variable DCMRECV_TEST_NONE",
    ),
    "absent file": (
        '[plugins.site_a]\npassword = { file = "none" }',
        "plugins.site_a.password: none cannot be read: No such file or directory",
    ),
    "two references": (
        '[plugins.site_a]\npassword = { file = "none", env = "X" }',
        'plugins.site_a.password: a string, { env = "NAME" } or { file = "PATH" } expected',
    ),
    "secret of another type": ("[plugins.site_a]\npassword = [1]", "plugins.site_a.password: a string or a number, {"),
}


@pytest.mark.parametrize(("file", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(file: str, text: str) -> None:
    error = error_of(file, "--plugin", "./site_a.py")
    assert error.startswith("given.toml: ")
    assert text in error


def test_fault_24_a_plugin_that_is_installed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_file, "entry_points", lambda: [SimpleNamespace(name="forward")])
    error = error_of("[plugins.forward]", "--plugin", "./site_a.py")
    said = 'plugins.forward: the plugin is installed, but not loaded: add it to plugin = ["forward"]'
    assert error == f"given.toml: {said}"


def test_files_that_cannot_be_read() -> None:
    for path, text in (
        ("absent", "absent: cannot be read: No such file"),
        ("a\0", "a\0: is not TOML: embedded null byte"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            read(path)


def test_fault_24_a_byte_order_mark_is_no_part_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret.txt").write_bytes("LETMEIN\n".encode("utf-8-sig"))
    file = 'plugin = ["./site_a.py"]\n[plugins.site_a]\npassword = { file = "secret.txt" }'
    assert settings_of("1", file=file).plugin_options["site_a"]["password"] == "LETMEIN"


def test_the_program_ends_with_66(capfd: pytest.CaptureFixture[str]) -> None:
    Path("bad.toml").write_text("max_pdu = 1")
    assert cli.main(["--settings", "bad.toml", "104"]) == 66
    assert capfd.readouterr().err.endswith("error: bad.toml: max_pdu = 1: an integer from 4096 to 131072 expected\n")


# Options of plugins


def test_values_of_plugins() -> None:
    file = """
plugin = ["./site_a.py"]
[plugins.site_a]
root = "/archive"
days = 3
share = 1
word = 12
dry_run = true
"""
    assert settings_of("1", file=file).plugin_options["site_a"] == {
        "root": Path("/archive"),
        "days": 3,
        "share": 1.0,
        "word": "12",
        "dry_run": True,
        "password": "LETMEIN",
    }
    assert settings_of("1", "--days", "9", file=file).plugin_options["site_a"]["days"] == 9


SECRETS = {
    "literal": ('"hunter2"', "# plugins.site_a.password is secret"),
    "env": ('{ env = "DCMRECV_TEST_SECRET" }', '[plugins.site_a.password]\nenv = "DCMRECV_TEST_SECRET"'),
    "file": ('{ file = "secret" }', '[plugins.site_a.password]\nfile = "secret"'),
}


@pytest.mark.parametrize(("value", "shown"), SECRETS.values(), ids=SECRETS)
def test_secrets_are_used_and_not_shown(monkeypatch: pytest.MonkeyPatch, value: str, shown: str) -> None:
    monkeypatch.setenv("DCMRECV_TEST_SECRET", "hunter2")
    Path("secret").write_text("hunter2\n")
    configuration = configured("1", "--plugin", "./site_a.py", file=f"[plugins.site_a]\npassword = {value}")
    line = configuration.line
    assert line.settings.plugin_options["site_a"]["password"] == "HUNTER2"
    assert "hunter2" not in (repr(line) + dump(line, configuration.options)).lower()
    assert shown in dump(line, configuration.options)


def test_secrets_on_the_command_line_are_not_shown() -> None:
    configuration = configured("--plugin", "./site_a.py", "--arguments", "--password", "hunter2", "1")
    line = configuration.line
    assert line.settings.plugin_options["site_a"]["password"] == "HUNTER2"
    assert "'--password' '***'" in line.arguments
    assert "hunter2" not in (repr(line) + dump(line, configuration.options)).lower()


@pytest.mark.parametrize("value", ["no", "bug"])
def test_secrets_that_are_refused_are_not_shown(value: str) -> None:
    error = error_of(f'[plugins.site_a]\npassword = "{value}"', "--plugin", "./site_a.py")
    assert error == "given.toml: plugins.site_a.password: the value is refused by the plugin (option --password)"
    with pytest.raises((CommandLineError, PluginError)) as caught:
        configured("1", "--plugin", "./site_a.py", "--password", value)
    assert caught.value.__cause__ is None
    assert f"({value})" not in str(caught.value)
    assert f"'{value}'" not in str(caught.value)


@pytest.mark.parametrize("value", ["'geheim'", "{ env = 'KEY_PASSWORD' }", "{ file = 'password' }"])
def test_the_password_of_a_key_is_never_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("KEY_PASSWORD", "geheim")
    Path("password").write_text("geheim\n")
    configuration = configured("+tls", "a", "b", "104", file=f"tls_password = {value}")
    assert configuration.line.settings.tls_password == "geheim"
    assert "geheim" not in repr(configuration.line.settings)
    text = dump(configuration.line, configuration.options)
    assert "geheim" not in text
    assert '# tls_password is secret: write { env = "NAME" } or { file = "PATH" }\n' in text


def test_the_password_of_a_key_is_not_in_errors() -> None:
    Path("numbers.toml").write_text("tls_password = 4711")
    with pytest.raises(ConfigurationError, match=r"^numbers.toml: tls_password: a string, .* expected$"):
        read("numbers.toml")


def test_a_flag_cannot_be_secret() -> None:
    with pytest.raises(PluginError, match="plugin site: option --flag is a flag, which cannot be secret"):
        PluginOptionRegistry().of("site").add("--flag", secret=True)


# What is dumped reads back the same

COMMAND_LINES = [
    ["104"],
    ["-v", "-xf", "association.cfg", "default", "-aet", "ARCHIVE", "11112"],
    ["-q", "-pm", "-uca", "104"],
    ["-ll", "trace", "+v", "-ta", "10", "-td", "60", "-pdu", "131072", "-dhl", "104"],
    ["-d", "-od", "/data/\N{LATIN SMALL LETTER E WITH ACUTE} \"'\\", "-fe", ".dcm", "104"],
    ["-pm", "--prefer", "JPEG2000LosslessOnly", "--prefer", "1.2.3", "104"],
    ["-pm", "--proxy-from", "10.0.0.0/8", "--proxy-from", "::1", "104"],
    ["+ssd", "+fsu", "+B", "--no-fsync", "104"],
    ["+fst", "--ignore", "--strict", "104"],
    ["--bind", "127.0.0.1", "--max-associations", "1", "--state-dir", "/var/lib/dcmrecv", "104"],
    ["--plugin", "./site_a.py", "--root", "/x", "--days", "0", "--share", "1e-3", "--word", "a\nb", "--dry-run", "104"],
    ["--plugin", "./site_a.py", "--days", "1", "--days", "2", "104"],
    ["--settings", "contexts.toml", "-xf", "association.cfg", "default", "+fu", "104"],
    ["-v", "--settings", "contexts.toml", "--fsync"],
    ["--layout", '{PatientName:replace("^","_")}/{StudyID||PatientID:sub("\\d","")}/x', "104"],
    ["--layout", "{PatientID}/{SOPInstanceUID}", "--layout-limit", "200", "--on-duplicate", "keep", "104"],
    ["-i6", "+tls", "key", "certificate", "-pw", "-der", "+cf", "a", "+cd", "b", "+crl", "c", "+crv", "+pz", "104"],
    ["+tls", "key", "certificate", "+cs", "A", "+cs", "B", "+dp", "d", "+rs", "e", "+ws", "+wf", "f", "-vc", "104"],
]


@pytest.mark.parametrize("arguments", COMMAND_LINES, ids=" ".join)
def test_a_command_line_becomes_a_file(arguments: list[str]) -> None:
    Path("contexts.toml").write_text(f"port = 104\nhook_seconds = 2.5\n{CONTEXT_TABLES}")
    configuration = configured(*arguments)
    text = dump(configuration.line, configuration.options)
    again = configured(file=text)
    assert again.line.settings == effective(configuration.line.settings)
    assert dump(again.line, again.options) == text
    assert again.line.settings.config_file is None


def test_a_profile_is_dumped_readably() -> None:
    configuration = configured("-xf", "association.cfg", "default", "104")
    assert dump(configuration.line, configuration.options).endswith("""
[[contexts]]
abstract_syntax = "VerificationSOPClass"
transfer_syntaxes = [
    "LittleEndianExplicit",
    "1.2.3.4",
]

[[contexts]]
abstract_syntax = "CTImageStorage"
transfer_syntaxes = [
    "LittleEndianExplicit",
    "1.2.3.4",
]
role = "BOTH"
extended = "0102ff"

[[contexts]]
abstract_syntax = "1.2.826.0.1.3680043.9.9999.1"
transfer_syntaxes = [
    "LittleEndianExplicit",
    "1.2.3.4",
]
""")


def test_defaults_of_plugins_are_dumped_except_secret_ones() -> None:
    configuration = configured("--plugin", "./site_a.py", "104")
    assert dump(configuration.line, configuration.options).endswith("""
[plugins.site_a]
root = "/data"
days = 7
share = 0.5
dry_run = false
""")


def test_the_program_dumps(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--dump-settings", "-aet", "A"]) == 0
    assert 'ae_title = "A"\n' in capsys.readouterr().out
    assert cli.main(["--dump-settings", "-xf", "absent", "p"]) == 66
    assert cli.main(["--dump-settings", "--layout", "{"]) == 1
    Path("given.toml").write_text('log_config = "absent"')
    assert cli.main(["--dump-settings", "--settings", "given.toml"]) == 1


def test_names_that_are_not_utf_8_are_not_dumped() -> None:
    with pytest.raises(ConfigurationError, match="cannot be written as TOML, they are not UTF-8"):
        dump(line_of("-od", "\udcff", "104"), PluginOptionRegistry())


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
UIDS = st.sampled_from([CT, MR, VERIFICATION, EXPLICIT_LE, IMPLICIT_LE, "1.2.3", "2.25." + "9" * 59])
CONTEXT = st.builds(
    SupportedContext,
    UIDS | st.just("*"),
    st.none() | st.lists(UIDS, min_size=1, max_size=3).map(tuple),
    st.none() | st.sampled_from(Role),
    st.none() | st.binary(min_size=1, max_size=5),
).filter(lambda context: context.abstract_syntax != "*" or context.extended is None)


def _values_of(name: str) -> st.SearchStrategy[Any]:
    """Values of a field by what its key accepts."""
    key = next(key for key in KEYS.values() if key.field == name)
    if key.choices:
        return st.sampled_from(key.choices)
    if name == "hook_seconds":
        return st.floats(1, 2**31 - 1)
    if name == "config_file":
        return st.none()  # the dump has its contexts instead
    if key.secret:
        return st.none() | st.just("")  # all others are hidden
    if name == "tls":
        return st.none() | st.tuples(TEXT, TEXT)
    if key.allowed == "an array of strings":
        return st.lists(TEXT, unique=True, max_size=3).map(tuple)
    if name == "proxy_from":
        return st.lists(st.sampled_from(["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]), unique=True).map(tuple)
    if name == "prefer":
        return st.lists(st.sampled_from([EXPLICIT_LE, "1.2.3", "2.25." + "9" * 59]), unique=True).map(tuple)
    if key.allowed == "true or false":
        return st.booleans()
    if key.allowed == "a string":
        allowed: st.SearchStrategy[Any] = TEXT
    else:
        value = PORT if name == "port" else next(option for option in key.options if option.key == name).values[0]
        allowed = st.integers(value.minimum or 1, value.maximum or LARGEST_INTEGER)
    return (st.none() | allowed) if getattr(Settings(), name) is None else allowed


ANY_SETTINGS = st.builds(
    Settings,
    contexts=st.lists(CONTEXT, max_size=4).map(tuple),
    **{key.field: _values_of(key.field) for key in KEYS.values()},
).filter(lambda made: made.layout is not None or made.layout_limit is None)


@settings(deadline=None, max_examples=150)
@given(ANY_SETTINGS)
def test_any_settings_read_back_the_same(made: Settings) -> None:
    text = dump(CommandLine("run", made), PluginOptionRegistry())
    Path("any.toml").write_text(text, encoding="utf-8", newline="")
    found = read("any.toml")
    line = parse(["--settings", "any.toml"], PluginOptionRegistry(), port_optional=True, file_values=found.values)
    assert line.settings == made
