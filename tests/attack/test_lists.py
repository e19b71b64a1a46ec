"""A long list is one search, and holds up nobody."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
import services
from bench.lists import make_models
from services import Service, keep_data, prepare, running

BASE = "/anomalydetector"
MODELS = f"{BASE}/v1.1/multivariate/models"
# Models; and detections that may be unfinished.
COUNT, MOST = 200, 3


def keep_many_models(folder: Path) -> None:
    """Keep many models that are READY in the folder of a service to come."""
    prepare(folder)
    before = mlflow.get_tracking_uri()
    make_models(folder / "mlflow.db", COUNT)
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service with many models of many variables, and little room for detections."""
    folder = tmp_path_factory.mktemp("wide")
    keep_data(folder)
    keep_many_models(folder)
    with sqlite3.connect(folder / "mlflow.db") as store:
        store.execute("UPDATE params SET value = '301' WHERE key = 'variables'")
    with running(folder, DETECTOR_MAX_UNFINISHED_DETECTIONS=str(MOST)) as service:
        yield service


def test_a_list_is_whole_and_reads_no_file(begin: Callable[..., Service], tmp_path: Path) -> None:
    keep_many_models(tmp_path / "0")
    shutil.rmtree(tmp_path / "0" / "mlruns")
    (tmp_path / "0" / "mlruns").write_text("no folder")
    service = begin().wait("/health/live")
    listed = service.call(f"{MODELS}?top=1000").json
    assert listed["currentCount"] == len(listed["models"]) == COUNT
    infos = [each["modelInfo"] for each in listed["models"]]
    assert {each["status"] for each in infos} == {"READY"}
    assert {len(each["diagnosticsInfo"]["variableStates"]) for each in infos} == {5}
    assert {len(each["diagnosticsInfo"]["modelState"]["epochIds"]) for each in infos} == {10}
    pages = [service.call(f"{MODELS}?skip={skip}&top=60").json for skip in range(0, COUNT, 60)]
    assert [each for page in pages for each in page["models"]] == listed["models"]
    preview = f"{BASE}/v1.1-preview.1/multivariate/models"
    short = service.call(f"{preview}?$top=1000").json["models"]
    assert [each["variablesCount"] for each in short] == [5] * COUNT
    # Some ask for lists, all at once; more than may wait are refused, and others are not.
    with ThreadPoolExecutor(48) as threads:
        lists = [threads.submit(service.call, f"{MODELS}?top=1000") for _ in range(47)]
        one = threads.submit(service.call, f"{MODELS}/{listed['models'][0]['modelId']}")
        assert one.result().status == 200
        assert {each.result().status for each in lists} <= {200, 429}
    # A model that goes, and the lists know.
    path = f"{MODELS}/{listed['models'][3]['modelId']}"
    assert service.call(path, method="DELETE").status == 204
    after = service.call(f"{MODELS}?top=1000").json
    assert after["currentCount"] == COUNT - 1
    assert after["models"] == listed["models"][:3] + listed["models"][4:]


def test_an_answer_of_many_variables_is_paged(wide: Service) -> None:
    path, seen, pages = f"{MODELS}?top=150", set[str](), 0
    while path:
        page = wide.call(path).json
        assert page["currentCount"] == COUNT
        seen |= {each["modelId"] for each in page["models"]}
        path, pages = page["nextLink"].removeprefix(wide.url), pages + 1
    assert (len(seen), pages) == (150, 2)


def test_batch_detections_are_taken_up_to_a_limit(wide: Service) -> None:
    at_once = 12
    model = wide.call(f"{MODELS}?top=1").json["models"][0]["modelId"]

    def ask(_: int) -> services.Answer:
        return wide.call(f"{MODELS}/{model}:detect-batch", services.training())

    with ThreadPoolExecutor(at_once) as threads:
        answers = list(threads.map(ask, range(at_once)))
    taken = [each for each in answers if each.status == 202]
    refused = [each for each in answers if each.status == 429]
    # Those that the eight threads of the store had begun may come through beside.
    assert MOST <= len(taken) <= MOST + 7
    assert len(taken) + len(refused) == at_once
    last = ask(0)
    assert last.status == 429
    assert int(last.headers["Retry-After"]) > 0
    assert "DETECTOR_MAX_UNFINISHED_DETECTIONS" in last.json["error"]["message"]
    preview = f"{BASE}/v1.1-preview.1/multivariate/models/{model}/detect"
    asked = services.training()
    assert wide.call(preview, asked | {"source": asked["dataSource"]}).status == 429
