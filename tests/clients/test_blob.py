"""Clients that keep their data in blob storage change the endpoint, and nothing else."""

from __future__ import annotations

import io
import json
import sqlite3
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
import quick_starts
import recordings
import services
from clients.azurite import Azurite
from services import Service, until

BASE = "/anomalydetector/v1.1/multivariate"
# The clients are old: what they warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def service(azurite: Azurite, served: Service) -> Service:
    """Return the service over http, which may read from the blob storage."""
    return served


@pytest.fixture(scope="module")
def machine() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(services.table()), index_col="timestamp")


def begin(service: Service, source: str) -> str:
    """Begin a training on a data source, and return the address of the model."""
    begun = service.call(f"{BASE}/models", services.training(dataSource=source))
    assert begun.status == 201, begun.content
    return f"{BASE}/models/{begun.json['modelId']}"


def ended(service: Service, address: str) -> dict[str, Any]:
    """Return a model once it is ready, or has failed."""

    def look() -> Any:
        found = service.call(address).json
        return found if found["modelInfo"]["status"] in ("READY", "FAILED") else None

    return until(look, address, 120)


def test_the_quick_start_reads_a_blob_by_its_token(service: Service, azurite: Azurite) -> None:
    azurite.make("quickstart")
    source = azurite.put("quickstart/sample.csv", recordings.SAMPLE.read_bytes())
    token = azurite.token("quickstart/sample.csv", "r")
    answers = quick_starts.multivariate(service.url, "any", f"{source}?{token}")
    assert answers.model.model_info.data_source == f"{source}?..."
    assert len(answers.batch.results) == 301


def test_what_synapseml_writes_is_read(
    service: Service, azurite: Azurite, machine: pd.DataFrame
) -> None:
    """It writes one part below a folder called like a file, and names the part, without a token."""
    folder = "intermediateData/SimpleFitMultivariateAnomaly_0f.csv"
    azurite.make("synapse", public="container")
    for marked in ("intermediateData", folder):
        azurite.put(f"synapse/{marked}", b"", hdi_isfolder="true")
    azurite.put(f"synapse/{folder}/_SUCCESS", b"")
    part = f"synapse/{folder}/part-00000-{uuid.uuid4()}-c000.csv"
    model = ended(service, begin(service, azurite.put(part, machine.to_csv().encode())))
    assert model["modelInfo"]["status"] == "READY", model["modelInfo"]["errors"]
    # As whole as the table: the same rows of each variable.
    states = model["modelInfo"]["diagnosticsInfo"]["variableStates"]
    assert sorted(state["variable"] for state in states) == sorted(machine)
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
