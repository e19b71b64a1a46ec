"""The parts of a stack that are backed up, and the program that does it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import mariadb
import seaweed
import sqlalchemy as sa
from services import ROOT

SECRETS = {"mlflow": "the-secret-of-mlflow", "detector": "the-secret-of-detector"}
TABLES = {
    "alembic_version": "version_num VARCHAR(32)",
    "runs": "id INT PRIMARY KEY, name TEXT, raw VARBINARY(20)",
    "metrics": "run INT, value DOUBLE, FOREIGN KEY (run) REFERENCES runs (id)",
}


class Kit:
    """The parts of a stack, with what they hold, and the program."""

    def __init__(self, url: str, store: str, folder: Path) -> None:
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.s3 = seaweed.client(store)
        self.folder, self.queue = folder / "backups", folder / "jobs.db"
        address = sa.make_url(url)
        self.environment = os.environ | {
            "MYSQL_HOST": "127.0.0.1",
            "MYSQL_PORT": str(address.port),
            "MYSQL_USER": "me",
            "MYSQL_PASSWORD": mariadb.PASSWORD,
            "MYSQL_DATABASE": "plant",
            "MLFLOW_S3_ENDPOINT_URL": store,
            "MLFLOW_STORE_SECRET": SECRETS["mlflow"],
            "DETECTOR_STORE_SECRET": SECRETS["detector"],
            "DETECTOR_QUEUE": str(self.queue),
            "BACKUP_MOUNT": str(self.folder),
        }

    def empty(self) -> None:
        """Leave a stack that nobody has used."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SET foreign_key_checks = 0")
            for name in sa.inspect(connection).get_table_names():
                connection.exec_driver_sql(f"DROP TABLE `{name}`")
        for bucket in ("mlflow", "datasets"):
            for key in self.objects(bucket):
                self.s3.delete_object(Bucket=bucket, Key=key)
        for path in self.queue.parent.glob("jobs.db*"):
            path.unlink()

    def fill(self) -> None:
        with self.engine.begin() as connection:
            for name, columns in TABLES.items():
                connection.exec_driver_sql(f"CREATE TABLE {name} ({columns}) CHARACTER SET utf8mb4")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('abc')")
            names = ["plain", "it's\n(a 'name'),\n(", "ключ `é` \\ ;", "-- Dump completed"]
            for place, name in enumerate(names):
                values = (place, name, bytes(range(place, place + 16)))
                connection.exec_driver_sql("INSERT INTO runs VALUES (%s, %s, %s)", values)
            for value in range(1000):
                connection.exec_driver_sql("INSERT INTO metrics VALUES (1, %s)", (value / 7,))
            connection.exec_driver_sql(
                "CREATE TRIGGER doubled BEFORE UPDATE ON metrics FOR EACH ROW BEGIN "
                "SET NEW.value =\n(2 * NEW.value); END"
            )
        self.put("mlflow", "1/a/artifacts/plot.png", b"a picture" * 1000)
        self.put("mlflow", "1/b/artifacts/plot.png", b"a picture" * 1000)
        self.put("mlflow", "1/b/artifacts/odd name é+%2F.json", b"{}")
        self.put("datasets", "sensors.csv", b"1,2\n" * 5000)
        with closing(sqlite3.connect(self.queue)) as queue:
            queue.execute("PRAGMA journal_mode = WAL")
            queue.execute("CREATE TABLE task (id INTEGER PRIMARY KEY, data BLOB)")
            queue.execute("INSERT INTO task (data) VALUES (x'00ff')")
            queue.commit()

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=bucket, Key=key, Body=content)

    def objects(self, bucket: str) -> dict[str, bytes]:
        listed = self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        keys = [each["Key"] for each in listed]
        return {key: self.s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def rows(self, table: str) -> list[Any]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]

    def content(self) -> dict[str, Any]:
        """Return all that a backup is to bring back."""
        with closing(sqlite3.connect(self.queue)) as queue:
            jobs = queue.execute("SELECT * FROM task").fetchall()
        with self.engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            triggers = connection.exec_driver_sql("SHOW TRIGGERS").fetchall()
        return {
            "rows": {name: self.rows(name) for name in tables},
            "triggers": [each[:4] for each in triggers],
            "objects": [self.objects(bucket) for bucket in ("mlflow", "datasets")],
            "jobs": jobs,
        }

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "backup", *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Run the program; return its code, what it prints, and its error."""
        with self.start(*arguments, **environment) as program:
            printed, error = program.communicate(timeout=600)
        return program.returncode, printed, error

    def run(self, *arguments: str, **environment: str) -> str:
        """Run the program; return what it prints."""
        code, printed, error = self.ended(*arguments, **environment)
        assert code == 0, printed + error
        return printed

    def refused(self, *arguments: str, **environment: str) -> str:
        """Run the program, which fails; return what it says."""
        code, printed, error = self.ended(*arguments, **environment)
        assert code == 1, printed + error
        assert error.startswith("backup: "), error
        return error

    def backups(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("2*"))

    def create(self, **environment: str) -> str:
        """Make a backup; return where it lies."""
        before = set(self.backups())
        self.run("create", **environment)
        [new] = set(self.backups()) - before
        return str(self.folder / new)

    def manifest(self, backup: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((Path(backup) / "manifest.json").read_text())
        return found
