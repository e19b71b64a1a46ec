"""Writes to the database, the store and the tracking server, reads that back and deletes it.

`scripts/doctor` reads what is printed: a line for each, with a state, a name, what was found and
what to do, with tabs between them.

MLflow itself is not imported: beside the server it would take a third of the container's memory.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import MySQLdb
from botocore.exceptions import BotoCoreError, ClientError

from stack.database import explain_database_error
from stack.errors import SetupError
from stack.store import s3_client

SECONDS = 5
# More than this is seen in timestamps, and refuses signed requests to a store elsewhere.
CLOCK_SECONDS = 5
NAME = "doctor-"
# What was left by one that was killed goes too, once it is old enough to be nobody's.
OURS = (
    "SELECT experiment_id FROM experiments WHERE name = %s OR "
    "(name REGEXP '^doctor-[0-9a-f]{32}$' AND creation_time < %s)"
)
# Of MLflow's accounts, where it has them.
ADMINISTRATOR = "admin"
OF_A_RUN = ("tags", "params", "metrics", "latest_metrics")


def probe() -> None:
    """Print what each of the three answers; all are asked at once."""
    checks = {"database": database, "store: mlflow": store, "tracking server": tracking}
    with ThreadPoolExecutor(len(checks)) as pool:
        for line in pool.map(told, checks, checks.values()):
            print("\t".join(line), flush=True)


def told(name: str, check: Callable[[], str]) -> tuple[str, str, str, str]:
    """Run a check; return its line."""
    try:
        return "ok", name, check(), ""
    except SetupError as error:
        found, _, advice = str(error).partition("\n")
    except MySQLdb.Error as error:
        found = str(explain_database_error(error) or error)
        advice = "docker compose logs db"
    except (ClientError, BotoCoreError) as error:
        found = f"the user 'mlflow' cannot use its bucket: {error}"
        advice = (
            "docker compose ps minio; docker compose logs minio. Where it refuses the key: "
            "`make up` gives MLFLOW_STORE_SECRET to all anew"
        )
    return "fail", name, " ".join(found.split()), " ".join(advice.split())


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """Return a cursor of the database."""
    connection = MySQLdb.connect(
        host="db",
        user=os.environ["MYSQL_USER"],
        password=os.environ["MYSQL_PASSWORD"],
        database=os.environ["MYSQL_DATABASE"],
        connect_timeout=SECONDS,
        read_timeout=SECONDS,
        write_timeout=SECONDS,
    )
    with contextlib.closing(connection):
        yield connection.cursor()
        connection.commit()


def database() -> str:
    """Write a row to a temporary table, and compare the clocks."""
    sent = uuid.uuid4().hex
    with connected() as rows:
        rows.execute("CREATE TEMPORARY TABLE doctor (sent CHAR(32))")
        rows.execute("INSERT INTO doctor VALUES (%s)", [sent])
        rows.execute("SELECT sent, UNIX_TIMESTAMP(), VERSION() FROM doctor")
        [(found, clock, version)] = rows.fetchall()
        rows.execute("SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), FROM_UNIXTIME(%s))", [clock])
    if found != sent:
        raise SetupError(f"a row was written as {sent} and read as {found}")
    behind = time.time() - clock
    if abs(behind) > CLOCK_SECONDS:
        raise SetupError(
            f"its clock is {behind:.0f} s behind this container's\nset the clocks of the hosts "
            "by NTP"
        )
    return f"MySQL {version}: a row written and read; its clock is right"


def store() -> str:
    """Write an object to MLflow's bucket as its user."""
    user, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    s3 = s3_client(user, secret, seconds=SECONDS)
    bucket = os.environ["MLFLOW_ARTIFACTS_DESTINATION"].removeprefix("s3://").split("/")[0]
    # What an earlier one wrote that got no answer.
    old = datetime.now(UTC) - timedelta(hours=1)
    for entry in s3.list_objects_v2(Bucket=bucket, Prefix=NAME).get("Contents", []):
        if entry["LastModified"] < old:
            s3.delete_object(Bucket=bucket, Key=entry["Key"])
    key, sent = NAME + uuid.uuid4().hex, os.urandom(1024)
    s3.put_object(Bucket=bucket, Key=key, Body=sent)
    try:
        found = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    finally:
        s3.delete_object(Bucket=bucket, Key=key)
    if found != sent:
        raise SetupError("an object that was written is read as another\nrestore a backup")
    return f"an object written to the bucket '{bucket}', read and deleted"


