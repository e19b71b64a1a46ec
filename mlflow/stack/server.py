"""The tracking server, and whether it is well."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import urllib.error
import urllib.request

from stack.database import check_schema, database_uri
from stack.errors import SetupError
from stack.settings import check_accounts, check_secrets, has_accounts


def server() -> None:
    """Become the tracking server."""
    check_secrets(
        {"MYSQL_PASSWORD": "MYSQL_PASSWORD", "MLFLOW_STORE_SECRET": "AWS_SECRET_ACCESS_KEY"}
    )
    check_accounts()
    check_schema()
    os.environ["MLFLOW_BACKEND_STORE_URI"] = database_uri()
    command = ["server"]
    if has_accounts():
        from stack import accounts

        accounts.prepare()
        command += ["--app-name", "basic-auth"]
    from mlflow import cli
    from mlflow import server as mlflow_server

    # MLflow starts uvicorn beside itself, and then only waits for it, with all its libraries in
    # memory a second time. Here uvicorn takes its place.
    mlflow_server._exec_cmd = become
    cli.cli.main(command, prog_name="mlflow")


def become(command: list[str], *, extra_env: dict[str, str], **_: object) -> None:
    """Go on as another program, with more in its environment."""
    os.execvpe(command[0], command, os.environ | extra_env)  # noqa: S606


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
