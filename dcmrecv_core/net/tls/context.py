"""Makes an `ssl.SSLContext` from the TLS settings, before workers are forked, and again at each reload.

Files are read in DCMTK's order: trusted certificates, revocation lists, key and certificate, ciphersuites, DH
parameters. A file that is not indispensable only causes a warning.
"""

from __future__ import annotations

import errno
import getpass
import logging
import os
import re
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

from dcmrecv_core.api.errors import TlsError
from dcmrecv_core.net.tls import der
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.settings.tls_profiles import PROFILES

log = logging.getLogger("dcmrecv.tls")

_DH_PARAMETERS = Path(__file__).with_name("ffdhe2048.pem")  # RFC 7919, appendix A.1
_SEED_LENGTH = 1024  # what OpenSSL's RAND_write_file writes
_LONGEST_SEED = 1 << 16
_VERIFY_MODES = {"require": ssl.CERT_REQUIRED, "verify": ssl.CERT_OPTIONAL, "ignore": ssl.CERT_NONE}
_CRL_FLAGS = {None: 0, "leaf": ssl.VERIFY_CRL_CHECK_LEAF, "chain": ssl.VERIFY_CRL_CHECK_CHAIN}
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_REHASHED = re.compile(r"[0-9a-f]{8}\.r?[0-9]+")
_PLACE_IN_PYTHON = re.compile(r"^\[\w+\] |:? \(_ssl\.c:\d+\)$")


def ask_on_terminal() -> str:
    """Ask for the password of a key as OpenSSL does; "" if standard input has ended."""
    try:
        with warnings.catch_warnings():
            # without a terminal read standard input, as DCMTK does
            warnings.simplefilter("ignore", getpass.GetPassWarning)
            return getpass.getpass("Enter PEM pass phrase:")
    except EOFError:
        return ""


