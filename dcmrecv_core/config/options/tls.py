"""The TLS options (those of DCMTK 3.6.7), and which of them exclude each other."""

from __future__ import annotations

from collections.abc import Collection

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.config.options.option import Group, Section, Value, flag, one_of, valued

TLS = Section(
    "transport layer security (TLS) options",
    Group(
        "transport protocol stack",
        *one_of(
            flag("--disable-tls -tls", "plain TCP/IP (default)", tls=None),
            valued(
                "--enable-tls +tls",
                "TLS with this key and certificate",
                Value("private key file"),
                Value("certificate file"),
                key="tls",
            ),
        ),
    ),
    Group(
        "private key password (only with --enable-tls)",
        *one_of(
            flag("--std-passwd +ps", "ask for it at the start if the key needs one (default)", tls_password=None),
            valued(
                "--use-passwd +pw",
                "this password (every user of the host can see it)",
                Value("password"),
                key="tls_password",
                secret=True,
            ),
            flag("--null-passwd -pw", "no password; never prompt", tls_password=""),
        ),
    ),
    Group(
        "key and certificate file format",
        *one_of(
            flag("--pem-keys -pem", "all files are PEM (default)", tls_format="pem"),
            flag("--der-keys -der", "all files except DH parameters are DER", tls_format="der"),
        ),
    ),
    Group(
        "certification authority",
        valued(
            "--add-cert-file +cf",
            "trust the certificates in file f (repeatable)",
            Value("filename"),
            key="tls_ca_files",
            repeatable=True,
        ),
        valued(
            "--add-cert-dir +cd",
            "trust the certificates in directory d, named by\n`openssl rehash` (repeatable)",
            Value("directory"),
            key="tls_ca_directories",
            repeatable=True,
        ),
        valued(
            "--add-crl-file +crl",
            "use the revocation list in file f (repeatable,\nimplies --enable-crl-vfy)",
            Value("filename"),
            key="tls_crl_files",
            repeatable=True,
        ),
        flag("--enable-crl-vfy +crv", "refuse peers whose certificate is revoked", tls_crl_check="leaf"),
        flag("--enable-crl-all +cra", "the same for every certificate up to the root", tls_crl_check="chain"),
    ),
    Group(
        "security profile",
        *one_of(
            flag(
                "--profile-bcp195-nd +py",
                "BCP 195, non-downgrading: TLS 1.2 and 1.3 (default)",
                tls_profile="bcp195-nd",
            ),
            flag("--profile-bcp195 +px", "BCP 195, downgrading: TLS 1.0 and 1.1 as well", tls_profile="bcp195"),
            flag(
                "--profile-bcp195-ex +pz", "extended BCP 195: strong ciphers of TLS 1.2 only", tls_profile="bcp195-ex"
            ),
            flag("--profile-aes +pa", "AES of TLS 1.0 to 1.2 (retired)", tls_profile="aes"),
            flag("--profile-null +pn", "authenticated but not encrypted (retired)", tls_profile="null"),
        ),
    ),
    Group(
        "ciphersuite",
        flag("--list-ciphers +cc", "show the names for --cipher and exit", action="list-ciphers"),
        valued(
            "--cipher +cs",
            "allow this ciphersuite in addition to the profile's\n(repeatable, not with --profile-bcp195-ex)",
            Value("ciphersuite name"),
            key="tls_ciphers",
            repeatable=True,
        ),
        valued(
            "--dhparam +dp",
            "DH parameters for DHE ciphersuites, in PEM",
            Value("filename"),
            key="tls_dh_file",
            default="ffdhe2048",
        ),
    ),
    Group(
        "pseudo random generator",
        valued("--seed +rs", "seed the random generator with the content of f", Value("filename"), key="tls_seed_file"),
        flag("--write-seed +ws", "write new random bytes to it (only with --seed)", tls_write_seed=True),
        valued(
            "--write-seed-file +wf",
            "write them to file f (only with --seed)",
            Value("filename"),
            key="tls_write_seed_file",
        ),
    ),
    Group(
        "peer authentication",
        *one_of(
            flag(
                "--require-peer-cert -rc",
                "refuse peers without a valid certificate (default)",
                tls_peer_certificate="require",
            ),
            flag("--verify-peer-cert -vc", "refuse peers with an invalid certificate", tls_peer_certificate="verify"),
            flag("--ignore-peer-cert -ic", "ask peers for no certificate", tls_peer_certificate="ignore"),
        ),
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
    """Raises CommandLineError with DCMTK's text if TLS is not `enabled` though options that are `given` (long names)
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
