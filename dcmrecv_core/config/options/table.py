"""The one table of options: command line, help, man page and settings keys all come from it.

Its order is the order of the help and the order in which values are checked. Reading a command line by it is
`config/commandline.py`, showing it `config/help.py`; plugins declare theirs by `api/options.py`.
"""

from __future__ import annotations

from dcmrecv_core.config.options.limits import LIMITS
from dcmrecv_core.config.options.option import Group, Option, Section, Value, flag, flatten, one_of, valued, without_key
from dcmrecv_core.config.options.tls import TLS

PORT = Value("port", "integer", 1, 65535)
"""The parameter after all options."""

_GENERAL = Section(
    "general options",
    Group(
        "",
        flag("--help -h", "show this text and exit", action="help"),
        flag("--version", "show version, host and libraries, and exit", action="version"),
        flag("--arguments", "show the command line with @files expanded"),
        *one_of(
            flag("--quiet -q", "log nothing but fatal errors", log_level="fatal"),
            flag("--verbose -v", "log what is being done", log_level="info"),
            flag("--debug -d", "log everything that helps to find faults", log_level="debug"),
        ),
        valued(
            "--log-level -ll",
            "log messages from level l up\n(fatal, error, warn, info, debug, trace)",
            Value("level", "level"),
        ),
        valued(
            "--log-config -lc",
            "configure logging by file f: log4cplus properties, or\nPython's logging.config (.toml, .json, ini)",
            Value("filename"),
        ),
        valued(
            "--log-format",
            "on standard error: text, or json, which is one object\na line with time, level, sender and instance",
            Value("format", "choice", choices=("text", "json")),
            default="text",
        ),
        valued(
            "--log-uids",
            "UIDs of instances, series and studies in the log:\noriginal, or hashed with a key in the state directory",
            Value("how", "choice", choices=("original", "hashed")),
            default="original",
        ),
        flag(
            "--verbose-pc +v",
            "log the presentation contexts of each association\n(only with -v, -d or log level info)",
            verbose_pc=True,
        ),
        valued(
            "--settings",
            "read settings from TOML file f; command-line options\ntake precedence",
            Value("filename"),
            key="settings_file",
        ),
        flag("--dump-settings", "show all settings as a file for --settings, and exit", action="dump-settings"),
    ),
)

_PLUGINS = Section(
    "plugin options",
    Group(
        "",
        valued(
            "--plugin",
            "load plugin n: an installed plugin's name, a module\nor a .py file (repeatable)",
            Value("name"),
            key="plugins",
            repeatable=True,
        ),
        valued(
            "--plugins-dir",
            "load every plugin in directory d: its .py files and\npackages, in the order of their names (repeatable)",
            Value("directory"),
            repeatable=True,
        ),
        flag(
            "--reload-plugins",
            "load plugins anew when one of their files changes\n(only for development)",
            reload_plugins=True,
        ),
        valued(
            "--new-plugin",
            "write the package of a new plugin called n, and exit:\n"
            "the parameter is its directory (default: dcmrecv-n)",
            Value("name"),
            action="new-plugin",
        ),
        without_key(
            "--template",
            "what the new plugin does: naming, deliver, write or\nserve (only with --new-plugin; default: naming)",
            Value("template", "choice", choices=("naming", "deliver", "write", "serve")),
        ),
        flag(
            "--trace-hooks",
            "log result and time of each call of a plugin's hook\n(only with -v, -d or log level info)",
            trace_hooks=True,
        ),
    ),
)

_INSPECTION = Section(
    "inspection options (without network)",
    Group(
        "",
        flag(
            "--list-plugins",
            "show all plugins and their options, which of them are\nactive and the order of asking them, and exit",
            action="list-plugins",
        ),
        flag(
            "--explain",
            "show how the given files would be handled, and exit:\n"
            "the parameters are files and directories, not a port",
            action="explain",
        ),
        without_key(
            "--as",
            "as if t sent them: calling[@address]\n(only with --explain; default: EXPLAIN@127.0.0.1)",
            Value("title"),
        ),
        without_key(
            "--to",
            "as if they were sent to title t\n(only with --explain; default: that of -aet)",
            Value("title"),
        ),
        flag("--json", "show it as JSON (only with --list-plugins or --explain)"),
    ),
)

_NETWORK = Section(
    "network options",
    Group(
        "accepted presentation contexts (default: Verification only)",
        valued("--config-file -xf", "accept what profile p in file f lists", Value("filename"), Value("profile")),
        flag(
            "--promiscuous -pm",
            "accept Verification and every SOP class that may be\nstored, in any transfer syntax",
            promiscuous=True,
        ),
        valued(
            "--prefer",
            "choose transfer syntax s before all others, wherever\nit is proposed and accepted (repeatable)",
            Value("syntax", "transfer-syntax"),
            repeatable=True,
        ),
    ),
    Group(
        "application entity title",
        *one_of(
            valued(
                "--aetitle -aet",
                "our own title (no effect: any called title is accepted)",
                Value("aetitle"),
                key="ae_title",
                default="DCMRECV",
            ),
            flag(
                "--use-called-aetitle -uca", "our title is the one that was called (no effect, as -aet)", ae_title=None
            ),
        ),
    ),
    Group(
        "IP protocol version",
        *one_of(
            flag("--ipv4 -i4", "IPv4 only (default)", ip_version="ipv4"),
            flag("--ipv6 -i6", "IPv6 only", ip_version="ipv6"),
            flag("--ip-auto -i0", "both IPv6 and IPv4", ip_version="any"),
        ),
    ),
    Group(
        "other network options",
        valued(
            "--acse-timeout -ta",
            "time for a complete association request",
            Value("seconds", "integer", 1),
            default="30",
        ),
        valued(
            "--dimse-timeout -td",
            "time to wait for the next message or part of it",
            Value("seconds", "integer", 1),
            default="unlimited",
        ),
        valued(
            "--max-pdu -pdu",
            "largest PDU that peers may send",
            Value("number of bytes", "integer", 4096, 131072),
            default="16384",
        ),
        flag("--disable-host-lookup -dhl", "log addresses instead of host names", disable_host_lookup=True),
        valued("--bind", "listen on this local address only", Value("address"), default="all"),
        valued(
            "--proxy-from",
            "load balancers with these addresses say first whose\nconnection it is, by PROXY protocol (repeatable)",
            Value("network", "network"),
            repeatable=True,
        ),
    ),
)

