"""Addresses of data in answers: absolute, whatever was asked for or stored."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.api.multivariate.data_addresses import absolute
from detector.datasource import Access, check
from detector.multivariate.requests import TrainingRequest
from detector.tracking import runs

V1_1, PREVIEW = (f"/anomalydetector/{each}/multivariate" for each in ("v1.1", "v1.1-preview.1"))
# What `Uri` of .NET and Java take: a scheme, and no character that must be percent-encoded.
URI = re.compile(r"[a-z][a-z0-9+.-]*:[!#-;=?-\[\]_a-z~]+", re.ASCII | re.IGNORECASE)
FOLDERS = (Path("/srv/datasets"), Path("/srv/more data"))


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("machine.csv", "file:///srv/datasets/machine.csv"),
        ("machines/", "file:///srv/datasets/machines"),
        ("a b?c#d%.csv", "file:///srv/datasets/a%20b%3Fc%23d%25.csv"),
        ("/srv/more data/machine.csv", "file:///srv/more%20data/machine.csv"),
        ("../more data/machine.csv", "file:///srv/more%20data/machine.csv"),
        ("file:///srv/datasets/a%20b.csv", "file:///srv/datasets/a%20b.csv"),
        ("FILE://localhost/srv/datasets/a.csv", "file:///srv/datasets/a.csv"),
        ("file:machine.csv", "file:///srv/datasets/machine.csv"),
        ("file://[", "file:///srv/datasets"),
        ("s3://datasets/machine.csv", "s3://datasets/machine.csv"),
        ("https://data.example.com/a.csv?...", "https://data.example.com/a.csv?..."),
        ("sample:pump", "sample:pump"),
        # What lies elsewhere a script has read; where it lay is nobody's business.
        ("/home/ann/machine.csv", "file:///machine.csv"),
        ("../../etc/passwd", "file:///passwd"),
        ("/srv/datasets/../secret/a.csv", "file:///a.csv"),
    ],
)
def test_an_address_is_absolute_and_tells_of_no_other_folder(source: str, address: str) -> None:
    assert absolute(source, FOLDERS) == address
    assert URI.fullmatch(address)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_was_stored_is_told_as_an_address(source: str) -> None:
    address = absolute(source, FOLDERS)
    assert re.match("[A-Za-z][A-Za-z0-9+.-]*:", address)
    assert not address.startswith("file:") or URI.fullmatch(address)


def test_an_address_is_accepted_again(tmp_path: Path) -> None:
    folder, link = tmp_path / "a b%20c", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    (folder / "ä?#.csv").write_text("timestamp,a\n")
    access = Access(folders=(folder,))
    for source in ("ä?#.csv", f"{link}/ä?#.csv", f"{folder}/ä?#.csv"):
        check(source, access)
        address = absolute(source, access.folders)
        assert address == (folder / "ä?#.csv").as_uri()
        check(address, access)


def test_every_answer_has_the_address_of_the_data(factory: Any, model_id: str, kit: Any) -> None:
    address = (factory.folder / "datasets" / "machine.csv").as_uri()
    assert factory.call(f"{V1_1}/models/{model_id}").json["modelInfo"]["dataSource"] == address
    assert factory.call(f"{PREVIEW}/models/{model_id}").json["modelInfo"]["source"] == address
    listed = factory.call(f"{V1_1}/models?top=100").json["models"]
    assert all(urlsplit(each["modelInfo"]["dataSource"]).scheme for each in listed)
    # As it was answered, it is accepted again.
    asked = {"dataSource": address, "startTime": kit.minute(100), "endTime": kit.minute(101)}
    begun = factory.call(f"{V1_1}/models/{model_id}:detect-batch", asked)
    assert begun.status == 202, begun.content
    assert begun.json["summary"]["setupInfo"]["dataSource"] == address
    result = begun.headers["operation-id"]
    preview = factory.call(f"{PREVIEW}/results/{result}").json
    assert preview["summary"]["setupInfo"]["source"] == address


def test_models_that_others_wrote_have_addresses_too(factory: Any) -> None:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{factory.folder}/mlflow.db")
    try:
        # As scripts of older versions named their data.
        for source, address in (
            ("pump", (factory.folder / "datasets" / "pump").as_uri()),
            ("/home/ann/machine.csv", "file:///machine.csv"),
        ):
            request = TrainingRequest(source, pd.Timestamp(0), pd.Timestamp(1))
            model = runs.create_model(request, queued=False).model_id
            info = factory.call(f"{V1_1}/models/{model}").json["modelInfo"]
            assert info["dataSource"] == address
            runs.delete_model(model)
    finally:
        mlflow.set_tracking_uri(before)
