"""``GET /models``: the versions of each model, which one answers, and why one does not."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow import MlflowClient

NAME = "univariate-entire"
ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"


def test_each_model_has_its_version_that_answers(service: Any) -> None:
    answer = service.call("/models")
    assert answer.status == 200
    told = answer.json
    assert [each["kind"] for each in told["models"]] == ["entire", "last", "changepoint"]
    for each in told["models"]:
        assert (each["alias"], each["version"], each["refused"]) == ("champion", 1, None)
        (version,) = each["versions"]
        assert version["aliases"] == ["champion"]
        assert version["created"].endswith("Z")
        assert "granularity" in version["description"]
        assert version["link"] is None
        assert not each["more"]
    assert told["trainingEpochs"] == 100
    # It is a file.
    assert told["mlflow"] is None


def test_it_needs_the_key(guarded: Any, kit: Any) -> None:
    assert guarded.call("/models").status == 401
    assert guarded.call("/models", headers={kit.HEADER: kit.KEYS[1]}).status == 200


def test_an_answer_names_the_version_that_answered(service: Any, weeks: dict[str, Any]) -> None:
    for kind, name in (
        ("entire", NAME),
        ("last", "univariate-latest"),
        ("changepoint", "change-point"),
    ):
        headers = service.call(ENTIRE.replace("entire", kind), weeks).headers
        assert (headers["x-model-name"], headers["x-model-version"]) == (name, "1")


@pytest.mark.filterwarnings("ignore")
def test_with_a_server_each_version_has_a_link_and_a_refused_one_its_reason(
    follower: Any, mlflow_server: Any, kit: Any
) -> None:
    def told() -> Any:
        return follower.call("/models").json["models"][0]

    page = f"{mlflow_server.url}/#/models/{NAME}/versions"
    answer = follower.call("/models").json
    assert answer["mlflow"] == mlflow_server.url
    assert answer["models"][0]["versions"][-1]["link"] == f"{page}/1"
    client = MlflowClient(mlflow_server.url, mlflow_server.url)
    run = client.create_run("0")
    client.log_metric(run.info.run_id, "precision", 0.5)
    elsewhere = client.create_model_version(NAME, "s3://elsewhere/model", run.info.run_id)
    before = told()["version"]
    client.set_registered_model_alias(NAME, "champion", elsewhere.version)
    try:
        kit.until(lambda: told()["refused"], "the reason is told", 20)
        model = told()
        assert f"Version {elsewhere.version} of the model '{NAME}' is refused" in model["refused"]
        assert model["version"] == before
        newest = model["versions"][0]
        assert newest["aliases"] == ["champion"]
        assert newest["metrics"] == {"precision": 0.5}
        assert newest["link"] == f"{page}/{elsewhere.version}"
    finally:
        client.set_registered_model_alias(NAME, "champion", str(before))
    assert told()["refused"] is None
    client.delete_model_version(NAME, elsewhere.version)


def test_without_mlflow_it_says_so_in_one_sentence(unready: Any) -> None:
    answer = unready.call("/models")
    assert answer.status == 503
    assert "MLFLOW_TRACKING_URI" in answer.json["error"]["message"]
