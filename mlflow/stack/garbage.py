"""Deletes for good what was deleted in MLflow some time ago, with its files.

MLflow marks what is deleted and keeps it. `mlflow gc` then deletes the rows of runs, logged models
and experiments, and the files of the first two, even those that a registered version still names.
It leaves the files of a deleted experiment's models, of deleted traces, and of uploads broken off.
So the rows are deleted here, by the functions that it calls; and the files by one rule: an object
belongs to the run, the logged model or the trace whose id stands in its key, and leaves the bucket
when neither a row nor what a registered version names has that id.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from mlflow.entities import ViewType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Connection, Engine, text

from stack.database import database_uri
from stack.errors import SetupError
from stack.store import s3_client

# Backup and restore take it too: what one of them copies, another must not delete meanwhile.
LOCK = "anomaly-detector-maintenance"
AGE = re.compile(r"(\d{1,6})([dhms])")
UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
EPOCH = datetime.fromtimestamp(0, UTC)
HEX = "[0-9a-f]{32}"
# The folder of an owner, whatever folder its experiment has.
OWNER = re.compile(rf"(?:.*?/)??(?:models/(m-{HEX})|traces/((?:tr-)?{HEX})|({HEX}))/artifacts/")
ID = re.compile(rf"(?:m-|tr-)?{HEX}")
# Of every run, model and trace that there is, deleted or not.
IDS = (
    "SELECT run_uuid FROM runs UNION ALL SELECT model_id FROM logged_models "
    "UNION ALL SELECT request_id FROM trace_info"
)
NAMED = "SELECT source FROM model_versions UNION ALL SELECT storage_location FROM model_versions"
PLACES = (
    "SELECT run_uuid, artifact_uri FROM runs WHERE lifecycle_stage = 'deleted' UNION ALL "
    "SELECT model_id, artifact_location FROM logged_models WHERE lifecycle_stage = 'deleted'"
)
# A model of the endpoint is its run, and what the run logged goes with it.
OF_THE_ENDPOINT = (
    "SELECT m.source_run_id, m.model_id FROM logged_models m JOIN tags t "
    "ON t.run_uuid = m.source_run_id AND t.key = 'detector.status'"
)
OUTLIVED = (
    "SELECT model_id FROM logged_models m LEFT JOIN runs r ON r.run_uuid = m.source_run_id "
    "WHERE m.lifecycle_stage = 'active' AND m.source_run_id IS NOT NULL "
    "AND (r.run_uuid IS NULL OR r.lifecycle_stage = 'deleted')"
)


@dataclass
class Held:
    """What the bucket has of one owner."""

    prefix: str
    objects: int = 0
    size: int = 0
    newest: datetime = EPOCH


@dataclass
class Bucket:
    """What the bucket has, of owners and altogether."""

    owners: dict[str, Held]
    objects: int = 0
    size: int = 0

    def __str__(self) -> str:
        return f"{self.objects:,} objects of {amount(self.size)}"


def collect() -> None:
    """Delete what was deleted longer ago than GC_OLDER_THAN, and say what that freed.

    Raises
    ------
    SetupError
        If a backup or a restore is at work, or the database or the store refuses.
    """
    told = os.environ["GC_OLDER_THAN"]
    age = age_of(told)
    name = os.environ["MLFLOW_ARTIFACTS_DESTINATION"].removeprefix("s3://")
    s3 = s3_client(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    try:
        store = SqlAlchemyStore(database_uri(), "mlflow-artifacts:/")
        with alone(store.engine) as database:
            before = listed(s3, name)
            delete_rows(store, database, name, age)
            # After the bucket was listed: what is being written has its row before its files.
            owned = set(database.scalars(text(IDS))) | registered(database)
            oldest = datetime.now(UTC) - age
            left = [
                held
                for identity, held in before.owners.items()
                if identity not in owned and held.newest <= oldest
            ]
            delete_objects(s3, name, (held.prefix for held in left))
            aborted = abort_uploads(s3, name, oldest)
            print(
                f"Left the bucket: {sum(held.objects for held in left):,} objects of "
                f"{amount(sum(held.size for held in left))}, {aborted:,} uploads broken off.\n"
                f"The bucket had {before}; it has {listed(s3, name)}."
            )
            tell_of_outlived(database, before)
    except (ClientError, BotoCoreError) as error:
        raise SetupError(
            f"The store at {os.environ['MLFLOW_S3_ENDPOINT_URL']} does not do it ({error}). Look "
            "at `docker compose logs minio`, and do this again: it goes on where it stopped."
        ) from error


def age_of(told: str) -> timedelta:
    """Return how long ago something must have been deleted."""
    found = AGE.fullmatch(told)
    if not found:
        raise SetupError(
            f"GC_OLDER_THAN is '{told}': it must be a number and d, h, m or s, such as 30d."
        )
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def amount(size: int) -> str:
    """Return a number of bytes as one reads it."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size:,} bytes"


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """Keep backup, restore and another of these away until this one has ended."""
    # Each question is answered by what is committed when it is asked.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(text("SELECT GET_LOCK(:name, 0)"), {"name": LOCK}):
            raise SetupError(
                "A backup, a restore or another gc is at work: wait until it has ended, and do "
                "this again."
            )
        yield connection