def tracking() -> str:
    """Make an experiment with a run and a file by the API, read all and delete all."""
    name = NAME + uuid.uuid4().hex
    try:
        return through_the_api(name)
    finally:
        # MLflow only marks what is deleted, and `make gc` waits for weeks.
        with contextlib.suppress(MySQLdb.OperationalError):
            purge(name)


def through_the_api(name: str) -> str:
    experiment = asked("POST", "2.0/mlflow/experiments/create", {"name": name})["experiment_id"]
    begun = asked(
        "POST",
        "2.0/mlflow/runs/create",
        {"experiment_id": experiment, "start_time": int(time.time() * 1000)},
    )
    run = begun["run"]["info"]["run_id"]
    param = {"run_id": run, "key": "asked by", "value": "make doctor"}
    asked("POST", "2.0/mlflow/runs/log-parameter", param)
    found = asked("GET", f"2.0/mlflow/runs/get?run_id={run}")["run"]["data"]["params"]
    if found != [{"key": param["key"], "value": param["value"]}]:
        raise SetupError(f"a parameter that was logged is read as {found}")
    file = f"2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/{name}"
    sent = name.encode()
    answered("PUT", file, sent)
    if answered("GET", file) != sent:
        raise SetupError("a file that was logged is read as another")
    answered("DELETE", file)
    asked("POST", "2.0/mlflow/runs/delete", {"run_id": run})
    asked("POST", "2.0/mlflow/experiments/delete", {"experiment_id": experiment})
    if user_and_password():
        # Who makes an experiment is given it, for good.
        right = {"resource_type": "experiment", "resource_id": experiment}
        asked("POST", "3.0/mlflow/users/permissions/revoke", right | {"username": ADMINISTRATOR})
    return "an experiment, a run and a file made, read and deleted"


def purge(name: str) -> None:
    """Delete the rows of an experiment that was made here; its files are gone already."""
    before = int((time.time() - 3600) * 1000)
    with connected() as rows:
        rows.execute(OURS, [name, before])
        for [experiment] in rows.fetchall():
            for table in OF_A_RUN:
                rows.execute(
                    f"DELETE t FROM {table} t JOIN runs r USING (run_uuid) "
                    "WHERE r.experiment_id = %s",
                    [experiment],
                )
            for table in ("runs", "experiment_tags", "experiments"):
                rows.execute(f"DELETE FROM {table} WHERE experiment_id = %s", [experiment])  # noqa: S608


def user_and_password() -> tuple[str, ...]:
    """Return the administrator's where MLflow has accounts, nothing where it has none."""
    password = os.environ.get("MLFLOW_ADMIN_PASSWORD")
    return (ADMINISTRATOR, password) if password else ()


def asked(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the answer of the API to a request."""
    return json.loads(answered(method, path, None if body is None else json.dumps(body).encode()))


def answered(method: str, path: str, body: bytes | None = None) -> bytes:
    # The host name that clients inside the stack use, because the server checks it.
    headers = {"Host": "mlflow", "Content-Type": "application/json"}
    log_in = ":".join(user_and_password()).encode()
    if log_in:
        headers["Authorization"] = f"Basic {base64.b64encode(log_in).decode()}"
    address = f"http://127.0.0.1:{os.environ.get('MLFLOW_PORT', '80')}/api/{path}"
    request = urllib.request.Request(address, data=body, headers=headers, method=method)
    advice = "\nlook at the lines of the database and the store, then at docker compose logs mlflow"
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            text = json.loads(text)["message"]
        found = f"{method} {path.split('?')[0]} answered {error.code}: {text[:300]}"
        if error.code == 401:
            advice = (
                "\nMLFLOW_ADMIN_PASSWORD must be the one of the administrator: `make up` gives it "
                "to all anew"
            )
        raise SetupError(found.replace("\n", " ") + advice) from error
    except OSError as error:
        raise SetupError(f"{method} {path.split('?')[0]} got no answer: {error}{advice}") from error
