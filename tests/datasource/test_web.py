"""Files are read from the allowed hosts, and from nowhere else, within the limits."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from datasource.sources import EVER, SERIES, TABLE, Web, packed, refused

from detector.datasource import Access, check, read
from detector.errors import DetectionError


def test_a_file_on_an_allowed_host_is_read(web: Web, allowed: Access) -> None:
    source = web.serve("/data/pressure.csv", SERIES) + "?sv=2022&sig=s%2Bcret"
    check(source, allowed)
    assert read(source, allowed, schema="MultiTable", **EVER).columns.tolist() == ["pressure"]
    assert web.asked == ["/data/pressure.csv?sv=2022&sig=s%2Bcret"]
    assert read(web.serve("/x", packed({"a.csv": SERIES, "b.csv": SERIES})), allowed, **EVER).size


def test_blob_storage_is_asked_to_say_why_it_refuses(web: Web, allowed: Access) -> None:
    sent: list[str | None] = []

    def page(handler: BaseHTTPRequestHandler) -> None:
        sent.append(handler.headers["x-ms-version"])
        handler.send_error(403)

    web.pages["/a.csv"] = page
    with refused("GetDataError", "403"):
        read(f"{web.url}/a.csv", allowed, **EVER)
    # It does so where the version of its API is named, which is a date.
    (version,) = sent
    assert version
    assert date.fromisoformat(version)


def test_a_host_that_is_not_allowed_is_not_asked(web: Web, access: Access) -> None:
    source = web.serve("/a.csv", TABLE)
    for ask in (lambda: check(source, access), lambda: read(source, access, **EVER)):
        with refused("InvalidBlobURL", "DETECTOR_DATA_HOSTS"):
            ask()
    assert not web.asked


def test_a_private_address_must_be_allowed_as_one(web: Web, access: Access) -> None:
    with refused("InvalidBlobURL", "127.0.0.1", "DETECTOR_PRIVATE_DATA_HOSTS"):
        read(web.serve("/a.csv", TABLE), replace(access, hosts=frozenset({web.host})), **EVER)
    assert not web.asked


def test_a_host_is_allowed_on_its_port_only(web: Web, access: Access) -> None:
    by_name = replace(access, private_hosts=frozenset({"127.0.0.1"}))
    with refused("InvalidBlobURL", "port"):
        check(web.serve("/a.csv", TABLE), by_name)
    check("http://127.0.0.1/a.csv", by_name)
    check("https://127.0.0.1:443/a.csv", by_name)


LOOPBACK = [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
    "127.0.0.1.",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_no_spelling_of_this_machine_is_a_public_host(web: Web, access: Access, host: str) -> None:
    source = f"http://{host}:{web.server.server_port}/a.csv"
    web.serve("/a.csv", TABLE)
    with refused("InvalidBlobURL"):
        read(source, access, **EVER)
    name = f"{host.rstrip('.')}:{web.server.server_port}"
    if name.startswith("[") and "0:0" in name:
        name = f"[0:0:0:0:0:0:0:1]:{web.server.server_port}"
    # Where the resolver takes no such number, there is no such host.
    with pytest.raises(DetectionError) as caught:
        read(source, replace(access, hosts=frozenset({name})), **EVER)
    assert caught.value.code in ("InvalidBlobURL", "GetDataError")
    assert not web.asked


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "198.18.0.1",  # noqa: S104
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1",
        "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "2002:7f00:1::", "2001::1",
        "64:ff9b::7f00:1", "::7f00:1",
    ],
)  # fmt: skip
def test_a_name_that_leads_to_a_private_network_is_refused(
    access: Access, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        places = ["93.184.215.14", place]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in places]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    public = replace(access, hosts=frozenset({"data.example.com"}))
    with refused("InvalidBlobURL", place, "DETECTOR_PRIVATE_DATA_HOSTS"):
        read("https://data.example.com/a.csv", public, **EVER)


def test_what_was_checked_is_what_is_connected_to(
    web: Web, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = socket.getaddrinfo
    looked_up = 0

    def resolve(host: str, port: int, *rest: Any, **options: Any) -> Any:
        nonlocal looked_up
        if host != "data.example.com":
            return usual(host, port, *rest, **options)
        looked_up += 1
        # A second look-up would lead to where nothing listens.
        return usual("127.0.0.1" if looked_up == 1 else "127.0.0.2", port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    web.serve("/a.csv", TABLE)
    name = f"data.example.com:{web.server.server_port}"
    named = replace(access, private_hosts=frozenset({name}))
    assert read(f"http://{name}/a.csv", named, **EVER).size
    assert looked_up == 1


@pytest.mark.parametrize(
    "source",
    [
        "http://{allowed}@evil.example.com/a.csv",
        "http://evil.example.com#@{allowed}/a.csv",
        "http://evil.example.com\\@{allowed}/a.csv",
        "http://{allowed}\\.evil.example.com/a.csv",
        "http://{allowed}.evil.example.com/a.csv",
        "http://user:word@{allowed}/a.csv",
        "http://evil.example.com?{allowed}/a.csv",
        "http://{allowed}\r\nHost: evil/a.csv",
        "http://{allowed}/a.csv HTTP/1.1\r\nX: y",
        "http://{allowed}\t/a.csv",
        "http://[{allowed}]/a.csv",
        "http://{allowed}:99999/a.csv",
        "http://\uff4cocalhost/a.csv",
        "http://{allowed}/Gerät.csv",
    ],
)
def test_no_trick_makes_another_host_of_an_allowed_one(
    web: Web, allowed: Access, source: str
) -> None:
    source = source.format(allowed=web.host)
    for ask in (lambda: check(source, allowed), lambda: read(source, allowed, **EVER)):
        with refused("InvalidBlobURL"):
            ask()
    assert not web.asked


def test_a_redirect_is_followed_on_the_same_host(web: Web, allowed: Access) -> None:
    web.serve("/b.csv", TABLE)
    source = web.serve("/a.csv", status=302, Location="/b.csv?token=1")
    assert read(source, allowed, **EVER).size
    assert web.asked == ["/a.csv", "/b.csv?token=1"]


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/a.csv",
        "//10.0.0.1/a.csv",
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.csv",
        "s3://datasets/a.csv",
        "data:text/csv,timestamp",
        "http://user@{host}/a.csv",
    ],
)
def test_a_redirect_leads_nowhere_else(web: Web, allowed: Access, target: str) -> None:
    source = web.serve("/a.csv", status=302, Location=target.format(host=web.host))
    with refused("InvalidBlobURL"):
        read(source, allowed, **EVER)


def test_a_redirect_to_a_host_that_is_not_allowed_is_not_followed(
    web: Web, allowed: Access
) -> None:
    other = Web()
    try:
        source = web.serve("/a.csv", status=307, Location=other.serve("/a.csv", TABLE))
        with refused("InvalidBlobURL", other.host.split(":")[1]):
            read(source, allowed, **EVER)
        assert not other.asked
    finally:
        other.server.shutdown()
        other.server.server_close()


def test_redirects_come_to_an_end(web: Web, allowed: Access) -> None:
    source = web.serve("/a.csv", status=301, Location="/a.csv")
    with refused("GetDataError", "redirects more than 5 times"):
        read(source, allowed, **EVER)
    with refused("GetDataError", "where it leads"):
        read(web.serve("/b.csv", status=301), allowed, **EVER)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "FileNotExist", "404"),
        (403, "GetDataError", "SAS token"),
        (500, "GetDataError", "500"),
        (206, "GetDataError", "206"),
    ],
)
def test_a_host_that_refuses_is_quoted(
    web: Web, allowed: Access, status: int, code: str, words: str
) -> None:
    with refused(code, words):
        read(web.serve("/a.csv", TABLE, status), allowed, **EVER)


def test_a_body_that_breaks_off_is_no_data(web: Web, allowed: Access) -> None:
    source = web.serve("/a.csv", TABLE, Content_Length=str(len(TABLE) + 1))
    with refused("GetDataError", f"{len(TABLE)} of {len(TABLE) + 1}"):
        read(source, allowed, **EVER)
    chunked = web.serve("/b.csv", b"5\r\ntimes\r\n", Transfer_Encoding="chunked")
    with refused("GetDataError"):
        read(chunked, allowed, **EVER)


def test_a_host_that_speaks_no_http_is_no_data(web: Web, allowed: Access) -> None:
    web.pages["/a.csv"] = lambda handler: handler.wfile.write(b"\0" * 100_000)  # type: ignore[assignment,return-value]
    with refused("GetDataError"):
        read(web.url + "/a.csv", allowed, **EVER)


def test_a_compressed_answer_is_refused(web: Web, allowed: Access) -> None:
    with refused("ReadingFileError", "gzip"):
        read(web.serve("/a.csv", TABLE, Content_Encoding="gzip"), allowed, **EVER)


def test_an_endless_body_is_cut_at_the_limit(web: Web, allowed: Access) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"2" * 65536)

    web.pages["/a.csv"] = endless
    with refused("FileSizeTooLarge", "3000000 bytes"):
        read(web.url + "/a.csv", replace(allowed, max_bytes=3_000_000), **EVER)
    announced = web.serve("/b.csv", TABLE, Content_Length="4000000")
    with refused("FileSizeTooLarge", "3000000 bytes"):
        read(announced, replace(allowed, max_bytes=3_000_000), **EVER)


@pytest.mark.parametrize("slow", ["headers", "body", "silence"])
def test_a_slow_host_is_cut_at_the_deadline(web: Web, allowed: Access, slow: str) -> None:
    stop = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        if slow == "body":
            handler.send_response(200)
            handler.end_headers()
        elif slow == "headers":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not stop.wait(0.02):
            handler.wfile.write(b"" if slow == "silence" else b"t")

    web.pages["/a.csv"] = drip
    try:
        with refused("GetDataError", "0.3 seconds"):
            read(web.url + "/a.csv", replace(allowed, seconds=0.3), **EVER)
    finally:
        stop.set()


def test_a_token_is_never_shown(web: Web, allowed: Access) -> None:
    token = "?sig=secret-token"  # noqa: S105
    web.serve("/denied.csv", status=403)
    web.serve("/wrong.csv", b"nothing")
    web.serve("/away.csv", status=302, Location="http://10.0.0.1/x.csv" + token)
    sources = [
        f"{web.url}/denied.csv{token}",
        f"{web.url}/wrong.csv{token}",
        f"{web.url}/away.csv{token}",
        f"{web.url}/wrong.csv#{token}",
        f"http://user:secret-token@{web.host}/a.csv",
        f"http://other.example.com/a.csv{token}",
        f"http://{web.host}:bad/a.csv{token}",
        f"http://{web.host}/a b.csv{token}",
        f"ftp://{web.host}/a.csv{token}",
    ]
    for source in sources:
        with pytest.raises(DetectionError) as caught:
            read(source, allowed, **EVER)
        assert "secret-token" not in str(caught.value)


def certificate_of(host: str) -> bytes:
    """Return a certificate of a host that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def test_https_is_read_only_from_whom_the_certificate_names(
    web: Web, access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(certificate_of("localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    web.server.socket = context.wrap_socket(web.server.socket, server_side=True)
    web.serve("/a.csv", TABLE)
    port = web.server.server_port
    hosts = frozenset({f"localhost:{port}", f"127.0.0.1:{port}"})
    allowed = replace(access, private_hosts=hosts)
    with refused("GetDataError", "certificate"):
        read(f"https://localhost:{port}/a.csv", allowed, **EVER)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert read(f"https://localhost:{port}/a.csv", allowed, **EVER).size
    with refused("GetDataError", "certificate"):
        read(f"https://127.0.0.1:{port}/a.csv", allowed, **EVER)
