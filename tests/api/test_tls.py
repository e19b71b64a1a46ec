"""TLS: the certificates that the service is given, and those of its own authority."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
import socket
import ssl
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509

from detector.api import tls
from detector.cli import main
from detector.settings import Settings

NAMES = ("localhost", "127.0.0.1", "::1", "detector")


def openssl(folder: Path, arguments: str) -> str:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here")
    done = subprocess.run(
        ["openssl", *arguments.split()], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(file: Path | None) -> x509.Certificate:
    assert file
    return x509.load_pem_x509_certificate(file.read_bytes())


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of certificates and keys, good and bad."""
    folder = tmp_path_factory.mktemp("given")
    for name in ("good", "other"):
        made = f"req -x509 -newkey rsa:2048 -nodes -subj /CN=t -keyout {name}.key -out {name}.pem"
        openssl(folder, f"{made} -addext subjectAltName=IP:127.0.0.1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tls, "_SERVER_DAYS", 0)
        tls.local(folder / "old", NAMES)
    openssl(folder, "pkey -in good.key -aes256 -passout pass:word -out encrypted.key")
    openssl(folder, "x509 -in good.pem -outform der -out good.der")
    openssl(folder, "req -x509 -newkey rsa:512 -nodes -subj /CN=t -keyout weak.key -out weak.pem")
    return folder


@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        ("good.pem", None, "DETECTOR_TLS_CERTIFICATE and DETECTOR_TLS_KEY go together"),
        (None, "good.key", "DETECTOR_TLS_CERTIFICATE and DETECTOR_TLS_KEY go together"),
        ("missing.pem", "good.key", "DETECTOR_TLS_CERTIFICATE names .*, and there is no such file"),
        ("good.pem", "missing.key", "DETECTOR_TLS_KEY names .*, and there is no such file"),
        ("", "good.key", r"DETECTOR_TLS_CERTIFICATE names .* cannot be read \(Is a directory\)"),
        ("good.der", "good.key", "DETECTOR_TLS_CERTIFICATE names .* is no certificate in PEM"),
        ("good.key", "good.key", "DETECTOR_TLS_CERTIFICATE names .* is no certificate in PEM"),
        ("good.pem", "good.pem", "DETECTOR_TLS_KEY names .* is no private key in PEM"),
        ("good.pem", "other.key", "does not fit the first certificate in .*good.pem"),
        ("good.pem", "encrypted.key", "is encrypted with a password: .* `openssl pkey"),
        ("old/server.pem", "old/server.pem", "the certificate in .*server.pem expired on 20"),
        ("weak.pem", "weak.key", r"cannot be used for TLS \(EE_KEY_TOO_SMALL\)"),
    ],
)
def test_files_that_are_no_good_are_named(
    given: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str | None,
    key: str | None,
    text: str,
) -> None:
    for setting, name in (("DETECTOR_TLS_CERTIFICATE", certificate), ("DETECTOR_TLS_KEY", key)):
        if name is not None:
            monkeypatch.setenv(setting, str(given / name))
    with pytest.raises(ValueError, match=text) as raised:
        tls.prepare(Settings())
    # It is one sentence, whose stop comes with the one that it becomes a part of.
    assert not re.search(r"\.( |$)|\n", str(raised.value))


