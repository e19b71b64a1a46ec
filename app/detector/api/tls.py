"""The certificate of the service: one that it is given, or one of a local authority of its own."""

import asyncio
import ipaddress
import logging
import os
import re
import shlex
import socket
import ssl
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from filelock import FileLock
from uvicorn import Config

from detector.addresses import without_port
from detector.settings import Settings

__all__ = ["Files", "advice", "context", "local", "prepare"]

_log = logging.getLogger("detector.tls")
_LOOK_SECONDS = 60.0
_LOCK_SECONDS = 10.0
_AUTHORITY_DAYS = 3650
# Clients refuse longer ones of public authorities, and some those of any.
_SERVER_DAYS = 397
_RENEWED_BEFORE = timedelta(days=30)
# Clocks of clients may be behind.
_CLOCKS_DIFFER = timedelta(hours=1)
_NAME = re.compile(r"[a-z0-9_.-]{1,253}")
_CERTIFICATE, _KEY = "DETECTOR_TLS_CERTIFICATE", "DETECTOR_TLS_KEY"


@dataclass(frozen=True)
class Files:
    """What TLS is spoken with, as PEM files; all None where it is not.

    Where the certificate is of the local authority, ``authority`` is what clients must trust, and
    ``names`` are those by which they may call the service.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    names: tuple[str, ...] = ()


def prepare(settings: Settings) -> Files:
    """Return the files of the settings, checked, or made where the authority is to be local.

    Raises
    ------
    ValueError
        For a file that is no good, saying what to change in one sentence, without its stop.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if (certificate is None) != (key is None):
        raise ValueError(f"{_CERTIFICATE} and {_KEY} go together; set both, or none")
    if settings.tls and certificate:
        raise ValueError(
            f"DETECTOR_TLS=self makes a certificate, and {_CERTIFICATE} names one; set one of them"
        )
    if settings.tls:
        return local(settings.tls_folder, _names(settings))
    if certificate is None or key is None:
        return Files()
    _check(certificate, key)
    return Files(certificate, key)


def context(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return what a process speaks TLS with: uvicorn's own, which follows renewed files."""
    made = default()
    # Older versions of OpenSSL let clients ask for one handshake after the other.
    made.options |= ssl.OP_NO_RENEGOTIATION
    _follow(asyncio.get_running_loop(), made, _written(prepare(Settings())))
    return made


def _follow(loop: asyncio.AbstractEventLoop, made: ssl.SSLContext, seen: list[int]) -> None:
    """Take up files that have been renewed, renew those of the authority, and look again."""
    try:
        # They fit each other: what does not would leave the context without a key.
        files = prepare(Settings())
        written = _written(files)
        if files.certificate and written != seen:
            made.load_cert_chain(files.certificate, files.key)
            seen = written
            _log.info("certificate renewed")
    except (ValueError, OSError) as error:
        _log.warning("certificate not renewed", extra={"reason": f"{error}"})
    loop.call_later(_LOOK_SECONDS, _follow, loop, made, seen)


def _written(files: Files) -> list[int]:
    return [file.stat().st_mtime_ns for file in (files.certificate, files.key) if file]


def local(folder: Path, names: Sequence[str]) -> Files:
    """Return a certificate for names and addresses, of the authority that is kept in a folder.

    The authority is made once. The certificate is made anew when the names have changed or when it
    ends within 30 days.

    Raises
    ------
    ValueError
        Where the folder cannot be written to, or what is in it does not go together.
    """
    authority, server = folder / "authority.pem", folder / "server.pem"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not _is_good(server, authority, names):
            # Several services may share a folder, and start together.
            with FileLock(folder / "lock", timeout=_LOCK_SECONDS):
                issuer = _authority(authority, folder / "authority.key")
                if not _is_good(server, authority, names):
                    _issue(server, issuer, folder / "authority.key", names)
    except OSError as error:
        raise ValueError(
            f"the service keeps its certificates in {folder}, where it cannot read and write "
            f"({error.strerror or error}); set DETECTOR_TLS_FOLDER to a folder of its own"
        ) from None
    return Files(server, server, authority.absolute(), tuple(names))


def advice(files: Files) -> str:
    """Return how clients are told to trust the authority, as lines of text."""
    file = shlex.quote(str(files.authority))
    return textwrap.dedent(f"""\
        TLS: clients call {", ".join(files.names)}, and trust {file}
          curl    --cacert {file}
          Python  export REQUESTS_CA_BUNDLE={file} SSL_CERT_FILE={file}
          Node    export NODE_EXTRA_CA_CERTS={file}
          Java    keytool -importcert -noprompt -alias anomaly-detector -file {file} \\
                    -keystore trust.p12 -storetype PKCS12 -storepass changeit
                  java -Djavax.net.ssl.trustStore=trust.p12 \\
                    -Djavax.net.ssl.trustStorePassword=changeit
          .NET    Linux: export SSL_CERT_FILE={file}
                  Windows: certutil -addstore -user Root authority.pem
        Other names go into DETECTOR_ALLOWED_HOSTS; docs/tls.md says more of each client.
        """)


def _names(settings: Settings) -> tuple[str, ...]:
    """Return the names and addresses by which clients may call the service."""
    hosts = [without_port(host).strip("[]") for host in settings.allowed_hosts]
    # A container's is made up, and another one for each that shares the volume.
    host = [] if settings.in_container else [socket.gethostname()]
    given = [*host, settings.reachable_address, *hosts]
    found = ["localhost", "127.0.0.1", "::1"]
    for name in map(str.lower, given):
        address = _address(name)
        if address is None:
            found += [name] if _NAME.fullmatch(name) else []
        elif not address.is_unspecified:
            found.append(str(address))
    return tuple(dict.fromkeys(found))


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None


def _check(certificate: Path, key: Path) -> None:
    """Raise ValueError for a certificate and a key with which no TLS can be spoken."""
    problem = _problem(certificate, key)
    if problem is None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        except ssl.SSLError as error:
            problem = f"{_CERTIFICATE} and {_KEY} cannot be used for TLS ({error.reason})"
    if problem:
        raise ValueError(problem)


def _problem(certificate: Path, key: Path) -> str | None:
    contents = []
    for setting, file in ((_CERTIFICATE, certificate), (_KEY, key)):
        try:
            contents.append(file.read_bytes())
        except FileNotFoundError:
            return f"{setting} names {file}, and there is no such file"
        except OSError as error:
            return f"{setting} names {file}, which cannot be read ({error.strerror})"
    try:
        first = x509.load_pem_x509_certificates(contents[0])[0]
        public = first.public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        return f"{_CERTIFICATE} names {certificate}, which is no certificate in PEM"
    try:
        private = load_pem_private_key(contents[1], None)
    except TypeError:
        return (
            f"{_KEY} names {key}, which is encrypted with a password: give one that is not, such "
            "as `openssl pkey -in ENCRYPTED -out KEY` writes"
        )
    except (ValueError, UnsupportedAlgorithm):
        return f"{_KEY} names {key}, which is no private key in PEM"
    if private.public_key() != public:
        return (
            f"the key that {_KEY} names does not fit the first certificate in {certificate}, which "
            "must be the service's own"
        )
    now = datetime.now(UTC)
    if now > first.not_valid_after_utc:
        return f"the certificate in {certificate} expired on {first.not_valid_after_utc:%Y-%m-%d}"
    if now < first.not_valid_before_utc:
        begin = first.not_valid_before_utc
        return f"the certificate in {certificate} is not valid before {begin:%Y-%m-%d %H:%M} UTC"
    return None


def _authority(file: Path, key: Path) -> x509.Certificate:
    """Return the local authority, made where there is none or where it has expired."""
    if file.exists():
        try:
            kept = x509.load_pem_x509_certificate(file.read_bytes())
        except ValueError:
            raise ValueError(_unfit(file)) from None
        if datetime.now(UTC) < kept.not_valid_after_utc:
            return kept
    private = ec.generate_private_key(ec.SECP256R1())
    # Two of them in one store of trusted ones must not have the same name.
    name = f"Anomaly Detector at {socket.gethostname()[:30]} {datetime.now(UTC):%Y-%m-%d %H:%M}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        _builder(subject, subject, private.public_key(), private.public_key(), _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(private, SHA256())
    )
    # Without its certificate a key is none, so it comes first.
    _write(key, _pem(private), secret=True)
    _write(file, made.public_bytes(Encoding.PEM), secret=False)
    return made


