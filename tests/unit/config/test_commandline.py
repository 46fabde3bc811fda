"""Command lines by the settings they make; errors are compared with the original's by the parity tests."""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.api.errors import CommandLineError, PluginError
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.config.commandline import CommandLine, expand, find_plugins, parse
from dcmrecv_core.config.options import storescp
from dcmrecv_core.config.options.option import flatten
from dcmrecv_core.config.options.table import BY_NAME
from dcmrecv_core.config.options.tls import TLS
from dcmrecv_core.settings.settings import Settings
from support.uids import JPEG


def read(*arguments: str, plugins: PluginOptionRegistry | None = None) -> CommandLine:
    return parse(expand(arguments), plugins or PluginOptionRegistry())


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("help", []),
        ("help", ["--version", "-h"]),
        ("help", ["-h", "1", "2"]),
        ("version", ["--version", "-pdu", "1", "-ll", "foo", "--arguments"]),
    ],
)
def test_what_ends_the_program(action: str, arguments: list[str]) -> None:
    assert read(*arguments).action == action


def test_list_plugins_needs_no_port() -> None:
    assert read("--list-plugins", "+fu") == CommandLine("list-plugins", Settings(filenames="unique"))
    assert read("80", "--list-plugins", "--json") == CommandLine("list-plugins", Settings(port=80), json=True)
    with pytest.raises(CommandLineError, match=r"^Invalid value for option --acse-timeout \(underflow: 0\)$"):
        read("-ta", "0", "--list-plugins")


def test_parameters_of_explain_are_files() -> None:
    """Also what would be a port, and wherever they stand."""
    line = read("a", "--explain", "-pm", "11112", "-1")
    assert line == CommandLine("explain", Settings(promiscuous=True), files=("a", "11112", "-1"))
    assert read("--explain", "--json", "a").json
    with pytest.raises(CommandLineError, match=r"^Missing parameter file$"):
        read("--explain")


@pytest.mark.parametrize(
    ("words", "sender"),
    [
        (["--as", "CT1"], ("CT1", "", "")),
        (["--as", "CT1@192.0.2.7"], ("CT1", "192.0.2.7", "")),
        (["--as", "A@B@2001:db8::7", "--to", "ARCHIVE"], ("A@B", "2001:db8::7", "ARCHIVE")),
    ],
)
def test_the_sender_that_explain_assumes(words: list[str], sender: tuple[str, str, str]) -> None:
    assert read("--explain", "a", *words).sender == sender


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["80", "--as", "CT1"], "--as only allowed with --explain"),
        (["--list-plugins", "--to", "CT1"], "--to only allowed with --explain"),
        (["--explain", "a", "--as", "CT1@host"], "Invalid value for option --as (host): an IP address expected"),
        (["--explain", "a", "--as", "CT1@"], "Invalid value for option --as (): an IP address expected"),
        (["--explain", "a", "--to", "x" * 17], f"Invalid value for option --to ({'x' * 17}): at most 16 characters"),
    ],
)
def test_a_sender_that_cannot_be(words: list[str], text: str) -> None:
    with pytest.raises(CommandLineError, match=f"^{re.escape(text)}"):
        read(*words)


@pytest.mark.parametrize("more", [[], ["--dump-settings"]])
def test_json_is_for_inspection_only(more: list[str]) -> None:
    with pytest.raises(CommandLineError, match=r"^--json only allowed with --list-plugins or --explain$"):
        read("--json", *more, "80")


def test_a_limit_of_paths_is_for_layouts_only() -> None:
    with pytest.raises(CommandLineError, match=r"^--layout-limit only allowed with --layout$"):
        read("--layout-limit", "200", "80")


def test_hooks_are_traced_in_verbose_mode_only() -> None:
    assert read("-d", "--trace-hooks", "80").settings.trace_hooks
    with pytest.raises(CommandLineError, match=r"^--trace-hooks only allowed with verbose mode$"):
        read("--trace-hooks", "80")


@pytest.mark.parametrize(
    ("arguments", "quiet"),
    [
        (["-q"], True),
        (["-q", "-v"], False),
        (["-ll", "fatal"], True),
        (["-ll", "off"], True),
        (["-ll", "error"], False),
    ],
)
def test_log_levels_hide_errors_of_values(arguments: list[str], quiet: bool) -> None:
    with pytest.raises(CommandLineError) as raised:
        read(*arguments, "0")
    assert raised.value.quiet == quiet


