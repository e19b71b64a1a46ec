"""What users of the service's own container do: its arguments, its routes, no key header."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from services import HEADER, KEYS, Service, free_port, prepare

from detector.api.container import keep_key, take_arguments
from detector.cli import main

ENTIRE = "/anomalydetector/v1.0/timeseries/entire/detect"
MODELS = "/anomalydetector/v1.1/multivariate/models"
BILLING = "https://plant.cognitiveservices.azure.com/"
EVERYWHERE = "0.0.0.0"  # noqa: S104


def start(folder: Path, *arguments: str, **environment: str) -> Service:
    port = free_port()
    settings = {"DETECTOR_EMBEDDED_WORKER": "false", "PORT": str(port)} | environment
    return Service(folder, ["detector", "serve", *arguments], port, **settings)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    """Start two as the container was: one without a key, one with two, in a container."""
    folder = tmp_path_factory.mktemp("container")
    prepare(folder / "keyless")
    keyless = start(
        folder / "keyless",
        "Eula=accept",
        f"Billing={BILLING}",
        "Logging:Console:LogLevel:Default=Information",
        DETECTOR_CORS_ORIGINS="https://plant.example.com",
    )
    contained = start(
        folder / "contained",
        "Eula=accept",
        f"Billing={BILLING}",
        # After an option argparse takes it for what it does not know.
        "--workers=1",
        f"ApiKey={KEYS[0]}-of-the-argument",
        API_KEYS=f"{KEYS[1]}-of-the-setting",
        DETECTOR_IN_CONTAINER="true",
        DETECTOR_HOST=EVERYWHERE,
        # It never becomes ready, as nothing answers there.
        MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    try:
        yield keyless.wait("/ready"), contained.wait("/status")
    finally:
        keyless.stop()
        contained.stop()


@pytest.fixture
def keyless(started: tuple[Service, Service]) -> Service:
    """Return the service without a key."""
    return started[0]


@pytest.fixture
def contained(started: tuple[Service, Service]) -> Service:
    """Return the service with two keys, which is not ready."""
    return started[1]


def test_its_routes_are_answered_to_whoever_asks(keyless: Service) -> None:
    for path in ("/status", "/ready"):
        assert keyless.call(path, headers={"Host": "10.0.0.7:5000", HEADER: ""}).status == 200
    status = keyless.call("/status", headers={})
    assert status.json["apiStatus"] == "Valid"
    assert status.json["service"] == keyless.call("/ready", headers={}).json["service"]
    assert keyless.call("/ready", headers={}).json["ready"] == "ready"
    # It follows the redirect.
    assert b"SwaggerUIBundle" in keyless.call("/swagger", headers={}).content


def test_it_is_not_ready_before_its_models_are(contained: Service) -> None:
    answer = contained.call("/ready", headers={})
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_what_is_no_longer_needed_is_said_once(keyless: Service, contained: Service) -> None:
    said = [line["message"] for line in keyless.log if "longer needed:" in line["message"]]
    assert said == ["No longer needed: Billing, Logging:Console:LogLevel:Default."]
    assert keyless.output.count("requests need no key header") == 1
    assert [line for line in contained.log if "longer needed:" in line["message"]]


def test_a_caller_without_any_header_is_answered(keyless: Service, weeks: dict[str, Any]) -> None:
    assert keyless.call(ENTIRE, weeks, headers={}).json["isAnomaly"][24]
    assert keyless.call(ENTIRE, weeks, headers={HEADER: "any"}).status == 200
    assert keyless.call(MODELS, headers={}).status == 200
    # The page of the service itself, and somebody who typed the address.
    for site in ("same-origin", "none"):
        assert keyless.call(MODELS, headers={HEADER: "", "Sec-Fetch-Site": site}).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        {"Origin": "https://other.example.com"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        # It may call, but then asks first, for the key header.
        {"Origin": "https://plant.example.com", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_site_is_refused(
    keyless: Service, weeks: dict[str, Any], sent: dict[str, str]
) -> None:
    headers = {HEADER: "", "Content-Type": "text/plain", **sent}
    assert keyless.call(ENTIRE, weeks, headers=headers).status in (401, 403)
    assert keyless.call(MODELS, headers=headers).status in (401, 403)


def test_a_foreign_host_is_refused_as_ever(keyless: Service) -> None:
    answer = keyless.call(MODELS, headers={HEADER: "", "Host": "attacker.example.com"})
    assert answer.status == 403


def test_a_page_that_is_named_sends_the_header_and_is_answered(keyless: Service) -> None:
    page = {"Origin": "https://plant.example.com", "Sec-Fetch-Site": "cross-site"}
    assert keyless.call(MODELS, headers=page).status == 200


def test_the_key_of_the_argument_opens_beside_those_of_the_setting(
    contained: Service, weeks: dict[str, Any]
) -> None:
    for key in (f"{KEYS[0]}-of-the-argument", f"{KEYS[1]}-of-the-setting"):
        # There are no models.
        assert contained.call(ENTIRE, weeks, headers={HEADER: key}).status == 503
    for headers in ({}, {HEADER: "any"}):
        assert contained.call(ENTIRE, weeks, headers=headers).status == 401
    assert KEYS[0] not in contained.output


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Return the environment of a container, which is as it was after the test."""
    before = dict(os.environ)
    monkeypatch.setenv("DETECTOR_IN_CONTAINER", "true")
    monkeypatch.setenv("DETECTOR_HOST", EVERYWHERE)
    yield monkeypatch
    os.environ.clear()
    os.environ.update(before)


