"""The page at ``/``: who gets it, what belongs to it, and what browsers are told with it."""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from services import ROOT, Answer, Service
from starlette.requests import Request

from detector.api.assets import Assets, installed
from detector.api.errors import GatewayError
from detector.api.page import wants_html

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
# Java's HttpURLConnection sends this for every program.
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


def get(service: Service, path: str = "/", *, method: str = "GET", **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    # Without any, the key would be left out too.
    return service.call(path, method=method, headers={"X-Nothing": "", **sent})


def base_of(service: Service) -> str:
    found = re.search(r"page/[0-9a-f]{16}", get(service, Accept=CHROME).content.decode())
    assert found
    return f"/{found[0]}"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (CHROME, True),
        ("text/html", True),
        ("TEXT/HTML; q=0.5, */*", True),
        ("text/html, application/json", True),
        # A program of Angular's and one of axios'.
        ("application/json, text/plain, */*", False),
        ("application/json, text/html;q=0.9", False),
        ("*/*", False),
        ("text/*", False),
        ("", False),
        ("text/html;q=0", False),
        ("text/html;q=much", False),
        ("text/htmlx", False),
        (JAVA, False),
    ],
)
def test_html_is_for_those_who_name_it(accept: str, wanted: bool) -> None:
    assert wants_html(accept) is wanted


def test_a_program_gets_the_json_of_before_byte_for_byte(service: Any) -> None:
    plain = get(service)
    about = {
        "name": "Anomaly Detector",
        "description": "Answers as Azure AI Anomaly Detector did.",
        "apiVersions": ["v1.0", "v1.1", "v1.1-preview", "v1.1-preview.1"],
        "alias": "champion",
        "models": {"univariate-entire": 1, "univariate-latest": 1, "change-point": 1},
        "ready": True,
    }
    # Which one depends on whether it was compiled here.
    kernel = {name: each for name, each in plain.json.items() if name.startswith("kernel")}
    about |= {**kernel, "documentation": "/docs"}
    assert plain.content == json.dumps(about, separators=(",", ":")).encode()
    for accept in ("*/*", "application/json", JAVA):
        answer = get(service, Accept=accept)
        assert answer.content == plain.content
        assert answer.headers["Content-Type"] == "application/json"
        # A cache between must not give it to browsers.
        assert answer.headers["Vary"] == "Accept"


def test_a_browser_gets_the_page_under_a_strict_policy(service: Any) -> None:
    answer = get(service, Accept=CHROME)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    policy = answer.headers["Content-Security-Policy"]
    directives = dict(each.strip().partition(" ")[::2] for each in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["connect-src"] == "'self'"
    assert directives["frame-ancestors"] == directives["base-uri"] == "'none'"
    assert "unsafe" not in policy
    page = answer.content.decode()
    assert "{{" not in page
    assert "<style" not in page
    assert not re.search(r"<script(?![^>]* src=)", page)
    assert not re.search(r"\son\w+=|\sstyle=", page)


def test_a_page_that_the_browser_has_is_not_sent_again(service: Any) -> None:
    tag = get(service, Accept=CHROME).headers["ETag"]
    known = get(service, Accept=CHROME, If_None_Match=f'"other", {tag}')
    assert (known.status, known.content) == (304, b"")
    assert known.headers["ETag"] == tag
    assert known.headers["Vary"] == "Accept, Accept-Encoding"
    assert get(service, Accept=CHROME, If_None_Match='"other"').status == 200
    # For a program it is no condition.
    assert get(service, If_None_Match=tag).status == 200


def test_heads_are_answered_without_a_body(service: Any) -> None:
    for path in ("/", "/docs", f"{base_of(service)}/main.js"):
        head, whole = (
            get(service, path, method=method, Accept=CHROME) for method in ("HEAD", "GET")
        )
        assert (head.status, head.content) == (200, b"")
        same = ("Content-Length", "Content-Type", "Cache-Control", "ETag")
        assert [head.headers[name] for name in same] == [whole.headers[name] for name in same]


def test_every_file_of_the_page_is_kept_by_browsers(service: Any) -> None:
    folder = ROOT / "app" / "detector" / "page"
    base = base_of(service)
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for path in folder.rglob("*"):
        if path.is_dir() or path.name == "index.html":
            continue
        for coding in ("identity", "gzip, deflate, br"):
            answer = get(service, f"{base}/{path.relative_to(folder)}", Accept_Encoding=coding)
            packed = answer.headers["Content-Encoding"] == "gzip"
            assert packed == (coding != "identity")
            content = gzip.decompress(answer.content) if packed else answer.content
            assert content == path.read_bytes()
            assert answer.headers["Content-Type"].startswith(types[path.suffix])
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Vary"] == "Accept-Encoding"


def test_all_that_the_page_loads_is_small(service: Any) -> None:
    folder = ROOT / "app" / "detector" / "page"
    names = [str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()]
    names[names.index("index.html")] = "plotly.min.js"
    base = base_of(service)
    loaded = [get(service, f"{base}/{name}", Accept_Encoding="gzip") for name in names]
    size = sum(int(each.headers["Content-Length"]) for each in loaded)
    assert {each.status for each in loaded} == {200}
    assert 1_000_000 < size < 1_600_000


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "nothing.js",
        "",
        "../api/page.py",
        "..%2fapi%2fpage.py",
        "words/../main.js",
        "/etc/passwd",
        "main.js%00.css",
        "Main.js",
    ],
)
def test_nothing_else_is_served(service: Any, name: str) -> None:
    for base in (base_of(service), "/page/0123456789abcdef", "/docs/0123456789abcdef"):
        answer = get(service, f"{base}/{name}")
        assert answer.status == 404
        assert answer.json["error"]["code"] == "404"
        assert "Cache-Control" not in answer.headers