def listed(s3: Any, bucket: str) -> Bucket:
    """Return what the bucket has now."""
    found = Bucket({})
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            found.objects += 1
            found.size += entry["Size"]
            match = OWNER.match(entry["Key"])
            if match:
                identity = next(filter(None, match.groups()))
                held = found.owners.setdefault(identity, Held(match[0]))
                held.objects += 1
                held.size += entry["Size"]
                held.newest = max(held.newest, entry["LastModified"])
    return found


def delete_rows(store: Any, database: Connection, bucket: str, age: timedelta) -> None:
    """Delete the rows of what was deleted so long ago, and say how many."""
    milliseconds = int(age.total_seconds() * 1000)
    named = registered(database)
    here = ("mlflow-artifacts:/", f"s3://{bucket}/")
    elsewhere = {
        identity for identity, place in database.execute(text(PLACES)) if not place.startswith(here)
    }
    runs = set(store._get_deleted_runs(older_than=milliseconds))
    models = set(store._get_deleted_logged_models(older_than=milliseconds))
    models |= {model for run, model in database.execute(text(OF_THE_ENDPOINT)) if run in runs}
    # Before the runs, whose tags tell which models go with them.
    for model in models - elsewhere - named:
        store._hard_delete_logged_model(model)
    for run in runs - elsewhere:
        store._hard_delete_run(run)
    experiments = deleted_experiments(store, database, named, milliseconds)
    for experiment in experiments:
        store._hard_delete_experiment(experiment)
    print(
        f"Deleted for good what was deleted before {datetime.now(UTC) - age:%Y-%m-%d %H:%M} UTC: "
        f"{len(runs - elsewhere):,} runs, {len(models - elsewhere - named):,} models, "
        f"{len(experiments):,} experiments."
    )
    if models & named:
        print(
            f"Deleted models that stay, as registered versions name them: {len(models & named):,}."
        )
    if away := (runs | models) & elsewhere:
        print(f"Deleted runs and models that stay, as their files lie elsewhere: {len(away):,}.")


def registered(database: Connection) -> set[str]:
    """Return the ids of the runs and logged models that registered versions name."""
    return {
        identity for named in database.scalars(text(NAMED)) for identity in ID.findall(named or "")
    }


def deleted_experiments(
    store: Any, database: Connection, named: set[str], milliseconds: int
) -> list[str]:
    """Return those that were deleted so long ago and have nothing left that must stay.

    The database deletes an experiment's logged models with it.
    """
    before = int(datetime.now(UTC).timestamp() * 1000) - milliseconds
    found, token = [], None
    while True:
        page = store.search_experiments(
            ViewType.DELETED_ONLY, filter_string=f"last_update_time <= {before}", page_token=token
        )
        found += [each.experiment_id for each in page]
        token = page.token
        if not token:
            break
    full = {str(each) for each in database.scalars(text("SELECT experiment_id FROM runs"))}
    models = database.execute(text("SELECT experiment_id, model_id FROM logged_models"))
    full |= {str(experiment) for experiment, model in models if model in named}
    return [each for each in found if each not in full]


def delete_objects(s3: Any, bucket: str, prefixes: Iterable[str]) -> None:
    """Delete every object that lies under one of the prefixes."""
    pages = s3.get_paginator("list_objects_v2")
    for prefix in prefixes:
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
            if keys:
                done = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
                if done.get("Errors"):
                    raise SetupError(f"The store does not delete {done['Errors'][0]}.")


def abort_uploads(s3: Any, bucket: str, oldest: datetime) -> int:
    """Abort uploads in parts that began before `oldest` and never ended; return how many."""
    aborted = 0
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            if upload["Initiated"] <= oldest:
                s3.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
                aborted += 1
    return aborted


def tell_of_outlived(database: Connection, bucket: Bucket) -> None:
    """Say what space models take that outlived their runs: MLflow deletes no model with its run."""
    models = set(database.scalars(text(OUTLIVED))) - registered(database)
    size = sum(bucket.owners[each].size for each in models if each in bucket.owners)
    if models:
        print(
            f"Models that stay, as MLflow deletes none with its run: {len(models):,}, of "
            f"{amount(size)}. docs/operations.md says how to delete them."
        )