_OUTPUT = Section(
    "output options",
    Group(
        "general",
        valued(
            "--output-directory -od", "existing directory for everything received", Value("directory"), default='"."'
        ),
        valued(
            "--state-dir",
            "for data that plugins keep across restarts\n(default: .dcmrecv in the output directory)",
            Value("directory"),
        ),
    ),
    Group(
        "subdirectory generation",
        *one_of(
            flag("--no-subdir -s", "all files directly in the output directory (default)", subdirs="no-subdir"),
            flag(
                "--series-date-subdir +ssd",
                "data/YYYY/MM/DD by Series Date, undef/YYYYMMDD\nby today's date where there is none",
                subdirs="series-date",
            ),
        ),
    ),
    Group(
        "filename generation",
        *one_of(
            flag("--default-filenames +fd", "modality and SOP Instance UID (default)", filenames="instance-uid"),
            flag("--unique-filenames +fu", "modality, X and a new UID", filenames="unique"),
            flag("--short-unique-names +fsu", "modality and 16 random hexadecimal digits", filenames="short-unique"),
            flag("--system-time-names +fst", "time of arrival and modality", filenames="system-time"),
        ),
        valued(
            "--layout",
            "directories and names by pattern p instead, like\n'{PatientID}/{StudyDate:%Y/%m}/{SOPInstanceUID}.dcm'",
            Value("pattern"),
        ),
        valued(
            "--layout-limit",
            "shorten names so that paths of --layout have n bytes\nat most, counted from the output directory",
            Value("number", "integer", 24, 4095),
        ),
        valued(
            "--filename-extension -fe", "append e to every file name, unchanged", Value("extension"), default="none"
        ),
        valued(
            "--on-duplicate",
            "if a file of that name exists: leave equal content,\n"
            "else replace-same, overwrite, rename, keep or refuse\n"
            "(default: replace-same; with +fd overwrite without looking)",
            Value("action", "choice", choices=("replace-same", "overwrite", "rename", "keep", "refuse")),
        ),
    ),
    Group(
        "storage mode",
        *one_of(
            flag("--normal -B", "store what can be read to its end (default)", storage_mode="normal", ignore=False),
            flag(
                "--bit-preserving +B",
                "store exactly what was received, unchecked",
                storage_mode="bit-preserving",
                ignore=False,
            ),
            flag("--ignore", "check what is received, store nothing", storage_mode="normal", ignore=True),
        ),
        flag(
            "--strict",
            "refuse data that break rules of the standard\ninstead of storing them with a warning",
            strict=True,
        ),
    ),
    Group(
        "durability",
        *one_of(
            flag("--fsync", "confirm an instance when it is safe on disk (default)", fsync=True),
            flag("--no-fsync", "confirm it when its file is complete", fsync=False),
        ),
        flag(
            "--strict-fsync",
            "flush file and directory separately even where the\nfile system's journal makes one flush enough",
            strict_fsync=True,
        ),
    ),
)

_DELIVERY = Section(
    "delivery options (for plugins with work to do after storing)",
    Group(
        "",
        valued(
            "--study-timeout",
            "a study or series is complete so long after its last\ninstance; while its association is open, 10 times",
            Value("seconds", "integer", 1),
            default="60",
        ),
        valued(
            "--deliver-attempts",
            "put a delivery aside after n failures (0: never)",
            Value("number", "integer", 0, zero_is_none=True),
            default="0",
        ),
        valued(
            "--deliver-processes",
            "processes for each target of a plugin",
            Value("number", "integer", 1, 64),
            default="1",
        ),
        valued(
            "--journal",
            "keep journal and queues in PostgreSQL, which several\nreceivers share: postgresql://HOST/DATABASE",
            Value("url"),
            key="journal",
            secret=True,
        ),
        flag(
            "--journal-flush",
            "flush the record of each instance before it is\nconfirmed, not once a second",
            journal_flush=True,
        ),
        flag(
            "--digest",
            "take a digest of each data set (XXH128), kept in\nthe event (needs dcmrecv[digest])",
            digest=True,
        ),
    ),
)

OPTIONS: tuple[Option, ...] = flatten([_GENERAL, _PLUGINS, _INSPECTION, _NETWORK, LIMITS, TLS, _OUTPUT, _DELIVERY])

BY_NAME: dict[str, Option] = {name: option for option in OPTIONS for name in (option.long, option.short) if name}
"""Every built-in option by its long and by its short name."""
