"""Messages to a client name a field as the client wrote it, not as Python does."""

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