def test_it_is_told_of_one_certificate_only(
    given: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    # What the option sets is taken back after the test.
    monkeypatch.setenv("DETECTOR_TLS", "")
    monkeypatch.setenv("DETECTOR_TLS_CERTIFICATE", str(given / "good.pem"))
    monkeypatch.setenv("DETECTOR_TLS_KEY", str(given / "good.key"))
    assert main(["serve", "--tls", "self"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("The service does not start: DETECTOR_TLS=self makes a certificate")
    assert said.count("\n") == 1


def test_clients_that_are_strict_accept_the_certificate(tmp_path: Path) -> None:
    files = tls.local(tmp_path, NAMES)
    for name in ("-verify_hostname detector", "-verify_ip 127.0.0.1", "-verify_ip ::1"):
        strict = f"verify -x509_strict -purpose sslserver -CAfile authority.pem {name}"
        assert openssl(tmp_path, f"{strict} server.pem") == "server.pem: OK\n"
    made = read(files.certificate)
    assert made.not_valid_after_utc - made.not_valid_before_utc <= timedelta(days=397)
    assert made.not_valid_before_utc < datetime.now(UTC) - timedelta(minutes=30)
    text = openssl(tmp_path, "x509 -in server.pem -noout -text")
    for part in (
        "Basic Constraints: critical\n                CA:FALSE",
        "Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication",
        "Subject Key Identifier",
        "Authority Key Identifier",
        "NIST CURVE: P-256",
    ):
        assert part in text
    text = openssl(tmp_path, "x509 -in authority.pem -noout -text")
    assert "Basic Constraints: critical\n                CA:TRUE, pathlen:0" in text
    assert "Key Usage: critical\n                Certificate Sign, CRL Sign\n" in text


def test_nobody_else_reads_the_keys(tmp_path: Path) -> None:
    tls.local(tmp_path / "tls", NAMES)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "tls").iterdir()}
    assert modes.pop("lock")
    assert modes == {"authority.key": 0o600, "authority.pem": 0o644, "server.pem": 0o600}


def test_the_certificate_is_renewed_when_it_must_be_and_the_authority_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tls.local(tmp_path, NAMES)
    authority, server = read(first.authority), read(first.certificate)
    assert read(tls.local(tmp_path, NAMES[::-1]).certificate) == server
    named = read(tls.local(tmp_path, [*NAMES, "new.example.com"]).certificate)
    assert named != server
    monkeypatch.setattr(tls, "_SERVER_DAYS", 29)
    ending = read(tls.local(tmp_path, NAMES).certificate)
    monkeypatch.undo()
    lasting = read(tls.local(tmp_path, NAMES).certificate)
    assert ending.not_valid_after_utc < lasting.not_valid_after_utc
    (tmp_path / "server.pem").write_text("half")
    assert read(tls.local(tmp_path, NAMES).certificate) != lasting
    assert read(first.authority) == authority


def test_an_authority_that_has_expired_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_AUTHORITY_DAYS", 0)
    old = read(tls.local(tmp_path, NAMES).authority)
    monkeypatch.undo()
    files = tls.local(tmp_path, NAMES)
    assert read(files.authority) != old
    read(files.certificate).verify_directly_issued_by(read(files.authority))


@pytest.mark.parametrize("lost", ["authority.pem", "authority.key"])
def test_an_authority_that_is_broken_is_not_replaced(tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "tls"
    tls.local(folder, NAMES)
    (folder / lost).write_text("something else")
    with pytest.raises(ValueError, match=rf"{lost} is not what belongs .* or delete .*/tls for"):
        tls.local(folder, [*NAMES, "new.example.com"])


def test_a_folder_that_cannot_be_written_to_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"keeps its certificates in /proc/tls.*DETECTOR_TLS_FOLDER"
    ):
        tls.local(Path("/proc/tls"), NAMES)


def test_services_that_start_together_have_one_authority(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as threads:
        made = list(threads.map(lambda _: tls.local(tmp_path, NAMES), range(8)))
    server = read(made[0].certificate)
    server.verify_directly_issued_by(read(made[0].authority))
    assert {file.name for file in tmp_path.iterdir()} == {
        "authority.key",
        "authority.pem",
        "lock",
        "server.pem",
    }


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, ["localhost", "127.0.0.1", "::1", "HOST"]),
        (
            {
                "API_KEYS": "0123456789abcdef",
                "DETECTOR_HOST": "0.0.0.0",  # noqa: S104
                "DETECTOR_ALLOWED_HOSTS": "Anomalies.example.com:8080, [::2]:80, 10.0.0.5, *",
            },
            [
                *("localhost", "127.0.0.1", "::1", "HOST"),
                *("anomalies.example.com", "::2", "10.0.0.5"),
            ],
        ),
        (
            {"API_KEYS": "0123456789abcdef", "DETECTOR_HOST": "192.0.2.1"},
            ["localhost", "127.0.0.1", "::1", "HOST", "192.0.2.1"],
        ),
        # Containers that share a volume share the certificate.
        (
            {"DETECTOR_IN_CONTAINER": "true", "DETECTOR_ALLOWED_HOSTS": "detector"},
            ["localhost", "127.0.0.1", "::1", "detector"],
        ),
    ],
)
def test_it_may_be_called_by_the_names_that_are_known(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: dict[str, str],
    names: list[str],
) -> None:
    for name, value in (environment | {"DETECTOR_TLS": "self"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    files = tls.prepare(Settings())
    assert list(files.names) == [n.replace("HOST", socket.gethostname().lower()) for n in names]


def test_renewed_files_are_taken_up_while_it_runs(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    monkeypatch.setattr(tls, "_LOOK_SECONDS", 0.05)
    monkeypatch.setenv("DETECTOR_TLS_CERTIFICATE", str(certificate))
    monkeypatch.setenv("DETECTOR_TLS_KEY", str(key))

    def put(which: str, *, whole: bool = True) -> bytes:
        shutil.copy(given / f"{which}.pem", certificate)
        if whole:
            shutil.copy(given / f"{which}.key", key)
        return ssl.PEM_cert_to_DER_cert(certificate.read_text())

    def served(context: ssl.SSLContext, trusted: str) -> bytes | None:
        """Return the certificate that a client meets which trusts another one, or that."""
        client = ssl.create_default_context(cafile=given / f"{trusted}.pem")
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        asking = client.wrap_bio(back, there, server_hostname="127.0.0.1")
        answering = context.wrap_bio(there, back, server_side=True)
        for side in (asking, answering, asking, answering):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        return asking.getpeercert(binary_form=True)

    async def scenario() -> None:
        config = uvicorn.Config("", ssl_certfile=certificate, ssl_keyfile=key, log_config=None)

        def default() -> ssl.SSLContext:
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            made.load_cert_chain(certificate, key)
            return made

        old = put("good")
        context = tls.context(config, default)
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert served(context, "good") == old
        # The key comes later, and until then the old ones go on.
        new = put("other", whole=False)
        while "does not fit" not in caplog.text:
            await asyncio.sleep(0.01)
        assert served(context, "good") == old
        put("other")
        while "certificate renewed" not in caplog.text:
            await asyncio.sleep(0.01)
        assert served(context, "other") == new

    caplog.set_level("INFO")
    caplog.handler.setFormatter(
        logging.Formatter("%(message)s %(reason)s", defaults={"reason": ""})
    )
    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_a_certificate_of_ones_own_is_served(given: Path, begin: Any, kit: Any) -> None:
    files = {
        "DETECTOR_TLS_CERTIFICATE": str(given / "good.pem"),
        "DETECTOR_TLS_KEY": str(given / "good.key"),
    }
    service = begin(**files)
    context = ssl.create_default_context(cafile=str(given / "good.pem"))
    kit.until(lambda: "Uvicorn running" in service.output, "it has started")
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in secure.recv(65536)
    assert "TLS: clients" not in service.output
    # What speaks no TLS gets no answer, and the log is not filled with it.
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP" not in plain.recv(65536)
    assert "SSL" not in service.output