def test_a_word_after_an_option_is_refused_and_not_shown(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # It cannot listen there: were it not refused, it would end all the same.
    environment.setenv("DETECTOR_HOST", "192.0.2.1")
    assert main(["serve", "Eula=accept", "--workers=1", "a-secret"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "number 2, which is no NAME=VALUE" in said.err
    assert "a-secret" not in said.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["Eula=accept", "ApiKye=a-secret"], "the argument 'ApiKye' is not known"),
        (["ApiKey", "a-secret"], "the argument number 1, which is no NAME=VALUE"),
        # A key may end in "=".
        (["a-secret="], "the argument number 1, which is no NAME=VALUE"),
        (["Eula=accept", "--ApiKey=a-secret"], "the argument number 2, which is no NAME=VALUE"),
        (["Eula=accept", "ApiKey="], "ApiKey has no value"),
    ],
)
def test_what_it_does_not_know_is_refused_and_not_shown(arguments: list[str], text: str) -> None:
    with pytest.raises(ValueError, match=text) as raised:
        take_arguments(arguments)
    assert "a-secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "keys", "header"),
    [
        ({"Eula": "accept", "ApiKey": "one"}, "one", "optional"),
        ({"EULA": "Accept", "APIKEY": "one", "API_KEYS": "two"}, "two,one", "optional"),
        ({"Eula": "accept", "DETECTOR_KEY_HEADER": "required"}, None, "required"),
        # Somebody else's variable.
        ({"APIKEY": "one"}, None, None),
        ({"APIKEY": "one", "Eula": "no"}, None, None),
    ],
)
def test_the_environment_may_have_what_the_arguments_have(
    environment: pytest.MonkeyPatch, given: dict[str, str], keys: str | None, header: str | None
) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    take_arguments([])
    assert os.environ.get("API_KEYS") == keys
    assert os.environ.get("DETECTOR_KEY_HEADER") == header


@pytest.mark.parametrize(
    ("eula", "header"),
    [("accept", "optional"), ("ACCEPT", "optional"), ("decline", None), ("", None)],
)
def test_the_key_header_is_optional_only_where_the_terms_were_accepted(
    environment: pytest.MonkeyPatch, eula: str, header: str | None
) -> None:
    take_arguments([f"Eula={eula}", f"Billing={BILLING}"])
    assert os.environ.get("DETECTOR_KEY_HEADER") == header


def test_a_container_that_was_told_nothing_keeps_a_key_of_its_own(
    environment: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    environment.chdir(tmp_path)
    caplog.set_level("INFO")
    keep_key()
    key = os.environ.pop("API_KEYS")
    assert len(key) == 48
    assert stat.S_IMODE((tmp_path / "api-key").stat().st_mode) == 0o600
    keep_key()
    assert os.environ["API_KEYS"] == key
    assert str(tmp_path / "api-key") in caplog.text
    assert "docker exec" in caplog.text
    assert key not in caplog.text


@pytest.mark.parametrize(
    "given",
    [
        {"BIND_ADDRESS": "127.0.0.1"},
        # Refused, as Compose's variable is.
        {"BIND_ADDRESS": EVERYWHERE},
        {"API_KEYS": "given"},
        {"DETECTOR_HOST": "127.0.0.1"},
        {"DETECTOR_IN_CONTAINER": "false"},
    ],
)
def test_no_key_is_made_where_something_was_said(
    environment: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str]
) -> None:
    environment.chdir(tmp_path)
    for name, value in given.items():
        environment.setenv(name, value)
    keep_key()
    assert list(tmp_path.iterdir()) == []
    assert os.environ.get("API_KEYS") == given.get("API_KEYS")


def test_a_key_that_cannot_be_kept_or_read_is_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.chdir(tmp_path)
    (tmp_path / "api-key").write_text("\n")
    with pytest.raises(ValueError, match="api-key holds no key"):
        keep_key()
    # Nobody makes a file there, root included.
    environment.chdir("/proc")
    with pytest.raises(ValueError, match=r"/proc/api-key, which it cannot use .*set API_KEYS"):
        keep_key()
