"""Backups in a bucket elsewhere have the same layout, and restore as those in a folder do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import seaweed
from backup_kit import Kit
from services import ROOT


@pytest.fixture
def elsewhere(kit: Kit) -> dict[str, str]:
    """Settings of a bucket that is not the stack's."""
    for key in kit.objects("elsewhere"):
        kit.s3.delete_object(Bucket="elsewhere", Key=key)
    return {
        "BACKUP_DESTINATION": "s3://elsewhere/plant/1",
        "BACKUP_S3_ENDPOINT_URL": kit.environment["MLFLOW_S3_ENDPOINT_URL"],
        "BACKUP_S3_ACCESS_KEY_ID": seaweed.KEYS["AWS_ACCESS_KEY_ID"],
        "BACKUP_S3_SECRET_ACCESS_KEY": seaweed.KEYS["AWS_SECRET_ACCESS_KEY"],
    }


def address(printed: str) -> str:
    found = re.match(r"s3://elsewhere/plant/1/[\dTZ-]+", printed.splitlines()[-1])
    assert found, printed
    return found[0]


def test_a_bucket_elsewhere_holds_a_backup_that_restores(
    kit: Kit, elsewhere: dict[str, Any]
) -> None:
    before = kit.content()
    backup = address(kit.run("create", **elsewhere))
    assert [path.name for path in kit.folder.iterdir()] == ["backup.prom"]
    keys = kit.objects("elsewhere").keys()
    names = {"manifest.json", "database.sql.gz", "objects.jsonl.gz", "queue.db"}
    assert {key.rsplit("/", 1)[1] for key in keys if "/objects/" not in key} == names
    assert len([key for key in keys if key.startswith("plant/1/objects/")]) == 3
    assert "would restore" in kit.run("verify", backup, **elsewhere)
    kit.empty()
    kit.run("restore", backup, **elsewhere)
    assert kit.content() == before


def test_it_is_incremental_there_and_removes_what_is_old(
    kit: Kit, elsewhere: dict[str, Any]
) -> None:
    first = address(kit.run("create", **elsewhere)).removeprefix("s3://elsewhere/")
    # What a killed upload leaves is no backup.
    kit.put("elsewhere", "plant/1/2026-01-01T00-00-00Z/queue.db", b"1")
    kit.put("elsewhere", "plant/1/objects/ab/abc", b"1")
    printed = kit.run("create", **elsewhere, BACKUP_KEEP="1")
    assert "of which 0 bytes were read" in printed
    keys = kit.objects("elsewhere").keys()
    second = address(printed).removeprefix("s3://elsewhere/")
    assert {key.split("/")[2] for key in keys} == {second.split("/")[2], "objects"}
    assert len(keys) == 7
    assert first != second


def test_damage_and_a_wrong_key_are_named(kit: Kit, elsewhere: dict[str, Any]) -> None:
    backup = address(kit.run("create", **elsewhere))
    [key] = [
        key
        for key, content in kit.objects("elsewhere").items()
        if "/objects/" in key and len(content) == 20000
    ]
    kit.put("elsewhere", key, b"2,1\n" * 5000)
    assert "datasets/sensors.csv (objects/" in kit.refused("verify", backup, **elsewhere)
    kit.s3.delete_object(Bucket="elsewhere", Key=key)
    assert "is missing" in kit.refused("verify", backup, **elsewhere)
    elsewhere["BACKUP_S3_SECRET_ACCESS_KEY"] = "wrong"  # noqa: S105
    for command in (["create"], ["verify", backup]):
        said = kit.refused(*command, **elsewhere)
        assert "The S3 store of backups refuses" in said
        assert "BACKUP_DESTINATION" in said


def test_the_manifest_is_uploaded_last(kit: Kit, elsewhere: dict[str, str], tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    partial.mkdir()
    (partial / "manifest.json").write_text("{}")
    # Its upload fails, as it would be cut off.
    (partial / "queue.db").symlink_to("nowhere")
    upload = (
        "from pathlib import Path; from backup.places import destination; "
        f"destination().finish(Path({str(partial)!r}), '2026-01-01T00-00-00Z')"
    )
    done = subprocess.run(
        [sys.executable, "-c", upload], cwd=ROOT, env=kit.environment | elsewhere,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "queue.db" in done.stderr
    assert kit.objects("elsewhere") == {}
