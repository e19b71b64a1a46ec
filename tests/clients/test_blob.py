"""Clients that keep their data in blob storage change the endpoint, and nothing else."""

from __future__ import annotations

import io
import json
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
import quick_starts
import recordings
import services
from clients.azurite import Azurite, running
from services import Service, until

BASE = "/anomalydetector/v1.1/multivariate"
# The clients are old: what they warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def service(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service that trains, and may read from the blob storage."""
    with services.running(
        tmp_path_factory.mktemp("service"),
        DETECTOR_EMBEDDED_WORKER="true",
        DETECTOR_PRIVATE_DATA_HOSTS=azurite.host,
        DETECTOR_TRAINING_EPOCHS="2",
    ) as started:
        yield started


@pytest.fixture(scope="module")
def machine() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(services.table()), index_col="timestamp")


def begin(service: Service, source: str, **changes: Any) -> str:
    """Begin a training on a data source, and return the address of the model."""
    begun = service.call(f"{BASE}/models", services.training(dataSource=source, **changes))
    assert begun.status == 201, begun.content
    return f"{BASE}/models/{begun.json['modelId']}"


def ended(service: Service, address: str) -> dict[str, Any]:
    """Return a model once it is ready, or has failed."""

    def look() -> Any:
        found = service.call(address).json
        return found if found["modelInfo"]["status"] in ("READY", "FAILED") else None

    return until(look, address, 120)


def variables(model: dict[str, Any]) -> list[str]:
    info = model["modelInfo"]
    assert info["status"] == "READY", info["errors"]
    return sorted(state["variable"] for state in info["diagnosticsInfo"]["variableStates"])


def test_the_quick_start_reads_a_blob_by_its_token(service: Service, azurite: Azurite) -> None:
    azurite.make("quickstart")
    source = azurite.put("quickstart/sample.csv", recordings.SAMPLE.read_bytes())
    token = azurite.token("quickstart/sample.csv", "r")
    answers = quick_starts.multivariate(service.url, "any", f"{source}?{token}")
    assert answers.model.model_info.data_source == f"{source}?..."
    assert len(answers.batch.results) == 301


def test_a_folder_of_variables_is_trained_on(
    service: Service, azurite: Azurite, machine: pd.DataFrame
) -> None:
    azurite.make("machines")
    for name in machine:
        file = machine[name].rename("value").to_csv().encode()
        azurite.put(f"machines/first/{name}.csv", file)
    source = f"{azurite.url}/machines/first?{azurite.token('machines')}"
    model = ended(service, begin(service, source, dataSchema="MultiTable"))
    assert variables(model) == sorted(machine)


@pytest.mark.parametrize("address", ["part", "folder"])
def test_what_synapseml_writes_is_read(
    service: Service, azurite: Azurite, machine: pd.DataFrame, address: str
) -> None:
    """It writes one part below a folder called like a file, and names the part, without a token.

    The folder may be named as well, also where Spark wrote more parts.
    """
    container, folder = f"synapse-{address}", "intermediateData/SimpleFitMultivariateAnomaly_0f.csv"
    azurite.make(container, public="container")
    azurite.put(f"{container}/intermediateData", b"", hdi_isfolder="true")
    source = azurite.put(f"{container}/{folder}", b"", hdi_isfolder="true")
    azurite.put(f"{container}/{folder}/_SUCCESS", b"")
    written, count = uuid.uuid4(), 1 if address == "part" else 4
    for part in range(count):
        file = machine.iloc[part::count].to_csv().encode()
        named = azurite.put(f"{container}/{folder}/part-{part:05}-{written}-c000.csv", file)
    model = ended(service, begin(service, named if address == "part" else source))
    assert variables(model) == sorted(machine)
    # As whole as the table: the same rows of each variable.
    states = model["modelInfo"]["diagnosticsInfo"]["variableStates"]
    assert {state["effectiveCount"] for state in states} == {len(machine)}


def test_what_grants_access_stands_nowhere(
    service: Service, azurite: Azurite, machine: pd.DataFrame
) -> None:
    azurite.make("secret")
    azurite.put("secret/data/a.csv", machine["speed"].rename("value").to_csv().encode())
    azurite.put("secret/data/b.csv", b"nothing of use")
    refused = {
        "data": (azurite.token("secret"), "FileColumnsNotExist"),
        "data/": (azurite.token("secret", "r"), "GetDataError"),
    }
    begun = [begin(service, f"{azurite.url}/secret/{path}?{refused[path][0]}") for path in refused]
    models = [ended(service, address) for address in begun]
    errors = [model["modelInfo"]["errors"][0]["code"] for model in models]
    assert errors == [code for _, code in refused.values()]

    def is_forgotten() -> bool:
        with sqlite3.connect(service.folder / "jobs.db") as rows:
            return rows.execute("SELECT COUNT(*) FROM kv").fetchone() == (0,)

    until(is_forgotten, "the queue keeps no address")
    files = [path for path in service.folder.rglob("*") if path.is_file()]
    kept = {str(path): path.read_bytes() for path in files if not path.name.startswith("jobs.db")}
    assert {"mlflow.db", "output"} <= {Path(name).name for name in kept}
    kept["answers"] = json.dumps([*models, service.call(f"{BASE}/models").json]).encode()
    # Those of the other tests, which succeeded, too.
    secrets = {
        text for signature in azurite.signatures for text in (signature, quote(signature, safe=""))
    }
    assert len(azurite.signatures) >= len(refused)
    for name, content in kept.items():
        assert not [secret for secret in secrets if secret.encode() in content], name
    assert f"{azurite.url}/secret/data?...".encode() in kept["answers"]
