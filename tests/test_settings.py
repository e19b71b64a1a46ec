"""Every setting can be set in the stack, and stands in .env.example with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.settings import JobSettings, Settings

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
# What the stack itself decides: the port is published as DETECTOR_PORT, the worker is a service of
# its own, and the store is the stack's.
DECIDED = {"DETECTOR_HOST", "PORT", "DETECTOR_EMBEDDED_WORKER", "MLFLOW_S3_ENDPOINT_URL"}
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
    files = [COMPOSE, *(path.read_text() for path in ROOT.glob("minio/*.yml"))]
    used = {name for text in files for name in re.findall(r"(?<!\$)\$\{(\w+)", text)}
    named = set(re.findall(r"^#?(\w+)=", EXAMPLE, flags=re.MULTILINE))
    # Read by the docker compose command itself.
    assert named - {"COMPOSE_FILE"} == used


def test_the_example_shows_the_defaults() -> None:
    shown = dict(re.findall(r"^#(DETECTOR_\w+)=(.*)$", EXAMPLE, flags=re.MULTILINE))
    assert shown.pop(QUEUE) in environment("detector")[QUEUE]
    for name, text in shown.items():
        default = settings(Settings)[name]
        assert text == ("" if default == () else str(default)), name


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings(Settings):
        monkeypatch.setenv(name, "")
    assert Settings().max_points == 8640
