"""What the service says of itself, and its answers without a key."""

from __future__ import annotations

from typing import Any

import pytest

from detector.tracking import runs


def test_no_key_is_needed_to_see_whether_it_is_well(guarded: Any) -> None:
    for path in ("/", "/health/live", "/health/ready", "/metrics", "/openapi.json"):
        assert guarded.call(path).status == 200


def test_the_first_page_says_what_answers(service: Any) -> None:
    about = service.call("/").json
    assert about["models"] == {"univariate-entire": 1, "univariate-latest": 1, "change-point": 1}
    assert about["apiVersions"] == ["v1.0", "v1.1", "v1.1-preview", "v1.1-preview.1"]


def test_the_first_page_says_which_kernel_computes_and_why_numpy(unready: Any) -> None:
    about = unready.call("/").json
    assert (about["kernel"], about["kernelReason"]) == ("numpy", "DETECTOR_KERNEL asks for it")
    (said,) = [line for line in unready.log if line["logger"] == "detector.kernel"]
    assert (said["level"], said["reason"]) == ("info", about["kernelReason"])


def test_a_model_id_has_the_digits_of_ascii() -> None:
    # Python reads these digits as numbers, and no header can hold them.
    assert runs.run_id("00000000-0000-4000-8000-000000000001")
    with pytest.raises(ValueError, match="UUID"):
        runs.run_id("00000000-0000-4000-8000-00000000000\N{FULLWIDTH DIGIT ONE}")
