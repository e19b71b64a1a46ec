"""A backup holds all, copies nothing twice, and leaves nothing behind where it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mariadb
import pytest
from backup_kit import SECRETS, Kit
from services import ROOT, free_port, until


def files(folder: Path) -> dict[str, bytes]:
    """Return what a folder of backups holds, but for what Prometheus reads."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".prom"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def metrics(folder: Path) -> dict[str, float]:
    lines = (folder / "backup.prom").read_text().splitlines()
    pairs = [line.split() for line in lines if not line.startswith("#")]
    return {name.removeprefix("backup_"): float(value) for name, value in pairs}


def test_a_backup_counts_what_it_has(kit: Kit) -> None:
    printed = kit.run("create")
    [name] = kit.backups()
    manifest = kit.manifest(str(kit.folder / name))
    assert manifest["rows"] == {"alembic_version": 1, "runs": 4, "metrics": 1000}
    assert manifest["objects"]["mlflow"] == {"count": 3, "bytes": 18002}
    assert manifest["objects"]["datasets"] == {"count": 1, "bytes": 20000}
    assert manifest["jobs"] == 1
    assert manifest["versions"]["schema"] == "abc"
    # Two pictures are the same.
    assert len(list((kit.folder / "objects").glob("*/*"))) == 3
    assert printed.splitlines()[-1].startswith(f"{kit.folder}/{name}: ")
    found = metrics(kit.folder)
    assert found["last_success_timestamp_seconds"] == found["last_attempt_timestamp_seconds"] > 0
    assert found["last_attempt_failed"] == 0
    assert found["bytes"] > 38002


def test_only_its_owner_reads_it_and_no_secret_is_in_it(kit: Kit) -> None:
    printed = kit.run("create")
    for path in kit.folder.rglob("*"):
        if path.name != "backup.prom":
            assert path.stat().st_mode & 0o077 == 0, path
    for secret in (mariadb.PASSWORD, *SECRETS.values()):
        assert secret not in printed
        assert not [name for name, data in files(kit.folder).items() if secret.encode() in data]


def test_a_second_backup_copies_what_is_new_only(kit: Kit) -> None:
    kit.create()
    before = {path: path.stat().st_ino for path in (kit.folder / "objects").glob("*/*")}
    kit.put("mlflow", "1/a/artifacts/new.txt", b"new")
    kit.s3.delete_object(Bucket="mlflow", Key="1/b/artifacts/odd name é+%2F.json")
    printed = kit.run("create")
    assert "of which 3 bytes were read from the store" in printed
    after = {path: path.stat().st_ino for path in (kit.folder / "objects").glob("*/*")}
    assert before.items() < after.items()
    assert len(after) == len(before) + 1
    assert "of which 0 bytes were read" in kit.run("create")


def test_an_object_that_the_pool_has_lost_is_read_again(kit: Kit) -> None:
    first = kit.create()
    lost, cut, _ = sorted(
        (kit.folder / "objects").glob("*/*"), key=lambda path: path.stat().st_size
    )
    lost.unlink()
    cut.write_bytes(b"cut")
    kit.create()
    assert "would restore" in kit.run("verify", first)


def test_the_last_backups_are_kept_with_their_objects(kit: Kit) -> None:
    first = kit.create(BACKUP_KEEP="2")
    for bucket in ("mlflow", "datasets"):
        for key in kit.objects(bucket):
            kit.s3.delete_object(Bucket=bucket, Key=key)
    second = kit.create(BACKUP_KEEP="2")
    assert len(list((kit.folder / "objects").glob("*/*"))) == 3
    third = kit.create(BACKUP_KEEP="2")
    assert kit.backups() == [Path(second).name, Path(third).name]
    assert first not in (second, third)
    assert not list((kit.folder / "objects").glob("*/*"))


def test_what_a_killed_backup_leaves_is_no_backup_and_goes_with_the_next(kit: Kit) -> None:
    for place in range(16):
        kit.put("mlflow", f"1/a/large-{place}", os.urandom(4 << 20))
    with kit.start("create") as program:
        until(
            lambda: len(list(kit.folder.glob("objects/*/*"))) > 3, "objects are copied", pause=0.001
        )
        program.kill()
    assert [path.name[:9] for path in kit.folder.iterdir() if path.name != "objects"] == [
        ".partial-"
    ]
    for place in range(16):
        kit.s3.delete_object(Bucket="mlflow", Key=f"1/a/large-{place}")
    kit.create()
    assert not list(kit.folder.glob(".partial-*"))
    assert len(list(kit.folder.glob("objects/*/*"))) == 3


