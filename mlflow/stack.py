"""What runs in the MLflow image: ``stack bucket | migrate | server | health | users | accounts``.

Every setting comes from the environment (see docker-compose.yml), so that no secret stands on a
command line. What goes wrong is told in one message that says what to do.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

STORE_DEADLINE_SECONDS = 120

# What docker-compose.yml falls back to when there is no .env.
DEVELOPMENT_SECRET = "development-only"  # noqa: S105


class SetupError(Exception):
    """A message for the operator: what is wrong, and what to do."""


def is_local(address: str) -> bool:
    """Say whether nobody outside of this machine reaches an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def check_secrets(variables: dict[str, str]) -> None:
    """Refuse development credentials where others can reach the endpoint or MLflow.

    Given are the settings of .env by name, and the variables that have their values here.
    """
    unset = [name for name, here in variables.items() if os.environ[here] == DEVELOPMENT_SECRET]
    for name in ("BIND_ADDRESS", "MLFLOW_BIND_ADDRESS"):
        address = os.environ[name]
        if unset and not is_local(address):
            raise SetupError(
                f"{name} is {address}, which others can reach, and these still have their value "
                f"for development: {', '.join(unset)}. Set secrets of your own in .env (`make up` "
                "writes random ones on first use), or bind to 127.0.0.1."
            )


def has_accounts() -> bool:
    """Say whether this server knows its users: it does behind Caddy (caddy/caddy.yml)."""
    return bool(os.environ.get("MLFLOW_ACCOUNTS"))


def check_accounts() -> None:
    """Refuse an address that others can reach, where this server knows no accounts."""
    address = os.environ["MLFLOW_BIND_ADDRESS"]
    if has_accounts():
        return
    if not is_local(address) and os.environ["MLFLOW_OPEN_TO_EVERYONE"] != "true":
        raise SetupError(
            f"MLFLOW_BIND_ADDRESS is {address}, which others can reach, and this MLflow has no "
            "accounts: bind it to 127.0.0.1 and let people in by caddy/caddy.yml "
            "(docs/accounts.md) or another proxy with a log-in, or, if everyone there may read, "
            "change and delete all runs and models, set MLFLOW_OPEN_TO_EVERYONE=true in .env."
        )


def database_uri() -> str:
    """Return SQLAlchemy's address of the database; user and password may hold any character."""
    user, password = quote(os.environ["MYSQL_USER"], ""), quote(os.environ["MYSQL_PASSWORD"], "")
    return f"mysql+mysqldb://{user}:{password}@db:3306/{os.environ['MYSQL_DATABASE']}"


