"""The part of the table of options that is about TLS (DCMTK 3.6.7's), and what may stand beside what."""

from __future__ import annotations

from collections.abc import Collection

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.config.options.option import Option, Value

_SECTION = "transport layer security (TLS) options"

_STACK = "transport protocol stack"
_PASSWORD = "private key password (only with --enable-tls)"
_FORMAT = "key and certificate file format"
_AUTHORITY = "certification authority"
_PROFILE = "security profile"
_CIPHERS = "ciphersuite"
_RANDOM = "pseudo random generator"
_PEER = "peer authentication"

TLS_OPTIONS: tuple[Option, ...] = (
    Option(
        _SECTION,
        _STACK,
        "--disable-tls",
        "-tls",
        "plain TCP/IP (default)",
        sets={"tls": None},
        exclusive="tls",
    ),
    Option(
        _SECTION,
        _STACK,
        "--enable-tls",
        "+tls",
        "TLS with this key and certificate",
        values=(Value("private key file"), Value("certificate file")),
        key="tls",
        exclusive="tls",
    ),
    Option(
        _SECTION,
        _PASSWORD,
        "--std-passwd",
        "+ps",
        "ask for it at the start if the key needs one (default)",
        sets={"tls_password": None},
        exclusive="password",
    ),
    Option(
        _SECTION,
        _PASSWORD,
        "--use-passwd",
        "+pw",
        "this password (every user of the host can see it)",
        values=(Value("password"),),
        key="tls_password",
        exclusive="password",
        secret=True,
    ),
    Option(
        _SECTION,
        _PASSWORD,
        "--null-passwd",
        "-pw",
        "none: never ask",
        sets={"tls_password": ""},
        exclusive="password",
    ),
    Option(
        _SECTION,
        _FORMAT,
        "--pem-keys",
        "-pem",
        "all files are PEM (default)",
        sets={"tls_format": "pem"},
        exclusive="format",
    ),
    Option(
        _SECTION,
        _FORMAT,
        "--der-keys",
        "-der",
        "all files but DH parameters are DER",
        sets={"tls_format": "der"},
        exclusive="format",
    ),
    Option(
        _SECTION,
        _AUTHORITY,
        "--add-cert-file",
        "+cf",
        "trust the certificates in file f (repeatable)",
        values=(Value("filename"),),
        key="tls_ca_files",
        repeatable=True,
    ),
    Option(
        _SECTION,
        _AUTHORITY,
        "--add-cert-dir",
        "+cd",
        "trust the certificates in directory d, named by\n`openssl rehash` (repeatable)",
        values=(Value("directory"),),
        key="tls_ca_directories",
        repeatable=True,
    ),
    Option(
        _SECTION,
        _AUTHORITY,
        "--add-crl-file",
        "+crl",
        "use the revocation list in file f (repeatable,\nimplies --enable-crl-vfy)",
        values=(Value("filename"),),
        key="tls_crl_files",
        repeatable=True,
    ),
    Option(
        _SECTION,
        _AUTHORITY,
        "--enable-crl-vfy",
        "+crv",
        "refuse peers whose certificate is revoked",
        sets={"tls_crl_check": "leaf"},
    ),
    Option(
        _SECTION,
        _AUTHORITY,
        "--enable-crl-all",
        "+cra",
        "the same for every certificate up to the root",
        sets={"tls_crl_check": "chain"},
    ),
    Option(
        _SECTION,
        _PROFILE,
        "--profile-bcp195-nd",
        "+py",
        "BCP 195, non-downgrading: TLS 1.2 and 1.3 (default)",
        sets={"tls_profile": "bcp195-nd"},
        exclusive="profile",
    ),
    Option(
        _SECTION,
        _PROFILE,
        "--profile-bcp195",
        "+px",
        "BCP 195, downgrading: TLS 1.0 and 1.1 as well",
        sets={"tls_profile": "bcp195"},
        exclusive="profile",
    ),
    Option(
        _SECTION,
        _PROFILE,
        "--profile-bcp195-ex",
        "+pz",
        "extended BCP 195: strong ciphers of TLS 1.2 only",
        sets={"tls_profile": "bcp195-ex"},
        exclusive="profile",
    ),
    Option(
        _SECTION,
        _PROFILE,
        "--profile-aes",
        "+pa",
        "AES of TLS 1.0 to 1.2 (retired)",
        sets={"tls_profile": "aes"},
        exclusive="profile",
    ),
    Option(
        _SECTION,
        _PROFILE,
        "--profile-null",
        "+pn",
        "authenticated but not encrypted (retired)",
        sets={"tls_profile": "null"},
        exclusive="profile",
    ),
    Option(
        _SECTION,
        _CIPHERS,
        "--list-ciphers",
        "+cc",
        "show the names for --cipher and exit",
        action="list-ciphers",
    ),
    Option(
        _SECTION,
        _CIPHERS,
        "--cipher",
        "+cs",
        "allow this ciphersuite beside the profile's\n(repeatable, not with --profile-bcp195-ex)",
        values=(Value("ciphersuite name"),),
        key="tls_ciphers",
        repeatable=True,
    ),
    Option(
        _SECTION,
        _CIPHERS,
        "--dhparam",
        "+dp",
        "DH parameters for DHE ciphersuites, in PEM",
        values=(Value("filename"),),
        key="tls_dh_file",
        default="ffdhe2048",
    ),
    Option(
        _SECTION,
        _RANDOM,
        "--seed",
        "+rs",
        "stir the content of f into the random generator",
        values=(Value("filename"),),
        key="tls_seed_file",
    ),
    Option(
        _SECTION,
        _RANDOM,
        "--write-seed",
        "+ws",
        "write new random bytes to it (only with --seed)",
        sets={"tls_write_seed": True},
    ),
    Option(
        _SECTION,
        _RANDOM,
        "--write-seed-file",
        "+wf",
        "write them to file f (only with --seed)",
        values=(Value("filename"),),
        key="tls_write_seed_file",
    ),
    Option(
        _SECTION,
        _PEER,
        "--require-peer-cert",
        "-rc",
        "refuse peers without a valid certificate (default)",
        sets={"tls_peer_certificate": "require"},
        exclusive="peer",
    ),
    Option(
        _SECTION,
        _PEER,
        "--verify-peer-cert",
        "-vc",
        "refuse peers with an invalid certificate",
        sets={"tls_peer_certificate": "verify"},
        exclusive="peer",
    ),
    Option(
        _SECTION,
        _PEER,
        "--ignore-peer-cert",
        "-ic",
        "ask peers for no certificate",
        sets={"tls_peer_certificate": "ignore"},
        exclusive="peer",
    ),
)