ACCEPTED: list[tuple[list[str], dict[str, Any]]] = [
    # Each built-in option, by its long and its short name
    ([], {}),
    (["-q"], {"log_level": "fatal"}),
    (["--quiet"], {"log_level": "fatal"}),
    (["-v"], {"log_level": "info"}),
    (["--verbose"], {"log_level": "info"}),
    (["-d"], {"log_level": "debug"}),
    (["--debug"], {"log_level": "debug"}),
    (["-ll", "Error"], {"log_level": "error"}),
    (["--log-level", "ALL"], {"log_level": "all"}),
    (["--log-level", "off"], {"log_level": "off"}),
    (["-v", "+v"], {"log_level": "info", "verbose_pc": True}),
    (["--verbose-pc", "-ll", "trace"], {"log_level": "trace", "verbose_pc": True}),
    (["-aet", ""], {"ae_title": ""}),
    (["--aetitle", "-v"], {"ae_title": "-v"}),
    (["-uca"], {}),
    (["--use-called-aetitle"], {}),
    (["-ta", "5"], {"acse_timeout": 5}),
    (["--acse-timeout", " +05x"], {"acse_timeout": 5}),
    (["-td", "1"], {"dimse_timeout": 1}),
    (["--dimse-timeout", "99999999999999999999"], {"dimse_timeout": 2**31 - 1}),
    (["-pdu", "4096"], {"max_pdu": 4096}),
    (["--max-pdu", "131072.9"], {"max_pdu": 131072}),
    (["-dhl"], {"disable_host_lookup": True}),
    (["--disable-host-lookup"], {"disable_host_lookup": True}),
    (["-s"], {}),
    (["--no-subdir"], {}),
    (["+ssd"], {"subdirs": "series-date"}),
    (["--series-date-subdir"], {"subdirs": "series-date"}),
    (["+fd"], {}),
    (["--default-filenames"], {}),
    (["+fu"], {"filenames": "unique"}),
    (["--unique-filenames"], {"filenames": "unique"}),
    (["+fsu"], {"filenames": "short-unique"}),
    (["--short-unique-names"], {"filenames": "short-unique"}),
    (["+fst"], {"filenames": "system-time"}),
    (["--system-time-names"], {"filenames": "system-time"}),
    (["-fe", "--verbose"], {"filename_extension": "--verbose"}),
    (["--filename-extension", "-9"], {"filename_extension": "-9"}),
    (["-B"], {}),
    (["--normal"], {}),
    (["+B"], {"storage_mode": "bit-preserving"}),
    (["--bit-preserving"], {"storage_mode": "bit-preserving"}),
    (["--ignore"], {"ignore": True}),
    # of repeated options the last counts, earlier values are not even looked at
    (["-ta", "x", "-ta", "3"], {"acse_timeout": 3}),
    # of exclusive options the rightmost counts
    (["-d", "-q", "-v"], {"log_level": "info"}),
    (["-uca", "-aet", "X"], {"ae_title": "X"}),
    (["-aet", "X", "-uca"], {}),
    (["+ssd", "-s"], {}),
    (["+fst", "+fu", "+fsu"], {"filenames": "short-unique"}),
    (["+B", "--ignore"], {"ignore": True}),
    (["--ignore", "+B"], {"storage_mode": "bit-preserving"}),
    (["--ignore", "-B"], {}),
]


@pytest.mark.parametrize(("arguments", "changed"), ACCEPTED, ids=[" ".join(row[0]) for row in ACCEPTED])
def test_what_options_mean(arguments: list[str], changed: dict[str, Any]) -> None:
    assert read(*arguments, "\t80", "-od", "out").settings == Settings(port=80, output_directory="out", **changed)


def test_every_option_is_tried() -> None:
    tried = {token for arguments, _ in (*ACCEPTED, *OURS) for token in arguments}
    elsewhere = {"-h", "--help", "--version", "--arguments", "-lc", "--log-config", "-xf", "--config-file"}
    elsewhere |= {
        "--settings",
        "--dump-settings",
        "--list-plugins",
        "--explain",
        "--as",
        "--to",
        "--json",
        "--new-plugin",
        "--template",
    }
    elsewhere |= {name for option in flatten([TLS]) for name in (option.long, option.short)}
    assert BY_NAME.keys() - tried - elsewhere == {"--output-directory"}