def test_the_page_is_open_and_the_data_are_not(guarded: Any) -> None:
    for path in ("/", "/docs", f"{base_of(guarded)}/main.js"):
        assert guarded.call(path, headers={"Accept": CHROME}).status == 200
    for path in ("/models", "/datasets", "/anomalydetector/v1.1/multivariate/models"):
        assert guarded.call(path, headers={"Accept": CHROME, "X": ""}).status == 401


def test_a_link_from_elsewhere_opens_the_page_and_no_foreign_page_reads_data(service: Any) -> None:
    # As a browser follows it: a navigation has no Origin.
    linked = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert get(service, Accept=CHROME, **linked).status == 200
    foreign = {"Origin": "https://other.example.com", "Sec_Fetch_Site": "cross-site"}
    assert get(service, "/models", **foreign).status == 403
    assert get(service, f"{base_of(service)}/main.js", Host="rebound.example").status == 403


def test_behind_a_path_of_a_proxy_addresses_are_relative(service: Any) -> None:
    for path in ("/", "/docs"):
        page = get(service, path, Accept=CHROME).content.decode()
        assert not re.findall(r"(?:src|href)=\"(?:/|https?:)[^\"]*", page)
    assert b"url: 'openapi.json'" in get(service, "/docs").content


def ask(assets: Assets, name: str) -> None:
    request = Request({"type": "http", "headers": [], "path": f"/{name}"})
    anyio.run(assets.answer, request, assets.digest, name)


def test_a_file_that_changed_or_went_is_not_given_the_old_address(tmp_path: Path) -> None:
    file = tmp_path / "main.js"
    file.write_text("1")
    assets = Assets({"main.js": file}, {})
    file.write_text("2")
    with pytest.raises(GatewayError, match=r"main\.js changed .* start it again"):
        ask(assets, "main.js")
    file.unlink()
    with pytest.raises(GatewayError, match=r"main\.js changed"):
        ask(assets, "main.js")
    file.write_text("1")
    ask(assets, "main.js")


def test_another_content_has_another_address(tmp_path: Path) -> None:
    file = tmp_path / "main.js"
    file.write_text("1")
    first = Assets({"main.js": file}, {}).digest
    assert Assets({"main.js": file}, {}).digest == first
    assert Assets({"other.js": file}, {}).digest != first
    file.write_text("2")
    assert Assets({"main.js": file}, {}).digest != first


def test_the_address_of_another_version_has_nothing(tmp_path: Path) -> None:
    (tmp_path / "main.js").write_text("1")
    assets = Assets({"main.js": tmp_path / "main.js"}, {})
    request = Request({"type": "http", "headers": [], "path": "/page/0123456789abcdef/main.js"})
    with pytest.raises(GatewayError, match="there is no /page/0123456789abcdef/main"):
        anyio.run(assets.answer, request, "0123456789abcdef", "main.js")


def test_a_package_that_is_not_installed_is_named() -> None:
    assert installed("no_such_package", "file.js") is None
    assert installed("plotly", "no-such-file.js") is None
    with pytest.raises(GatewayError, match="plotly is not installed"):
        ask(Assets({}, {"plotly.min.js": "plotly is not installed"}), "plotly.min.js")


def test_plotly_is_found_and_not_imported() -> None:
    before = set(sys.modules)
    path = installed("plotly", "package_data/plotly.min.js")
    assert path
    assert path.stat().st_size > 1_000_000
    assert {name for name in set(sys.modules) - before if name.startswith("plotly")} == set()


def test_a_file_of_a_type_that_is_not_known_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "font.woff2").touch()
    with pytest.raises(ValueError, match=r"font\.woff2 has no known type"):
        Assets({"font.woff2": tmp_path / "font.woff2"}, {})