class ContextMaker:
    """Makes contexts, the first one at the start, the others at reloads.

    Only the first may ask for a password; the others use the same answer.
    """

    def __init__(self, ask: Callable[[], str] = ask_on_terminal) -> None:
        self._ask: Callable[[], str] | None = ask
        self._answer = ""

    def make(self, settings: Settings) -> ssl.SSLContext | None:
        """The context for `settings`, None without TLS. Raises TlsError (exit code 71) with DCMTK's text."""
        context = None if settings.tls is None else self._make(settings, *settings.tls)
        self._ask = None
        return context

    def _password(self) -> str:
        if self._ask is not None:
            self._answer = self._ask()
        return self._answer

    def _make(self, settings: Settings, key: str, certificate: str) -> ssl.SSLContext:
        directory = settings.working_directory
        if self._ask is not None and settings.tls_seed_file is not None:
            _use_seed_files(settings, os.path.join(directory, settings.tls_seed_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        profile = PROFILES[settings.tls_profile]
        profile.apply(context, ())  # its security level decides which keys and certificates can be loaded
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.verify_mode = _VERIFY_MODES[settings.tls_peer_certificate]
        is_der = settings.tls_format == "der"
        for name in settings.tls_ca_files:
            _trust(context, os.path.join(directory, name), name, "certificate", "CERTIFICATE" if is_der else None)
        directories = [
            _trust_directory(context, os.path.join(directory, name), name, is_der=is_der)
            for name in settings.tls_ca_directories
        ]
        for name in settings.tls_crl_files:
            _trust(context, os.path.join(directory, name), name, "CRL", "X509 CRL" if is_der else None)
        context.verify_flags |= _CRL_FLAGS[settings.tls_crl_check or ("leaf" if settings.tls_crl_files else None)]
        given = settings.tls_password
        password = self._password if given is None else (lambda: given)
        _load_key(context, directory, key, certificate, password, is_der=is_der)
        profile.apply(context, settings.tls_ciphers)
        _load_dh_parameters(context, directory, settings.tls_dh_file)
        if not any(directories):
            _warn_of_what_is_missing(context)
        return context


def reason_of(error: Exception) -> str:
    """OpenSSL's text for an error, for example `certificate verify failed`."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return _PLACE_IN_PYTHON.sub("", (isinstance(error, OSError) and error.strerror) or str(error))


def _log_reason(error: Exception) -> None:
    log.error("OpenSSL error: %s", reason_of(error))


def _trust(context: ssl.SSLContext, path: str, shown: str, what: str, der_label: str | None) -> None:
    try:
        if what == "CRL":
            _refuse_certificates(path, der_label)
        with der.readable(path, der_label) as readable:
            context.load_verify_locations(cafile=readable)
    except OSError as error:
        _log_reason(error)
        log.warning("unable to load %s file '%s', ignoring", what, shown)


def _refuse_certificates(path: str, der_label: str | None) -> None:
    """Raises OSError if the file contains certificates: a file that revokes trust must not add any."""
    alone = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with der.readable(path, der_label) as readable:
        alone.load_verify_locations(cafile=readable)
    if alone.cert_store_stats()["x509"]:
        raise OSError(errno.EINVAL, "certificates among the revocation lists")


def _trust_directory(context: ssl.SSLContext, path: str, shown: str, *, is_der: bool) -> bool:
    """Whether OpenSSL will search the directory at each handshake; files in DER are read now."""
    try:
        files = sorted(Path(path).iterdir())
    except OSError as error:
        _log_reason(error)
        log.warning("unable to read certificate directory '%s', ignoring", shown)
        return False
    if is_der:
        for file in files:
            _trust(context, str(file), str(file), "certificate", "CERTIFICATE")
        return False
    context.load_verify_locations(capath=path)
    if not any(_REHASHED.fullmatch(file.name) for file in files):
        log.warning("no certificate in directory '%s' will be found: name them by openssl rehash", shown)
    return True


def _warn_of_what_is_missing(context: ssl.SSLContext) -> None:
    """DCMTK goes on without a file that it cannot read, and refuses every sender."""
    if context.verify_mode == ssl.CERT_NONE:
        return
    whom = "every sender" if context.verify_mode == ssl.CERT_REQUIRED else "every sender that has a certificate"
    found = context.cert_store_stats()
    if not found["x509"]:
        log.warning(
            "%s will be refused, because no certificate is trusted: see --add-cert-file, --add-cert-dir and "
            "--ignore-peer-cert",
            whom,
        )
    elif not found["crl"] and context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF:
        log.warning("%s will be refused, because there is no revocation list: see --add-crl-file", whom)


def _load_key(
    context: ssl.SSLContext, directory: str, key: str, certificate: str, password: Callable[[], str], *, is_der: bool
) -> None:
    """Load key and certificate; check each alone first, as DCMTK does, because OpenSSL does not say which is wrong."""
    key_path, certificate_path = os.path.join(directory, key), os.path.join(directory, certificate)
    certificate_label = "CERTIFICATE" if is_der else None
    try:
        key_label = _key_label(Path(key_path).read_bytes(), is_der=is_der)
    except (OSError, ValueError) as error:
        raise _key_error(key, error) from error
    try:
        with der.readable(certificate_path, certificate_label) as readable:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cafile=readable)
    except OSError as error:
        _log_reason(error)
        raise TlsError(f"000b:0005 Unable to load certificate from '{certificate}'") from error
    try:
        with (
            der.readable(certificate_path, certificate_label) as readable,
            der.readable(key_path, key_label) as key_pem,
        ):
            context.load_cert_chain(readable, key_pem, password)
    except (OSError, ValueError) as error:  # ValueError: a password of more than 1024 bytes
        if isinstance(error, ssl.SSLError) and error.reason in _MISMATCHES:
            raise TlsError(f"000b:0006 Private key '{key}' and certificate '{certificate}' do not match") from error
        raise _key_error(key, error) from error


def _key_label(data: bytes, *, is_der: bool) -> str | None:
    """The PEM label of a key in DER, None for a key in PEM. Raises ValueError if it is no key."""
    if is_der:
        return der.key_label(data)
    if b"PRIVATE KEY-----" not in data:
        raise ValueError("no private key in it")
    return None


def _key_error(key: str, error: Exception) -> TlsError:
    hint = " (another password, or no key in this format)" if isinstance(error, ssl.SSLError) else ""
    log.error("OpenSSL error: %s%s", reason_of(error), hint)
    return TlsError(f"000b:0004 Unable to load private TLS key from '{key}'")


def _load_dh_parameters(context: ssl.SSLContext, directory: str, name: str | None) -> None:
    if name is not None:
        try:
            context.load_dh_params(os.path.join(directory, name))
            return
        except OSError:
            log.warning("unable to load temporary DH parameter file '%s', ignoring", name)
    context.load_dh_params(str(_DH_PARAMETERS))


def _use_seed_files(settings: Settings, path: str) -> None:
    """`--seed` and its companions. OpenSSL seeds itself from the system; a seed file only adds to that."""
    out = settings.tls_write_seed_file or (settings.tls_seed_file if settings.tls_write_seed else None)
    try:
        with open(path, "rb") as file:
            ssl.RAND_add(file.read(_LONGEST_SEED), 0.0)
    except OSError as error:
        log.warning("unable to read random seed file '%s', ignoring: %s", settings.tls_seed_file, error.strerror)
    if out is None:
        return
    try:
        fd = os.open(os.path.join(settings.working_directory, out), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(fd, "wb") as file:
            file.write(ssl.RAND_bytes(_SEED_LENGTH))
    except OSError as error:
        log.warning("unable to write random seed file '%s', ignoring: %s", out, error.strerror)