OURS: list[tuple[list[str], dict[str, Any]]] = [
    (["--layout", "{PatientID}/x"], {"layout": "{PatientID}/x"}),
    (["--layout-limit", "200", "--layout", "x"], {"layout": "x", "layout_limit": 200}),
    (["--on-duplicate", "rename"], {"on_duplicate": "rename"}),
    (["-pm"], {"promiscuous": True}),
    (["--log-format", "json"], {"log_format": "json"}),
    (["--log-uids", "hashed"], {"log_uids": "hashed"}),
    (["-v", "--trace-hooks"], {"log_level": "info", "trace_hooks": True}),
    (["--promiscuous"], {"promiscuous": True}),
    (["--prefer", "JPEGBaseline", "--prefer", "1.2.3", "--prefer", JPEG], {"prefer": (JPEG, "1.2.3")}),
    (["--proxy-from", "10.1.2.3", "--proxy-from", "fd00::/8"], {"proxy_from": ("10.1.2.3/32", "fd00::/8")}),
    (["--max-associations", "1"], {"max_associations": 1}),
    (["--max-per-peer", "4"], {"max_per_peer": 4}),
    (["--idle-eviction", "5"], {"idle_eviction": 5}),
    (["--idle-eviction", "0"], {"idle_eviction": None}),
    (["--drain", "60"], {"drain": 60}),
    (["--min-rate", "1k"], {"min_rate": 1024}),
    (["--min-rate", "0"], {"min_rate": None}),
    (["--max-request", "64k"], {"max_request": 64 << 10}),
    (["--min-free", "10G"], {"min_free": 10 << 30}),
    (["--min-free", "1", "--min-free", "0"], {"min_free": None}),
    (["--max-instance", "0"], {"max_instance": None}),
    (["--progress-timeout", "5"], {"progress_timeout": 5}),
    (["--max-instance", "3000000000"], {"max_instance": 3_000_000_000}),
    (["--hook-timeout", "2"], {"hook_seconds": 2}),
    (["--worker-memory", "512M"], {"worker_memory": 512 << 20}),
    (["--recycle-after", "10"], {"recycle_after": 10}),
    (["--fsync"], {}),
    (["--no-fsync"], {"fsync": False}),
    (["--no-fsync", "--fsync"], {}),
    (["--strict-fsync"], {"strict_fsync": True}),
    (["--strict"], {"strict": True}),
    (["--bind", "127.0.0.1"], {"bind": "127.0.0.1"}),
    (["-i6"], {"ip_version": "ipv6"}),
    (["--ipv6"], {"ip_version": "ipv6"}),
    (["-i6", "-i0"], {"ip_version": "any"}),
    (["--ip-auto"], {"ip_version": "any"}),
    (["-i0", "-i4"], {}),
    (["--ipv4"], {}),
    (["--state-dir", "state"], {"state_dir": "state"}),
    (["--study-timeout", "10"], {"study_timeout": 10}),
    (["--deliver-attempts", "3"], {"deliver_attempts": 3}),
    (["--deliver-attempts", "0"], {"deliver_attempts": None}),
    (["--deliver-processes", "2"], {"deliver_processes": 2}),
    (["--journal", "postgresql://host/x"], {"journal": "postgresql://host/x"}),
    (["--journal-flush"], {"journal_flush": True}),
    (["--digest"], {"digest": True}),
    (["--plugin", "a", "--plugin", "-v"], {"plugins": ("a", "-v")}),
    (["--plugins-dir", "a", "--plugins-dir", "b"], {"plugins_dir": ("a", "b")}),
    (["--reload-plugins"], {"reload_plugins": True}),
    (["-xf", "absent", "p"], {"config_file": ("absent", "p")}),
    (["-od", ""], {"output_directory": "."}),
    # an intended difference: the original cannot combine these
    (["+B", "+ssd"], {"storage_mode": "bit-preserving", "subdirs": "series-date"}),
]


@pytest.mark.parametrize(("arguments", "changed"), OURS, ids=[" ".join(row[0]) for row in OURS])
def test_options_that_the_parity_tests_leave_out(arguments: list[str], changed: dict[str, Any]) -> None:
    assert read("80", *arguments).settings == Settings(port=80, **changed)


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.1/8", "10.0.0.0/33", "proxy.example", "::/129"])
def test_proxies_are_networks(text: str) -> None:
    with pytest.raises(CommandLineError) as caught:
        read("80", "--proxy-from", text)
    assert str(caught.value) == f"Invalid value for option --proxy-from ({text})"
    assert caught.value.hint == "give an IP address, or a network like 10.1.0.0/16"


@pytest.mark.parametrize("text", ["JPEGBaselin", "CTImageStorage", "", "1.2.x", "1" * 65])
def test_prefer_takes_transfer_syntaxes(text: str) -> None:
    with pytest.raises(CommandLineError, match=f"^Invalid value for option --prefer \\({text}\\)$") as caught:
        read("80", "--prefer", text)
    assert caught.value.hint == "give the name or UID of a transfer syntax"


