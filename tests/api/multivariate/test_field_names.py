"""Names of fields: a client may write them in any case, and a message has them as usual."""

from typing import Any

import pytest

from detector.api.multivariate import requests
from detector.errors import DetectionError

ASKED = {
    "dataSource": "machine.csv",
    "startTime": "2026-01-01T00:00:00Z",
    "endTime": "2026-01-02T00:00:00Z",
}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("slidingWindow", {"slidingWindow": 27}),
        ("alignMode", {"alignPolicy": {"alignMode": "outer"}}),
        ("fillNAMethod", {"alignPolicy": {"fillNAMethod": "Mean"}}),
        ("paddingValue", {"alignPolicy": {"fillNAMethod": "Fixed"}}),
    ],
)
def test_field_of_a_training_is_named_as_on_the_wire(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(DetectionError, match=f"^[A-Za-z]+: The '{name}' field "):
        requests.training(ASKED | wrong, "v1.1")


def in_pascal_case(record: Any) -> Any:
    if not isinstance(record, dict):
        return record
    return {name[0].upper() + name[1:]: in_pascal_case(each) for name, each in record.items()}


POLICY = {"alignMode": "Inner", "fillNAMethod": "Fixed", "paddingValue": 3}
WHOLE = ASKED | {"slidingWindow": 30, "displayName": "m", "alignPolicy": POLICY}


@pytest.mark.parametrize("version", ["v1.1", "v1.1-preview.1"])
def test_a_training_may_be_written_in_any_case(version: str) -> None:
    asked = WHOLE | {"source": ASKED["dataSource"], "dataSchema": "MultiTable"}
    usual = requests.training(asked, version)
    assert (usual.sliding_window, usual.align.padding_value) == (30, 3)
    assert requests.training(in_pascal_case(asked), version) == usual
    upper = {name.upper(): value for name, value in asked.items()}
    assert requests.training(upper, version) == usual


def test_a_batch_detection_may_be_written_in_any_case() -> None:
    usual = requests.detection(ASKED | {"topContributorCount": 3}, "v1.1")
    assert usual.top_contributors == 3
    assert requests.detection(in_pascal_case(ASKED | {"topContributorCount": 3}), "v1.1") == usual


def test_of_a_field_in_several_spellings_the_usual_one_counts() -> None:
    asked = {"DisplayName": "a"} | ASKED | {"displayName": "b", "DISPLAYNAME": "c"}
    assert requests.training(asked, "v1.1").display_name == "b"
    with pytest.raises(DetectionError, match="'startTime' field is required"):
        requests.training(ASKED | {"startTime": None, "StartTime": ASKED["startTime"]}, "v1.1")
