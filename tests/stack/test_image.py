"""The image by itself, started as the documentation says: its key, and what outlives it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from compose import ROOT, Stack, wait_until
from services import (
    HEADER,
    MINUTES,
    Answer,
    Service,
    free_port,
    latest,
    minute,
    table,
    training,
)

NAME = "anomaly-detector-alone"
DATA = "/var/lib/detector"
MODELS = "/anomalydetector/v1.1/multivariate/models"
CONTAINER_ARGUMENTS = ["Eula=accept", "Billing=https://plant.cognitiveservices.azure.com/"]


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


class Alone(Service):
    """A container that runs by itself."""

    def __init__(self, documented: str, *arguments: str) -> None:
        """Run what a page says, under a name, on a port and with a volume of the tests' own."""
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.key = "any"
        command = documented.split()
        assert command[:4] == ["docker", "run", "-d", "--name"]
        command[4] = NAME
        command = [re.sub(r"\b5000:8080$", f"{self.port}:8080", each) for each in command]
        command = [re.sub(r"^detector:", f"{NAME}:", each) for each in command]
        quick = ["-e", "DETECTOR_TRAINING_EPOCHS=3"]
        docker("run", *quick, *command[2:], *arguments)
        wait_until(lambda: self.answers("/ready"), "the container is ready")

    def answers(self, path: str) -> bool:
        try:
            return self.call(path, headers={}).status == 200
        except OSError:
            return False

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Answer:
        return self.call(path, body, method=method, headers={HEADER: self.key})


def documented(page: str) -> str:
    """Return how a page says to run the image."""
    [command] = re.findall(r"docker run -d .*", (ROOT / page).read_text())
    return str(command)


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    """Build the image; Compose knows the base that this machine has."""
    Stack(NAME, port=0, detector_port=0).compose("build", "detector")


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    for command in (["rm", "-f"], ["volume", "rm", "-f"]):
        subprocess.run(["docker", *command, NAME], capture_output=True, check=True)


def test_it_runs_alone_and_what_it_has_outlives_it() -> None:
    alone = Alone(documented("docs/api.md"))
    # Nobody gets in who cannot read the volume.
    assert alone.call(MODELS, headers={}).status == 401
    assert alone.ask(MODELS).status == 401
    alone.key = docker("exec", NAME, "cat", f"{DATA}/api-key").strip()
    log = docker("logs", NAME)
    container = docker("exec", NAME, "hostname").strip()
    assert f"docker exec {container} cat {DATA}/api-key" in log
    assert alone.key not in log
    assert docker("exec", NAME, "stat", "-c", "%a %U", f"{DATA}/api-key").split() == [
        "600",
        "workspace",
    ]

    source = alone.ask("/datasets/machine", table().encode(), "PUT").json["dataSource"]
    begun = alone.ask(MODELS, training(dataSource=source))
    assert begun.status == 201, begun.content
    model = f"{MODELS}/{begun.json['modelId']}"

    def trained() -> bool:
        info = alone.ask(model).json["modelInfo"]
        assert info["status"] != "FAILED", info["errors"]
        return bool(info["status"] == "READY")

    wait_until(trained, "the model is READY")
    # The key is beside the data, and is none.
    for place in ("../api-key", f"file://{DATA}/api-key", f"{DATA}/api-key"):
        assert alone.ask(MODELS, training(dataSource=place)).json["code"] == "InvalidBlobURL"
    times = {"startTime": minute(0), "endTime": minute(MINUTES - 1)}
    batch = alone.ask(f"{model}:detect-batch", {"dataSource": source, **times})
    assert batch.status == 202, batch.content
    result = f"/anomalydetector/v1.1/multivariate/detect-batch/{batch.headers['operation-id']}"

    def found() -> bool:
        return bool(alone.ask(result).json["summary"]["status"] == "READY")

    wait_until(found, "the batch detection is READY")
    before = alone.ask(result).json["results"]
    scored = alone.ask(f"{model}:detect-last", latest(topContributorCount=3)).json
    wait_until(lambda: health() == "healthy", "Docker says that it is healthy")
    docker("stop", NAME)
    assert docker("inspect", NAME, "--format", "{{.State.ExitCode}}").strip() == "0"
    docker("rm", NAME)

    # A new container on the volume, which only this machine reaches, for callers that send no key.
    guide = documented("docs/migrate-from-azure.md")
    assert guide.split()[:-2] == documented("README.md").split()
    alone = Alone(guide)
    assert alone.call(model, headers={}).json["modelInfo"]["status"] == "READY"
    assert alone.call(result, headers={}).json["results"] == before
    assert [each["dataSource"] for each in alone.ask("/datasets").json["datasets"]] == [source]
    assert alone.ask(f"{model}:detect-last", latest(topContributorCount=3)).json == scored
    assert alone.call(MODELS, headers={HEADER: "", "Sec-Fetch-Site": "cross-site"}).status == 401
    assert alone.call(MODELS, headers={HEADER: "", "Host": "a.example.com"}).status == 403
    assert "api-key" not in docker("logs", NAME)


def health() -> str:
    state: dict[str, Any] = json.loads(docker("inspect", NAME))[0]["State"]
    return str(state["Health"]["Status"])


def test_the_key_of_its_arguments_opens_and_is_in_no_log() -> None:
    key = "0123456789abcdef0123456789abcdef"
    alone = Alone(documented("docs/api.md"), *CONTAINER_ARGUMENTS, f"ApiKey={key}")
    assert alone.call(MODELS, headers={}).status == 401
    alone.key = key
    assert alone.ask(MODELS).status == 200
    assert alone.call("/status", headers={}).json["apiStatus"] == "Valid"
    log = docker("logs", NAME)
    assert "No longer needed: Billing." in log
    assert key not in log
    assert "api-key" not in log


def test_its_kernel_is_compiled_and_it_has_no_compiler() -> None:
    alone = Alone(documented("docs/api.md"))
    assert alone.call("/", headers={}).json["kernel"] == "native"
    assert docker("exec", NAME, "sh", "-c", "command -v gcc cc || echo none").strip() == "none"


def test_it_speaks_tls_where_its_command_line_says_so(tmp_path: Path) -> None:
    port = free_port()
    published = ["-p", f"127.0.0.1:{port}:8080", "-e", "BIND_ADDRESS=127.0.0.1"]
    volume = ["-v", f"{NAME}:{DATA}"]
    image = documented("README.md").split()[-1]
    docker("run", "-d", "--name", NAME, *published, *volume, image, "--tls", "self")
    wait_until(lambda: health() == "healthy", "Docker says that it is healthy")
    docker("cp", f"{NAME}:{DATA}/tls/authority.pem", str(tmp_path))
    trusted = str(tmp_path / "authority.pem")
    answer = requests.get(f"https://localhost:{port}/ready", verify=trusted, timeout=10)
    assert answer.status_code == 200