def test_limits_of_our_numbers() -> None:
    with pytest.raises(CommandLineError, match=r"^Invalid value for option --max-associations \(overflow: 1025\)$"):
        read("80", "--max-associations", "1025")


def test_port_may_be_left_out_if_a_socket_was_passed() -> None:
    assert parse([], PluginOptionRegistry(), port_optional=True) == CommandLine("run", Settings())
    with pytest.raises(CommandLineError, match=r"^Too many parameters$"):
        parse(["1", "2"], PluginOptionRegistry(), port_optional=True)


def test_verbose_pc_waits_for_the_log_configuration(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text('{"root": {"level": "INFO"}}')
    line = read("+v", "-lc", str(path), "80")
    assert line.settings == Settings(port=80, log_config=str(path), verbose_pc=True)


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("-fe a\t-fe\r\nb\n", ["-fe", "a", "-fe", "b"]),
        ("-fe \va\fb", ["-fe", "\va\fb"]),
        ("-fe \"a b\" -fe 'c d'", ["-fe", "a b", "-fe", "c d"]),
        ("-fe \"it's\" -fe '\"'", ["-fe", "it's", "-fe", '"']),
        ("-fe a'b c'-fe d", ["-fe", "ab c", "-fe", "d"]),
        ('-fe "a\nb"', ["-fe", "a\nb"]),
        ("-fe '' -fe \"\"", ["-fe", "", "-fe", ""]),
        ('-fe "b c', ["-fe", "b c"]),
        ('-dhl "', ["-dhl"]),
        ("-fe \\'a -fe b'", ["-fe", "\\a -fe b"]),
        ("-fe # -fe @words", ["-fe", "#", "-fe", "@words"]),
        ("", []),
    ],
)
def test_command_files_are_cut(tmp_path: Path, content: str, tokens: list[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(content.encode())
    assert expand(["x", f"@{path}", "y"]) == ["x", *tokens, "y"]


def test_bytes_of_file_names_survive_command_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"-od \xff")
    assert expand([f"@{tmp_path}/file"]) == ["-od", "\udcff"]


@pytest.mark.parametrize(
    ("tokens", "plugins"),
    [
        (["-v", "--plugin", "a", "1", "--plugin", "b"], ("a", "b")),
        (["-fe", "--plugin", "a"], ()),
        (["-xf", "--plugin", "--plugin", "--plugin", "a"], ("a",)),
        (["--plugin", "--plugin", "--plugin", "a"], ("--plugin", "a")),
        (["--of-a-plugin", "--plugin", "a"], ("a",)),
        (["--plugin"], ()),
    ],
)
def test_plugins_are_found_by_the_arities_of_builtin_options(tokens: list[str], plugins: tuple[str, ...]) -> None:
    assert find_plugins(tokens) == plugins


def test_values_of_plugin_options() -> None:
    registry = PluginOptionRegistry(taken=BY_NAME)
    options = registry.of("site")
    options.add("--site-root", value="directory", type=Path, default=Path("/data"))
    options.add("+deep", help="as deep as can be")
    options.add("--days", value="number", type=int)
    registry.of("other").add("--days-off", value="number", type=int, default=3)
    assert read("1", plugins=registry).settings.plugin_options == {
        "site": {"site_root": Path("/data"), "deep": False, "days": None},
        "other": {"days_off": 3},
    }
    given = read("1", "--site-root", "x", "--site-root", "-v", "+deep", "--days", "7", plugins=registry)
    assert given.settings.plugin_options["site"] == {"site_root": Path("-v"), "deep": True, "days": 7}
    with pytest.raises(CommandLineError, match=r"^Invalid value for option --days \(x\): an integer expected$"):
        read("1", "--days", "x", plugins=registry)
    with pytest.raises(CommandLineError, match=r"^Missing value for option --days$"):
        read("1", "--days", plugins=registry)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("a number of days from 1 to 30 expected"), " (x): a number of days from 1 to 30 expected"),
        (ValueError(), " (x)"),
    ],
)
def test_fault_23_a_converter_says_what_is_wrong(error: ValueError, said: str) -> None:
    def convert(text: str) -> int:
        raise error

    registry = PluginOptionRegistry(taken=BY_NAME)
    registry.of("site").add("--keep", value="days", type=convert)
    with pytest.raises(CommandLineError) as caught:
        read("1", "--keep", "x", plugins=registry)
    assert str(caught.value) == f"Invalid value for option --keep{said}"


