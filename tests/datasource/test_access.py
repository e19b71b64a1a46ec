"""Settings say what may be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.datasource import Access
from detector.settings import DataSettings, Settings


def test_settings_say_what_may_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_S3_ENDPOINT_URL", raising=False)
    plain = Access.from_settings(DataSettings())
    assert plain == Access(folders=(tmp_path.resolve() / "datasets",))
    monkeypatch.setenv("DETECTOR_DATA_FOLDERS", f"{tmp_path}/a, b")
    monkeypatch.setenv("DETECTOR_DATA_HOSTS", "Data.Example.com, [::1]:8000")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://minio:9000")
    given = Access.from_settings(Settings())
    assert given.folders == (tmp_path.resolve() / "a", tmp_path.resolve() / "b")
    assert given.hosts == {"data.example.com", "[::1]:8000"}
    assert given.store_url == "http://minio:9000"


@pytest.mark.parametrize("host", ["http://a", "a/b", "user@a", "*", "a:b", "::1"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        DataSettings(data_hosts=(host,))
