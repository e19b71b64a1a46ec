"""Every setting can be set in the stack, and stands in .env.example with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from detector.settings import JobSettings, Settings

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
# What the stack itself decides: the port is published as DETECTOR_PORT, the worker is a service of
# its own that tells Prometheus of its jobs, the store is the stack's, and the image says that it is
# one and where its volume is.
DECIDED = {
    "DETECTOR_HOST",
    "DETECTOR_IN_CONTAINER",
    "DETECTOR_TLS_FOLDER",
    "PORT",
    "DETECTOR_EMBEDDED_WORKER",
    "DETECTOR_WORKER_METRICS",
    "MLFLOW_S3_ENDPOINT_URL",
}
# Where the stack has another default than the program.
QUEUE = "DETECTOR_QUEUE"


def settings(kind: type[Settings] | type[JobSettings]) -> dict[str, Any]:
    """Return the defaults of a class of settings by their environment variables."""
    return {str(field.validation_alias): field.default for field in kind.model_fields.values()}


def environment(service: str) -> dict[str, str]:
    """Return what a service of the stack has in its environment."""
    found: dict[str, str] = yaml.safe_load(COMPOSE)["services"][service]["environment"]
    return found


@pytest.mark.parametrize(("service", "kind"), [("detector", Settings), ("worker", JobSettings)])
def test_every_setting_reaches_the_service(service: str, kind: Any) -> None:
    given = environment(service)
    for name in settings(kind).keys() - DECIDED:
        assert re.fullmatch(rf"\$\{{{name}:-.*\}}", given[name]), name


@pytest.mark.parametrize("service", ["detector", "worker"])
def test_nothing_is_given_that_is_no_setting(service: str) -> None:
    given = {name for name in environment(service) if name.startswith("DETECTOR_")}
    assert given <= settings(Settings).keys()


def test_the_example_names_what_the_stack_honours_and_nothing_else() -> None:
    files = [COMPOSE, *(path.read_text() for path in ROOT.glob("*/*.yml"))]
    used = {name for text in files for name in re.findall(r"(?<!\$)\$\{(\w+)", text)}
    named = set(re.findall(r"^#?(\w+)=", EXAMPLE, flags=re.MULTILINE))
    # Read by the docker compose command itself.
    assert named - {"COMPOSE_FILE"} == used


def test_the_example_shows_the_defaults() -> None:
    shown = dict(re.findall(r"^#(DETECTOR_\w+)=(.*)$", EXAMPLE, flags=re.MULTILINE))
    assert shown.pop(QUEUE) in environment("detector")[QUEUE]
    for name, text in shown.items():
        default = settings(Settings)[name]
        assert text == ("" if default in ((), None) else str(default)), name


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings(Settings):
        monkeypatch.setenv(name, "")
    assert Settings().max_points == 8640


KEY = "0123456789abcdef"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"DETECTOR_HOST": "0.0.0.0"}, "which others can reach, with no key"),  # noqa: S104
        # Outside of a container nothing is published.
        (
            {"DETECTOR_HOST": "0.0.0.0", "BIND_ADDRESS": "127.0.0.1"},  # noqa: S104
            "would listen on 0.0.0.0",
        ),
        (
            {"DETECTOR_IN_CONTAINER": "true", "BIND_ADDRESS": "192.0.2.1"},
            "would listen on 192.0.2.1",
        ),
        (
            {"DETECTOR_HOST": "192.0.2.1", "API_KEYS": f"{KEY},{KEY[1:]}"},
            "API_KEYS has a key of fewer than 16 characters",
        ),
        ({"DETECTOR_ALLOWED_HOSTS": "https://detector"}, "'https://detector' is no host"),
        ({"DETECTOR_ALLOWED_HOSTS": "*"}, "only where there are API_KEYS"),
        ({"DETECTOR_CORS_ORIGINS": "*"}, "'*' is no origin"),
        ({"DETECTOR_CORS_ORIGINS": "null"}, "'null' is no origin"),
        ({"DETECTOR_CORS_ORIGINS": "https://a.example/page"}, "with no path"),
        ({"DETECTOR_TRUSTED_PROXIES": "*"}, "'*' is no address or network"),
        ({"DETECTOR_MAX_BODIES_BYTES": "1000000"}, "must be at least 55924053"),
        ({"DETECTOR_WORKERS": "5"}, "must be at least 279620265"),
    ],
)
def test_what_lets_others_in_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], text: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=re.escape(text)) as raised:
        Settings()
    assert KEY[1:] not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [
        {"API_KEYS": "short"},
        {"DETECTOR_HOST": "192.0.2.1", "API_KEYS": KEY},
        {
            "DETECTOR_HOST": "0.0.0.0",  # noqa: S104
            "BIND_ADDRESS": "127.0.0.1",
            "DETECTOR_IN_CONTAINER": "true",
            "API_KEYS": "short",
        },
        {"BIND_ADDRESS": "192.0.2.1"},
        {"API_KEYS": "short", "DETECTOR_ALLOWED_HOSTS": "detector,*"},
        {"DETECTOR_ALLOWED_HOSTS": "detector, [::2]:80", "DETECTOR_TRUSTED_PROXIES": "10.0.0.0/8"},
        {"DETECTOR_CORS_ORIGINS": "https://plant.example.com, http://localhost:3000"},
    ],
)
def test_what_keeps_others_out_is_accepted(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    Settings()
