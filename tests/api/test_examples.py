"""Every operation of the description answers its own example, as it stands in /docs."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
from services import Answer, Service

from detector import MultivariateModel
from detector.api.multivariate import examples

# What an operation needs comes before it, and what takes it away comes last.
ORDER = {"put": 0, "post": 1, "get": 2, "delete": 3}
MODELS = "/multivariate/models"


def rank(operation: tuple[str, str, Any]) -> tuple[int, bool, str]:
    method, path, _ = operation
    return ORDER[method], not path.endswith(MODELS), path


def operations(description: Any) -> list[tuple[str, str, Any]]:
    found = [
        (method, path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    return sorted(found, key=rank)


class Person:
    """Runs the examples one after the other, and fills in what the answers before said."""

    def __init__(self, service: Service, kit: Any) -> None:
        self.service, self.until = service, kit.until
        self.known: dict[str, str] = {}

    def execute(self, method: str, path: str, operation: Any) -> Answer:
        for each in operation.get("parameters", []):
            if each["in"] == "path":
                usual = [example["value"] for example in each.get("examples", {}).values()]
                default = each["schema"].get("default")
                value = default or (usual or [self.known.get(each["name"])])[0]
                path = path.replace("{" + each["name"] + "}", value)
        answer = self.service.call(path, self._body(operation), method=method.upper())
        self._learn(path, answer)
        return answer

    def _body(self, operation: Any) -> Any:
        if "requestBody" not in operation:
            return None
        kind, content = next(iter(operation["requestBody"]["content"].items()))
        example = content.get("example", content["schema"].get("example"))
        assert example, f"{operation['operationId']} has no example"
        return example if kind == "application/json" else example.encode()

    def _learn(self, path: str, answer: Answer) -> None:
        if answer.status == 201 and path.endswith(MODELS):
            self.known["model_id"] = answer.json["modelId"]
            self._wait(answer.headers["Location"], "modelInfo")
        elif answer.status == 202:
            self.known["result_id"] = answer.json["resultId"]
            self._wait(answer.headers["operation-location"], "summary")

    def _wait(self, address: str, part: str) -> None:
        path = address.removeprefix(self.service.url)

        def ready() -> bool:
            told = self.service.call(path).json[part]
            assert told["status"] != "FAILED", told["errors"]
            return bool(told["status"] == "READY")

        self.until(ready, f"{path} is READY", pause=0.5)


def test_every_example_is_answered(factory: Any, kit: Any) -> None:
    person = Person(factory, kit)
    answered = {}
    for method, path, operation in operations(factory.call("/openapi.json").json):
        answer = person.execute(method, path, operation)
        answered[f"{method} {path}"] = (answer.status, answer.content[:200])
        # That of a series of a batch.
        assert "/timeseries/" not in path or b'"error"' not in answer.content
    assert len(answered) > 20
    assert {name: told for name, told in answered.items() if not 200 <= told[0] < 300} == {}


def test_the_examples_of_many_variables_find_the_fault() -> None:
    data = pd.read_csv(io.StringIO(examples.DATA), parse_dates=["timestamp"])
    asked = examples.TRAINING
    span = {"start": asked["startTime"], "end": asked["endTime"]}
    model = MultivariateModel.fit(data, sliding_window=asked["slidingWindow"], **span)
    columns = {each["variable"]: each["values"] for each in examples.LAST["variables"]}
    moments = pd.DatetimeIndex(examples.LAST["variables"][0]["timestamps"])
    # In the last minute the speed does not follow the pressure.
    last = model.detect(pd.DataFrame(columns, index=moments)).to_frame().iloc[-1]
    assert last.is_anomaly
    assert last.top == "speed"