def s3_client(name: str, secret: str) -> Any:
    """Return a client of the store that tries everything once."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=name,
        aws_secret_access_key=secret,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=3,
            read_timeout=10,
            retries={"total_max_attempts": 1},
        ),
    )


def bucket() -> None:
    """Make the buckets that are not there, and for each a user that reaches nothing else."""
    secrets = ("MINIO_ROOT_PASSWORD", "MLFLOW_STORE_SECRET", "DETECTOR_STORE_SECRET")
    check_secrets({name: name for name in secrets})
    # Model files lie in one bucket, and data for training and detection in another: requests that
    # name data can then never read a model.
    destination = os.environ["MLFLOW_ARTIFACTS_DESTINATION"]
    buckets = {
        "mlflow": destination.removeprefix("s3://").split("/")[0],
        "detector": "datasets",
    }
    make_buckets(buckets.values())
    if os.environ.get("STORE_MAKES_USERS", "true") == "true":
        make_users(buckets)
    for user, name in buckets.items():
        check_user(user, name, next(each for each in buckets.values() if each != name))


def make_buckets(wanted: Collection[str]) -> None:
    """Wait until the store answers, and make the buckets that are not there."""
    from botocore.exceptions import BotoCoreError, ClientError

    store = os.environ["MLFLOW_S3_ENDPOINT_URL"]
    s3 = s3_client(os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
    deadline = time.monotonic() + STORE_DEADLINE_SECONDS
    while True:
        try:
            names = [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
            for name in wanted:
                if name in names:
                    print(f"bucket '{name}' is there.")
                else:
                    s3.create_bucket(Bucket=name)
                    print(f"bucket '{name}' made.")
            return
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in (401, 403):
                raise SetupError(
                    f"The store at {store} refuses the credentials ({error}). "
                    "MINIO_ROOT_USER and MINIO_ROOT_PASSWORD must be the same for the store and "
                    "for this service: `docker compose up -d --wait` gives them to both anew."
                ) from error
            reason: Exception = error
        except BotoCoreError as error:
            reason = error
        if time.monotonic() > deadline:
            raise SetupError(
                f"The store at {store} did not answer within {STORE_DEADLINE_SECONDS} s "
                f"({reason}). Look at `docker compose logs minio`."
            )
        print(f"waiting for the store at {store} ...", flush=True)
        time.sleep(1)


# What a user may do with its bucket, and with the objects in it.
ACTIONS = {
    "": ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"),
    "/*": (
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    ),
}


def make_users(buckets: Mapping[str, str]) -> None:
    """Make each user, or give it the secret of today, and let it use its bucket only.

    MinIO and what came of it have this API: https://docs.min.io/community/minio-object-store/
    """
    from minio import MinioAdmin
    from minio.credentials import StaticProvider
    from minio.error import MinioAdminException
    from urllib3.exceptions import HTTPError

    scheme, _, address = os.environ["MLFLOW_S3_ENDPOINT_URL"].partition("://")
    admin = MinioAdmin(
        endpoint=address,
        credentials=StaticProvider(
            os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"]
        ),
        secure=scheme == "https",
    )
    resource = "arn:aws:s3:::"
    for user, name in buckets.items():
        allowed = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": list(actions), "Resource": [resource + name + path]}
                for path, actions in ACTIONS.items()
            ],
        }
        try:
            # To another store, what makes a user is an object to write.
            admin.policy_list()
            admin.policy_add(f"only-{name}", policy=allowed)
            admin.user_add(user, os.environ[f"{user.upper()}_STORE_SECRET"])
            admin.policy_set(f"only-{name}", user=user)
        except (MinioAdminException, HTTPError) as error:
            raise SetupError(
                f"The store at {address} does not make the user '{user}' ({error}). If it has no "
                "API of MinIO's to do so, make the user there by hand, give it the bucket "
                f"'{name}' and the secret {user.upper()}_STORE_SECRET, and set STORE_MAKES_USERS "
                "to false for the service `bucket`, as minio/seaweedfs.yml does."
            ) from error
        print(f"user '{user}' may use the bucket '{name}'.")


def check_user(user: str, own: str, other: str) -> None:
    """See that a user reaches its own bucket, and not the other one."""
    from botocore.exceptions import ClientError

    s3 = s3_client(user, os.environ[f"{user.upper()}_STORE_SECRET"])
    try:
        s3.list_objects_v2(Bucket=own, MaxKeys=1)
    except ClientError as error:
        raise SetupError(
            f"The store lets the user '{user}' not use the bucket '{own}' ({error}). "
            f"{user.upper()}_STORE_SECRET must be the same for the store and for this service: "
            "`docker compose up -d --wait` gives it to both anew."
        ) from error
    try:
        s3.list_objects_v2(Bucket=other, MaxKeys=1)
    except ClientError:
        return
    raise SetupError(
        f"The store lets the user '{user}' use the bucket '{other}' too: give it the bucket "
        f"'{own}' only."
    )


def explain_database_error(error: BaseException) -> SetupError | None:
    """Return what to do about a MySQL error, or None for one that has no known cause."""
    code = getattr(getattr(error, "orig", error), "args", [None])[0]
    if code == 1045:
        return SetupError(
            "MySQL refuses the user 'mlflow': wrong password. MYSQL_PASSWORD is not the one that "
            "the database was made with. Put the old one back into .env, or give the user the new "
            "one: docker compose exec db mysql -uroot -p -e "
            "\"ALTER USER mlflow IDENTIFIED BY '...'\"."
        )
    if code in (2002, 2003, 2005, 2006, 2013):
        return SetupError(
            f"MySQL at db:3306 does not answer ({error}). Look at `docker compose logs db` and "
            "start it with `docker compose up -d --wait db`."
        )
    fresh = (
        "If the stack was never in use, start with an empty database: `docker compose down` and "
        "`docker volume rm anomaly-detector_db`. If it was, restore your last backup."
    )
    if code == 1419:
        return SetupError(
            "MySQL does not let MLflow's migrations create triggers (error 1419): it must run with "
            "log_bin_trust_function_creators=1, as mysql/my.cnf says, from its first start on. The "
            f"schema is now half made. {fresh}"
        )
    if code == 1050:
        return SetupError(
            "The database holds half of MLflow's schema (error 1050, a table exists already): an "
            "earlier migration stopped half-way, most likely with error 1419 because MySQL ran "
            f"without mysql/my.cnf. {fresh}"
        )
    return None


def check_database() -> None:
    """Connect once: MLflow itself would try a wrong password for minutes."""
    import MySQLdb

    try:
        MySQLdb.connect(
            host="db",
            user=os.environ["MYSQL_USER"],
            password=os.environ["MYSQL_PASSWORD"],
            database=os.environ["MYSQL_DATABASE"],
            connect_timeout=10,
        ).close()
    except MySQLdb.OperationalError as error:
        raise (explain_database_error(error) or error) from error


def migrate() -> None:
    """Bring the database to the schema of this MLflow."""
    check_secrets({"MYSQL_PASSWORD": "MYSQL_PASSWORD"})
    check_database()
    from mlflow.db import commands
    from sqlalchemy.exc import DBAPIError

    try:
        # In this process, because the address holds the password.
        commands.main(["upgrade", database_uri()], standalone_mode=False)
    except DBAPIError as error:
        raise (explain_database_error(error) or error) from error
    print("the database has the schema of this MLflow.")


def server() -> None:
    """Become the tracking server."""
    check_secrets(
        {"MYSQL_PASSWORD": "MYSQL_PASSWORD", "MLFLOW_STORE_SECRET": "AWS_SECRET_ACCESS_KEY"}
    )
    check_accounts()
    os.environ["MLFLOW_BACKEND_STORE_URI"] = database_uri()
    command = ["mlflow", "server"]
    if has_accounts():
        import accounts

        accounts.prepare()
        command += ["--app-name", "basic-auth"]
    os.execvp(command[0], command)  # noqa: S606


def get(path: str) -> None:
    # The host name that clients inside the stack use, because the server checks it.
    headers = {"Host": "mlflow"}
    if has_accounts():
        log_in = f"admin:{os.environ['MLFLOW_ADMIN_PASSWORD']}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(log_in).decode()
    request = urllib.request.Request(f"http://127.0.0.1:80{path}", headers=headers)
    try:
        urllib.request.urlopen(request, timeout=8).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        body = error.read().decode(errors="replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            body = json.loads(body)["message"]
        raise SetupError(f"GET {path} answered {error.code}: {body[:500]}") from error
    except OSError as error:
        raise SetupError(f"GET {path} got no answer: {error}") from error


def health() -> None:
    """Ask the server something it must ask the database, and something it must ask the store."""
    get("/api/2.0/mlflow/experiments/search?max_results=1")
    get("/api/2.0/mlflow-artifacts/artifacts?path=health")


def users() -> None:
    """Make the users of MLflow that the stack itself logs in as."""
    import accounts

    accounts.explained(accounts.make_own)


COMMANDS = {command.__name__: command for command in (bucket, migrate, server, health, users)}


def main() -> None:
    """Run the command named on the command line; `accounts` takes arguments."""
    if sys.argv[1:2] == ["accounts"]:
        import accounts

        COMMANDS["accounts"] = lambda: accounts.run(sys.argv[2:])
    elif len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: stack {' | '.join((*COMMANDS, 'accounts'))}")
    try:
        COMMANDS[sys.argv[1]]()
    except SetupError as refusal:
        sys.exit(f"{sys.argv[1]}: {refusal}")