def _is_good(file: Path, authority: Path, names: Sequence[str]) -> bool:
    """Say whether the server's certificate can go on: by its issuer, its names and its end."""
    try:
        content = file.read_bytes()
        issuer = x509.load_pem_x509_certificate(authority.read_bytes())
        kept = x509.load_pem_x509_certificate(content)
        kept.verify_directly_issued_by(issuer)
        fits = load_pem_private_key(content, None).public_key() == kept.public_key()
        alternatives = kept.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    now = datetime.now(UTC)
    is_lasting = kept.not_valid_after_utc > now + _RENEWED_BEFORE and (
        issuer.not_valid_after_utc > now
    )
    return fits and is_lasting and set(alternatives) == set(_alternatives(names))


def _issue(file: Path, issuer: x509.Certificate, key: Path, names: Sequence[str]) -> None:
    """Write a certificate and its key, in one file so that they never differ."""
    try:
        authority = load_pem_private_key(key.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        raise ValueError(_unfit(key)) from None
    if not isinstance(authority, ec.EllipticCurvePrivateKey) or (
        authority.public_key() != issuer.public_key()
    ):
        raise ValueError(_unfit(key))
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    public = private.public_key()
    made = (
        _builder(subject, issuer.subject, public, authority.public_key(), _SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .sign(authority, SHA256())
    )
    _write(file, _pem(private) + made.public_bytes(Encoding.PEM), secret=True)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    authority: ec.EllipticCurvePublicKey,
    days: int,
) -> x509.CertificateBuilder:
    begins = datetime.now(UTC) - _CLOCKS_DIFFER
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(by, critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        address = _address(name)
        found.append(x509.DNSName(name) if address is None else x509.IPAddress(address))
    return found


def _pem(private: PrivateKeyTypes) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(file: Path, content: bytes, *, secret: bool) -> None:
    """Write a file at once or not at all; nobody else may ever read a secret one."""
    whole = file.with_suffix(".new")
    whole.unlink(missing_ok=True)
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
    with os.fdopen(descriptor, "wb") as target:
        target.write(content)
    whole.replace(file)


def _unfit(file: Path) -> str:
    return (
        f"{file} is not what belongs to the local authority; put it back, or delete {file.parent} "
        "for a new authority, which clients must then trust"
    )