def test_a_stopped_backup_leaves_nothing(kit: Kit) -> None:
    kit.put("mlflow", "1/a/large", os.urandom(64 << 20))
    with kit.start("create") as program:
        until(
            lambda: list(kit.folder.glob(".partial-*/object-*")), "objects are copied", pause=0.001
        )
        program.terminate()
        error = program.communicate()[1]
    assert error == "backup: stopped before its end; try again.\n"
    assert files(kit.folder) == {}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"MYSQL_PORT": "{port}"}, "docker compose logs db"),
        ({"MYSQL_PASSWORD": "another"}, "MySQL refuses the user of the stack: MYSQL_PASSWORD"),
        ({"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:{port}"}, "docker compose logs minio"),
        ({"DETECTOR_STORE_SECRET": "another"}, "refuses"),
        ({"BACKUP_KEEP": "0"}, "a number of backups of at least 1"),
        ({"BACKUP_DESTINATION": "/mnt"}, "BACKUP_DESTINATION is '/mnt'"),
    ],
)
def test_one_that_fails_says_why_and_leaves_the_last_as_it_was(
    kit: Kit, wrong: dict[str, str], says: str
) -> None:
    kit.create()
    before = files(kit.folder)
    port = free_port()
    given = {name: value.format(port=port) for name, value in wrong.items()}
    assert says in kit.refused("create", **given)
    assert files(kit.folder) == before
    found = metrics(kit.folder)
    assert found["last_attempt_failed"] == 1
    assert found["last_success_timestamp_seconds"] > 0


def test_a_folder_that_cannot_be_written_is_named(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be used" in kit.refused("create", BACKUP_MOUNT=str(tmp_path / "file" / "x"))


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"cut")])
def test_a_backup_whose_list_is_damaged_stops_no_other(
    kit: Kit, damage: Callable[[Path], object]
) -> None:
    first = Path(kit.create())
    damage(first / "objects.jsonl.gz")
    kit.s3.delete_object(Bucket="datasets", Key="sensors.csv")
    printed = kit.run("create")
    assert f"{first} is damaged: its objects.jsonl.gz cannot be read" in printed
    # Some of them may be the damaged one's.
    assert len(list((kit.folder / "objects").glob("*/*"))) == 3
    assert "would restore" in kit.run("verify", str(kit.folder / kit.backups()[-1]))
    kit.create(BACKUP_KEEP="1")
    assert len(list((kit.folder / "objects").glob("*/*"))) == 2


def test_two_do_not_run_at_once(kit: Kit) -> None:
    with kit.engine.connect() as connection:
        connection.exec_driver_sql("SELECT GET_LOCK('anomaly-detector-maintenance', 0)")
        assert "is under way on this stack" in kit.refused("create")
    subprocess.run(["flock", kit.folder, "sleep", "0"], check=True)
    # Who reads a backup shares the lock with others who do.
    with subprocess.Popen(["flock", "-s", kit.folder, "cat"], stdin=subprocess.PIPE) as other:
        taken = ["flock", "-n", kit.folder, "true"]
        until(lambda: subprocess.run(taken, check=False).returncode, "the folder is locked")
        assert "uses this folder is under way" in kit.refused("create")
        assert other.stdin is not None
        other.stdin.close()


def test_a_queue_that_is_elsewhere_is_said_to_be_left_out(kit: Kit) -> None:
    printed = kit.run("create", DETECTOR_QUEUE="redis://redis:6379/0")
    assert "not in this backup: the queue, which is in Redis" in printed


def test_one_that_is_stopped_at_its_last_step_keeps_its_objects(kit: Kit) -> None:
    stopped = (
        "import os, sys; from backup.__main__ import main; "
        "os.fsync = lambda _: os.kill(os.getpid(), 15); sys.argv = ['backup', 'create']; main()"
    )
    command = [sys.executable, "-c", stopped]
    done = subprocess.run(command, cwd=ROOT, env=kit.environment, check=False)
    assert done.returncode == 1
    [name] = kit.backups()
    assert "would restore" in kit.run("verify", str(kit.folder / name))