LEVEL_NAMES = "give one of off, fatal, error, warn, info, debug, trace, all"
ACTIONS = "give one of replace-same, overwrite, rename, keep, refuse"
PORTS = "give a TCP port, an integer from 1 to 65535"
STORESCP = "it is an option of storescp; docs/migrating.md, 'Options of storescp', says what takes its place"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("--on-duplicate skip 1", ACTIONS),
        ("--on-duplicate replace 1", f"{ACTIONS}; did you mean replace-same?"),
        ("--min-free 10GB 1", "give bytes like 4096, 500M or 2G, from 0"),
        ("--worker-memory 1k 1", "give bytes like 4096, 500M or 2G, from 128M"),
        ("--max-request 1G 1", "give bytes like 4096, 500M or 2G, from 4K to 16M"),
        ("-ll verbose 1", LEVEL_NAMES),
        ("-ll warning 1", f"{LEVEL_NAMES}; did you mean warn?"),
        ("-pdu 1 1", "give an integer from 4096 to 131072"),
        ("-ta x 1", "give an integer from 1"),
        ("--output-dir x 1", "did you mean --output-directory?"),
        ("--keep-day 1 1", "did you mean --keep-days?"),
        ("-V 1", "did you mean -v?"),
        ("--acse-timeout=5 1", "a value is a word of its own: --acse-timeout VALUE"),
        ("--fork 1", STORESCP),
        ("+xa 1", STORESCP),
        ("-su study 1", STORESCP),
        ("--zzz 1", "--help lists all options, those of a plugin if --plugin names it"),
        ("-xf file", "give filename and profile after it"),
        ("--keep-days", "give days after it"),
        ("+v 1", "add -v, -d or -ll info"),
        ("1 2", "give one port, not 2 parameters; a value with blanks needs quotes"),
        ("--new-plugin x --template delver", "give one of naming, deliver, write, serve; did you mean deliver?"),
        ("--template write 1", "it says what --new-plugin NAME writes"),
        ("--new-plugin x 1 2", "give one directory, not 2 parameters; a value with blanks needs quotes"),
        ("x", PORTS),
        ("0", PORTS),
        ("-v", PORTS),
        ("@absent", "No such file or directory"),
    ],
)
def test_fault_24_what_is_allowed_is_named(words: str, hint: str) -> None:
    registry = PluginOptionRegistry(taken=BY_NAME)
    registry.of("site").add("--keep-days", value="days", type=int)
    with pytest.raises(CommandLineError) as caught:
        read(*words.split(), plugins=registry)
    assert caught.value.hint == hint


def test_fault_24_options_of_storescp_are_not_ours() -> None:
    assert not storescp.NAMES & BY_NAME.keys()


def test_converter_that_fails_unexpectedly_names_its_plugin() -> None:
    registry = PluginOptionRegistry(taken=BY_NAME)
    registry.of("site").add("--ratio", value="number", type=Decimal)
    with pytest.raises(PluginError, match=r"^plugin site: option --ratio cannot convert 'x': "):
        read("1", "--ratio", "x", plugins=registry)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["--plugin"], "plugin two: option --plugin belongs to dcmrecv itself"),
        (["-pm"], "plugin two: option -pm belongs to dcmrecv itself"),
        (["--taken"], "plugin two: plugin one declares option --taken too"),
        (["--a-b", "--a_b"], "plugin two: options --a-b and --a_b have the same key"),
        (["root"], "plugin two: 'root' is not a valid option name"),
        (["-1"], "plugin two: '-1' is not a valid option name"),
        (["--"], "plugin two: '--' is not a valid option name"),
        (["--a b"], "plugin two: '--a b' is not a valid option name"),
        (["--a="], "plugin two: '--a=' is not a valid option name"),
    ],
)
def test_names_that_plugins_cannot_take(names: list[str], text: str) -> None:
    registry = PluginOptionRegistry(taken=BY_NAME)
    registry.of("one").add("--taken")
    options = registry.of("two")
    *fine, refused = names
    for name in fine:
        options.add(name)
    with pytest.raises(PluginError) as raised:
        options.add(refused)
    assert str(raised.value).startswith(text)


TOKENS = st.one_of(st.sampled_from(sorted(BY_NAME)), st.text(max_size=4), st.integers().map(str))


@settings(deadline=None, max_examples=200)
@given(st.lists(TOKENS, max_size=8))
def test_any_command_line_is_read_or_refused(tokens: list[str]) -> None:
    find_plugins(tokens)
    with suppress(CommandLineError):
        parse(tokens, PluginOptionRegistry())