# In the order in which the original complains about them.
_NEED_TLS = (
    "--std-passwd",
    "--use-passwd",
    "--null-passwd",
    "--pem-keys",
    "--der-keys",
    "--dhparam",
    "--seed",
    "--write-seed",
    "--write-seed-file",
    "--require-peer-cert",
    "--ignore-peer-cert",
    "--verify-peer-cert",
    "--profile-bcp195",
    "--profile-bcp195-nd",
    "--profile-bcp195-ex",
    "--profile-aes",
    "--profile-null",
    "--add-cert-file",
    "--add-cert-dir",
    "--add-crl-file",
    "--enable-crl-vfy",
    "--enable-crl-all",
    "--cipher",
)


def check(given: Collection[str], effective: Collection[str], *, enabled: bool) -> None:
    """Raises CommandLineError with dcmrecv's text if TLS is not `enabled` though options that are `given` (long names)
    need it, or if those that are `effective`, the rightmost of each exclusive set, do not fit each other."""
    if not enabled:
        for name in _NEED_TLS:
            if name in given:
                raise CommandLineError(f"{name} only allowed with --enable-tls")
    for name in ("--write-seed", "--write-seed-file"):
        if name in effective and "--seed" not in effective:
            raise CommandLineError(f"{name} only allowed with --seed")
    for name, other in (("--enable-crl-all", "--enable-crl-vfy"), ("--cipher", "--profile-bcp195-ex")):
        if name in effective and other in effective:
            raise CommandLineError(f"{name} not allowed with {other}")
