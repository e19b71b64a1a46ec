"""In blob storage a blob, a container or a folder is read with its token, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

import pytest
from clients.azurite import Azurite
from datasource.sources import EVER, SERIES, TABLE, Web, packed, refused

from detector.datasource import Access, blob, check, listing, read
from detector.errors import DetectionError

REAL = "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0"


@pytest.fixture
def blobs(azurite: Azurite, access: Access) -> Access:
    """Return access to the emulator, which is on a private address."""
    return replace(access, private_hosts=frozenset({azurite.host}))


@pytest.fixture(scope="module")
def filled(azurite: Azurite) -> Azurite:
    """Return the emulator with a private and two public containers of the same blobs."""
    for container, public in (("private", ""), ("listed", "container"), ("open", "blob")):
        azurite.make(container, public=public)
        azurite.put(f"{container}/table.csv", TABLE)
        azurite.put(f"{container}/many/a.csv", SERIES)
        azurite.put(f"{container}/many/b.CSV", SERIES)
        azurite.put(f"{container}/many/README.md", b"\0")
        azurite.put(f"{container}/many/.hidden.csv", b"\0")
        azurite.put(f"{container}/many/deep/c.csv", SERIES)
        azurite.put(f"{container}/many.csv", SERIES)
    return azurite


# What is read.


def test_a_blob_is_read_with_its_token(filled: Azurite, blobs: Access) -> None:
    source = f"{filled.url}/private/table.csv"
    for token in (filled.token("private"), filled.token("private/table.csv", "r")):
        check(f"{source}?{token}", blobs)
        assert read(f"{source}?{token}", blobs, **EVER).columns.tolist() == ["a", "b"]
    zipped = filled.put("private/all.zip", packed({"x.csv": SERIES, "y.csv": SERIES}))
    found = read(f"{zipped}?{filled.token('private')}", blobs, schema="MultiTable", **EVER)
    assert found.columns.tolist() == ["x", "y"]


def test_a_public_blob_is_read_without_a_token(filled: Azurite, blobs: Access) -> None:
    for container in ("open", "listed"):
        assert read(f"{filled.url}/{container}/table.csv", blobs, **EVER).size == 4


@pytest.mark.parametrize("address", ["many", "many/"])
def test_the_csv_files_of_a_folder_are_its_variables(
    filled: Azurite, blobs: Access, address: str
) -> None:
    private = f"{filled.url}/private/{address}"
    by_token = [f"{private}?{token}" for token in (filled.token("private"), filled.token_of_all)]
    for source in (*by_token, f"{filled.url}/listed/{address}"):
        found = read(source, blobs, schema="MultiTable", **EVER)
        assert found.columns.tolist() == ["a", "b"]


@pytest.mark.parametrize("address", ["whole", "whole/"])
def test_the_csv_files_of_a_container_are_its_variables(
    azurite: Azurite, blobs: Access, address: str
) -> None:
    if address == "whole":
        azurite.make("whole")
        for name in ("x", "y", "z"):
            azurite.put(f"whole/{name}.csv", SERIES)
    source = f"{azurite.url}/{address}?{azurite.token('whole')}"
    assert read(source, blobs, schema="MultiTable", **EVER).columns.tolist() == ["x", "y", "z"]


def test_an_account_with_a_host_of_its_own_is_listed(
    filled: Azurite, blobs: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *rest, **more: usual("127.0.0.1", *rest, **more)
    )
    host = f"account1.blob.core.windows.net:{filled.host.split(':')[1]}"
    allowed = replace(blobs, private_hosts=frozenset({host}))
    token = filled.token("private")
    for address in ("private/many", "private/many/"):
        found = read(f"http://{host}/{address}?{token}", allowed, schema="MultiTable", **EVER)
        assert found.columns.tolist() == ["a", "b"]
    assert read(f"http://{host}/private/table.csv?{token}", allowed, **EVER).size
    # The container is listed as well, and what lies in it is a table beside variables.
    with refused("FileColumnsNotExist", "table.csv"):
        read(f"http://{host}/private?{token}", allowed, **EVER)


def test_a_folder_is_listed_page_by_page(
    filled: Azurite, blobs: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "BLOBS_A_PAGE", 1)
    filled.make("paged")
    for place in range(5):
        filled.put(f"paged/v{place}.csv", SERIES)
    found = read(f"{filled.url}/paged?{filled.token('paged')}", blobs, **EVER)
    assert found.columns.tolist() == [f"v{place}" for place in range(5)]


NAMES = ["ä b", "100%", "a+b", "c#d", "e?f&g=h", "<&>'\"", "%2e%2e", "日本", "i;j"]


def test_every_name_of_a_blob_is_found_again(filled: Azurite, blobs: Access) -> None:
    filled.make("names")
    for name in NAMES:
        filled.put(f"names/the folder+%41/{name}.csv", SERIES)
    source = f"{filled.url}/names/{quote('the folder+%41')}?{filled.token('names')}"
    assert read(source, blobs, **EVER).columns.tolist() == sorted(NAMES)


def test_a_blob_that_marks_a_folder_is_neither_file_nor_variable(
    filled: Azurite, blobs: Access
) -> None:
    filled.make("marked")
    filled.put("marked/top", b"", hdi_isfolder="true")
    filled.put("marked/top/table.csv", b"", hdi_isfolder="true")
    filled.put("marked/top/table.csv/all.csv", TABLE)
    filled.put("marked/top/x.csv", SERIES)
    filled.put("marked/top/y.csv", SERIES)
    token = filled.token("marked")
    assert read(f"{filled.url}/marked/top?{token}", blobs, **EVER).columns.tolist() == ["x", "y"]
    table = read(f"{filled.url}/marked/top/table.csv?{token}", blobs, **EVER)
    assert table.columns.tolist() == ["a", "b"]


# What is refused.


def denied(container: str, allows: str, **when: float) -> Callable[[Azurite], str]:
    return lambda azurite: azurite.token(container, allows, **when)


REFUSALS: dict[str, tuple[str, Callable[[Azurite], str] | None, str, tuple[str, ...]]] = {
    "blob expired": (
        "private/table.csv", denied("private", "rl", hours=-1),
        "GetDataError", ("its SAS token expired at 20", "make a new one", "403"),
    ),
    "folder expired": (
        "private/many", denied("private", "rl", hours=-1),
        "GetDataError", ("its SAS token expired at 20",),
    ),
    "container expired": (
        "private", denied("private", "rl", hours=-1), "GetDataError", ("expired at 20",),
    ),
    "not yet": (
        "private/table.csv", denied("private", "rl", start=1, hours=2),
        "GetDataError", ("its SAS token is valid from 20",),
    ),
    "bad signature": (
        "private/table.csv", lambda azurite: azurite.token("private").replace("sig=", "sig=x"),
        "GetDataError", ("its SAS token is not accepted", "403"),
    ),
    "of another container": (
        "private/table.csv", denied("open", "rl"), "GetDataError", ("is not accepted",),
    ),
    "no container": (
        "none/table.csv", denied("none", "rl"),
        "FileNotExist", ("there is no such container", "ContainerNotFound"),
    ),
    "no container to list": (
        "none", denied("none", "rl"), "FileNotExist", ("there is no such container",),
    ),
    "no blob": (
        "private/gone.csv", denied("private", "rl"),
        "FileNotExist", ("/private/gone.csv?...' does not exist", "no blob is called so"),
    ),
    "no folder": (
        "listed/gone/", None, "FileNotExist", ("/listed/gone/' does not exist",),
    ),
    "private": ("private/table.csv", None, "GetDataError", ("no SAS token", "not public")),
    "private container": ("private", None, "GetDataError", ("no SAS token", "may list")),
    "folder that cannot be listed": (
        "open/many", None, "GetDataError", ("no SAS token", "everybody may list"),
    ),
    "folder without l": (
        "private/many", denied("private", "r"),
        "GetDataError", ("no blob is called so", "sp=rl", "AuthorizationPermissionMismatch"),
    ),
    "container without l": (
        "private", denied("private", "r"), "GetDataError", ("sp=rl", "to read a folder"),
    ),
    "folder by a blob's token": (
        "private/many", denied("private/many", "r"), "GetDataError", ("sp=rl",),
    ),
    "without r": (
        "private/table.csv", denied("private", "l"),
        "GetDataError", ("does not allow to read", "sp=r", "AuthorizationPermissionMismatch"),
    ),
    "folder without r": (
        "private/many", denied("private", "l"), "GetDataError", ("does not allow to read",),
    ),
    "no CSV file": (
        "listed/many/deep/..", None, "FileNotExist", ("does not exist",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_says_in_one_sentence_what_would_be_right(
    filled: Azurite, blobs: Access, kind: str
) -> None:
    path, token, code, words = REFUSALS[kind]
    query = "" if token is None else "?" + token(filled)
    with pytest.raises(DetectionError) as caught:
        read(f"{filled.url}/{path}{query}", blobs, **EVER)
    assert (caught.value.code, caught.value.message) == (code, caught.value.message)
    assert not [word for word in words if word not in caught.value.message], caught.value.message
    assert "sig" not in caught.value.message


def test_a_folder_without_csv_files_is_refused_without_its_token(
    filled: Azurite, blobs: Access
) -> None:
    filled.make("empty")
    token = filled.token("empty")
    with refused("NoVariablesFound", "/empty?..."):
        read(f"{filled.url}/empty?{token}", blobs, **EVER)
    filled.put("empty/notes/a.txt", b"")
    for address in ("empty", "empty/notes"):
        with refused("NoVariablesFound", f"/{address}?..."):
            read(f"{filled.url}/{address}?{token}", blobs, **EVER)


def test_the_limits_hold_for_every_blob(filled: Azurite, blobs: Access) -> None:
    source = f"{filled.url}/listed/many"
    assert read(source, replace(blobs, max_bytes=2 * len(SERIES)), **EVER).size == 4
    with refused("FileSizeTooLarge"):
        read(source, replace(blobs, max_bytes=2 * len(SERIES) - 1), **EVER)
    with refused("FileSizeTooLarge", "/many/a.csv'"):
        read(source, replace(blobs, max_bytes=len(SERIES) - 1), **EVER)


def test_more_variables_than_can_be_scored_are_not_fetched(filled: Azurite, blobs: Access) -> None:
    filled.make("crowd")
    for place in range(302):
        filled.put(f"crowd/v{place}.csv", b"")
    with refused("DataExceedsLimit", "/crowd?...", "301"):
        read(f"{filled.url}/crowd?{filled.token('crowd')}", blobs, **EVER)


# Whoever answers.


def xml_of(*names: str, marker: str = "", tag: str = "Blob") -> bytes:
    """Return a list of blobs, each with what old versions of blob storage added to it."""
    found = "".join(
        f"<{tag}><Name>{escape(name)}</Name><Url>http://evil.example.com/</Url></{tag}>"
        for name in names
    )
    marker = f"<NextMarker>{escape(marker)}</NextMarker>" if marker else "<NextMarker />"
    text = f"<EnumerationResults><Blobs>{found}</Blobs>{marker}</EnumerationResults>"
    return b"\xef\xbb\xbf" + b'<?xml version="1.0" encoding="utf-8"?>' + text.encode()


@pytest.fixture
def storage(web: Web) -> Web:
    """Return a server that calls itself blob storage, and has a container with a folder f."""
    web.server_name = REAL
    web.serve("/account/c/f", status=404, x_ms_error_code="BlobNotFound")
    return web


def listed(storage: Web, *pages: bytes) -> str:
    """Let the container be listed so, page by page; return the address of the folder."""
    left = list(pages)

    def page(handler: BaseHTTPRequestHandler) -> None:
        content = left.pop(0) if len(left) > 1 else left[0]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    storage.pages["/account/c"] = page
    return f"{storage.url}/account/c/f?sv=2022&sp=rl&sig=s%2Bcret%3D"


def test_what_is_asked_of_a_container(storage: Web, allowed: Access) -> None:
    for name in "abc":
        storage.serve(f"/account/c/f/{name}.csv", SERIES)
    source = listed(storage, xml_of("f/a.csv", "f/b.csv", marker="2!ab&c="), xml_of("f/c.csv"))
    assert read(source, allowed, **EVER).columns.tolist() == ["a", "b", "c"]
    asked = [(urlsplit(each).path, parse_qs(urlsplit(each).query)) for each in storage.asked]
    token = {"sv": ["2022"], "sp": ["rl"], "sig": ["s+cret="]}
    page = token | {"restype": ["container"], "comp": ["list"], "prefix": ["f/"]}
    page |= {"delimiter": ["/"], "maxresults": ["500"]}
    assert asked == [
        ("/account/c/f", token),
        ("/account/c", page),
        ("/account/c", page | {"marker": ["2!ab&c="]}),
        *[(f"/account/c/f/{name}.csv", token) for name in "abc"],
    ]
    # As it was given: a token is signed, and none that was written anew.
    assert all("sv=2022&sp=rl&sig=s%2Bcret%3D" in each for each in storage.asked)


@pytest.mark.parametrize(
    ("host", "path", "container", "prefix"),
    [
        ("account.blob.core.windows.net", "/c", "/c", ""),
        ("account.blob.core.windows.net", "/c/", "/c", ""),
        ("account.blob.core.windows.net", "/c/f/g", "/c", "f/g/"),
        ("account.z1.blob.storage.azure.net", "/c/f/", "/c", "f/"),
        ("data.example.com", "/$web/f%20g", "/$web", "f g/"),
        ("127.0.0.1:10000", "/account/c/f", "/account/c", "f/"),
        ("[::1]:10000", "/account/c", "/account/c", ""),
        ("azurite:10000", "/account/c/f", "/account/c", "f/"),
        ("host.docker.internal:10000", "/account/c", "/account/c", ""),
        ("account.blob.core.windows.net", "/", None, ""),
        ("account.blob.core.windows.net", "/table.csv", None, ""),
        ("127.0.0.1:10000", "/account", None, ""),
    ],
)
def test_a_container_is_known_by_its_place_in_an_address(
    access: Access, host: str, path: str, container: str | None, prefix: str
) -> None:
    allowed = replace(access, hosts=frozenset({host}))
    address = blob.web.parse(f"http://{host}{path}?sig=secret", allowed)
    place = blob._place(blob.web.Answer(address, 404, {"Server": REAL}))  # type: ignore[arg-type]
    if container is None:
        assert place is None
    else:
        assert place == blob.Place(address, f"http://{host}{container}", prefix)


def test_blob_storage_is_known_by_its_request_ids_too(web: Web, allowed: Access) -> None:
    web.serve("/account/c/f", status=404, x_ms_request_id="84b4a7f4-a01e-0003-5a5e-731608000000")
    for name in "ab":
        web.serve(f"/account/c/f/{name}.csv", SERIES)
    assert read(listed(web, xml_of("f/a.csv", "f/b.csv")), allowed, **EVER).size == 4


def test_no_other_host_is_listed(web: Web, allowed: Access) -> None:
    source = web.serve("/account/c/f", status=404)
    with refused("FileNotExist", "Azure's blob storage only"):
        read(source, allowed, **EVER)
    assert web.asked == ["/account/c/f"]


@pytest.mark.parametrize("what", ["list", "blob"])
def test_no_redirect_takes_a_token_to_another_host(
    storage: Web, allowed: Access, what: str
) -> None:
    other = Web()
    try:
        source = listed(storage, xml_of("f/a.csv"))
        path = "/account/c" if what == "list" else "/account/c/f/a.csv"
        storage.serve(path, status=307, Location=other.serve("/a.csv", SERIES))
        with refused("InvalidBlobURL", other.host.split(":")[1]):
            read(source, allowed, **EVER)
        assert not other.asked
        # One that is allowed gets what the redirect says, and no token.
        both = replace(allowed, private_hosts=frozenset({storage.host, other.host}))
        other.serve("/a.csv", xml_of("f/a.csv") if what == "list" else SERIES)
        storage.serve("/account/c/f/a.csv", SERIES) if what == "list" else None
        assert read(source, both, **EVER).size == 2
        assert set(other.asked) == {"/a.csv"}
    finally:
        other.server.shutdown()
        other.server.server_close()


def test_a_redirect_to_what_is_no_address_is_refused(storage: Web, allowed: Access) -> None:
    with refused("InvalidBlobURL"):
        read(storage.serve("/a", status=302, Location="http://[::/"), allowed, **EVER)


def test_no_name_in_a_list_leads_elsewhere(storage: Web, allowed: Access) -> None:
    storage.serve("/account/c/f/a.csv", SERIES)
    storage.serve("/account/c/f/b.csv", SERIES)
    names = [
        "f/a.csv",
        "c.csv",
        "../../other/c.csv",
        "/etc/passwd.csv",
        "f/../../other/c.csv",
        "f//c.csv",
        "f/x/c.csv",
        "f/c.csv/",
        "http://evil.example.com/c.csv",
        "f/",
        "f/..",
        "",
        "f/b.csv",
    ]
    found = read(listed(storage, xml_of(*names)), allowed, **EVER)
    assert found.columns.tolist() == ["a", "b"]
    assert len(storage.asked) == 4


ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
HOSTILE = {
    "no XML": b"nothing",
    "nothing": b"",
    "broken off": xml_of("f/a.csv")[:-9],
    "more than one": xml_of("f/a.csv") * 2,
    "entities": f'<!DOCTYPE x [<!ENTITY e0 "x">{ENTITIES}]><x>&e9;</x>'.encode(),
    "a file": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    "a document type": b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><EnumerationResults/>',
    "deep": b"<x>" * 1_000_000,
    "a long name": xml_of("f/" + "x" * 10_000_000 + ".csv"),
    "a long marker": xml_of("f/a.csv", marker="x" * 10_000_000),
    # Of which the parser would keep twenty times as much.
    "elements of other names": xml_of("f/a.csv").replace(
        b"<Blobs>", b"".join(b"<a%d/>" % place for place in range(600_000)) + b"<Blobs>"
    ),
    "not UTF-8": xml_of("f/a.csv").replace(b"a.csv", b"\xff.csv"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_list_that_is_none_of_blob_storage_s_is_refused(
    storage: Web, allowed: Access, kind: str
) -> None:
    with refused("GetDataError", "is not the XML of blob storage"):
        read(listed(storage, HOSTILE[kind]), allowed, **EVER)


def test_a_list_without_end_is_cut(
    storage: Web, allowed: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_MOST_BYTES", 1_000_000)
    # A page of much else, and always the same next one.
    endless = listed(storage, xml_of(*["f/a note"] * 2000, marker="more"))
    with refused("DataExceedsLimit", "/account/c?...", "1000000 bytes"):
        read(endless, allowed, **EVER)
    assert len(storage.asked) < 20


def test_a_list_of_very_many_names_is_cut(storage: Web, allowed: Access) -> None:
    for tag, name in (("Blob", "f/{}.csv"), ("BlobPrefix", "f/{}.csv/")):
        many = xml_of(*[name.format(place) for place in range(20_000)], tag=tag)
        with refused("DataExceedsLimit", "10000 CSV files"):
            read(listed(storage, many), allowed, **EVER)


def test_a_list_that_takes_too_long_is_cut(storage: Web, allowed: Access) -> None:
    stop = threading.Event()

    def drip(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not stop.wait(0.02):
            handler.wfile.write(b" ")

    source = listed(storage, b"")
    storage.pages["/account/c"] = drip
    try:
        with refused("GetDataError", "0.3 seconds"):
            read(source, replace(allowed, seconds=0.3), **EVER)
    finally:
        stop.set()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        # As the service answers where no token is given, in its versions.
        (404, "ResourceNotFound", "no SAS token"),
        (401, "NoAuthenticationInformation", "no SAS token"),
        (409, "PublicAccessNotPermitted", "no SAS token"),
        (503, "ServerBusy", "it is not given (blob storage answers 503 ServerBusy)"),
        (403, "<script>", "answers 403)"),
    ],
)
def test_what_blob_storage_answers_is_quoted(
    storage: Web, allowed: Access, status: int, code: str, words: str
) -> None:
    storage.serve("/account/c", status=status, x_ms_error_code=code)
    storage.serve("/account/c/f", status=status, x_ms_error_code=code)
    with refused("GetDataError", words):
        read(f"{storage.url}/account/c/f", allowed, **EVER)


def test_a_blob_that_is_gone_when_it_is_read_is_named(storage: Web, allowed: Access) -> None:
    storage.serve("/account/c/f/a.csv", status=404, x_ms_error_code="BlobNotFound")
    with refused("FileNotExist", "/c/f/a.csv?..."):
        read(listed(storage, xml_of("f/a.csv")), allowed, **EVER)
