"""The users of MLflow: those that the stack logs in as, and those of people (``make accounts``).

The administrator is ``admin``, with the password of .env. Everything goes through MLflow's own API
for users, so that the running server knows of it at once: https://mlflow.org/docs/latest/auth/
"""

from __future__ import annotations

import getpass
import os
import secrets
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stack.errors import SetupError

ADMINISTRATOR = "admin"
SHORTEST_PASSWORD = 12
# Whom the stack itself logs in as, and where their passwords stand in .env.
OWN = {
    ADMINISTRATOR: "MLFLOW_ADMIN_PASSWORD",
    "workspace": "MLFLOW_WORKSPACE_PASSWORD",
    "detector": "MLFLOW_DETECTOR_PASSWORD",
}
# What the endpoint and its worker keep in MLflow. They delete runs, which takes MANAGE.
EXPERIMENTS = ("multivariate", "multivariate-detections", "detectors")
MODELS = ("univariate-entire", "univariate-latest", "change-point")
PERMISSIONS = ("READ", "USE", "EDIT", "MANAGE", "DENY")

CONFIGURATION = Path("/tmp/accounts.ini")  # noqa: S108 - a file system of the container's own
USAGE = (
    "usage: make accounts [ADD=name | PASSWORD=name | REMOVE=name | GRANT=name "
    "EXPERIMENT=name|MODEL=name PERMISSION=" + "|".join((*PERMISSIONS, "none")) + "]"
)


def secret(variable: str) -> str:
    """Return a secret that the stack must have been given."""
    value = os.environ.get(variable, "")
    if len(value) < SHORTEST_PASSWORD:
        raise SetupError(
            f"{variable} has fewer than {SHORTEST_PASSWORD} characters, and MLflow's accounts need "
            "it: `make up` writes a random one into .env, or set one there."
        )
    return value


def prepare() -> None:
    """Configure MLflow's log-in before the server starts, with the administrator of .env."""
    secret("MLFLOW_FLASK_SERVER_SECRET_KEY")
    password = secret(OWN[ADMINISTRATOR])
    default = os.environ["MLFLOW_DEFAULT_PERMISSION"]
    if default not in ("READ", "USE", "EDIT", "NO_PERMISSIONS"):
        raise SetupError(
            f"MLFLOW_DEFAULT_PERMISSION is '{default}': it is READ, USE, EDIT or NO_PERMISSIONS."
        )
    database = "sqlite:///" + os.environ["MLFLOW_ACCOUNTS"]
    CONFIGURATION.write_text(
        "[mlflow]\n"
        f"default_permission = {default}\n"
        f"database_uri = {database}\n"
        f"admin_username = {ADMINISTRATOR}\n"
        # Comparing a password is slow on purpose, and programs would wait for it at every call. A
        # change counts at once in the process that makes it, and in others after this time.
        "auth_cache_ttl_seconds = 10\n"
    )
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(CONFIGURATION)
    os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"] = password
    keep_administrator(database, password)


def keep_administrator(database: str, password: str) -> None:
    """Give an administrator that there is the password of today: MLflow itself makes one only."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(database)
    if store.has_user(ADMINISTRATOR) and not store.authenticate_user(ADMINISTRATOR, password):
        store.update_user(ADMINISTRATOR, password=password, is_admin=True)


class Accounts:
    """MLflow's users as its administrator sees them."""

    def __init__(self) -> None:
        os.environ["MLFLOW_TRACKING_USERNAME"] = ADMINISTRATOR
        os.environ["MLFLOW_TRACKING_PASSWORD"] = secret(OWN[ADMINISTRATOR])
        # Inside the server's container it is its own.
        self._uri = os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1")
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "2"
        with warnings.catch_warnings():
            # What its server is made of is no concern of whoever adds a user.
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient
            from mlflow.server.auth.client import AuthServiceClient

        self.mlflow = MlflowClient(self._uri)
        self.users = AuthServiceClient(self._uri)

    def _get(self, path: str, **parameters: str) -> Any:
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request, verify_rest_response

        answer = http_request(get_default_host_creds(self._uri), path, "GET", params=parameters)
        return verify_rest_response(answer, path).json()

    def names(self) -> list[str]:
        """Return the names of all users."""
        from mlflow.server.auth.routes import LIST_USERS

        return sorted(user["username"] for user in self._get(LIST_USERS)["users"])

    def granted(self, name: str) -> dict[tuple[str, str], str]:
        """Return what a user may do beside what everybody may: by kind and id."""
        from mlflow.server.auth.routes import LIST_USER_PERMISSIONS

        rows = self._get(LIST_USER_PERMISSIONS, username=name)["permissions"]
        return {(row["resource_type"], row["resource_pattern"]): row["permission"] for row in rows}

    def grant(self, name: str, what: str, which: str, permission: str) -> None:
        """Give a user a permission in place of one that there is, which MLflow refuses."""
        if (what, which) in self.granted(name):
            self.users.revoke_user_permission(name, what, which)
        self.users.grant_user_permission(name, what, which, permission)

    def in_words(self, name: str) -> Iterator[str]:
        """Yield what a user may do beside what everybody may, in words."""
        for (what, which), permission in self.granted(name).items():
            if what == "experiment" and which != "*":
                which = self._experiment_name(which)
            yield f"{permission} {what.replace('_', ' ')} '{which}'"

    def _experiment_name(self, identity: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(self.mlflow.get_experiment(identity).name)
        except MlflowException:
            return f"{identity}, which is gone"

    def must_exist(self, name: str) -> None:
        if name not in self.names():
            raise SetupError(f"There is no user '{name}': `make accounts` lists them.")

    def experiment(self, name: str) -> str:
        """Return the id of an experiment."""
        found = self.mlflow.get_experiment_by_name(name)
        if found is None:
            raise SetupError(f"There is no experiment '{name}'.")
        return str(found.experiment_id)


def pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Yield everything that a search of MLflow's client finds."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def make_own() -> None:
    """Make the users that the stack logs in as; their passwords are those of .env from now on."""
    accounts = Accounts()
    there = accounts.names()
    for name in EXPERIMENTS:
        if accounts.mlflow.get_experiment_by_name(name) is None:
            accounts.mlflow.create_experiment(name)
    kept = {name: accounts.experiment(name) for name in EXPERIMENTS}
    # The walk-through trains models that the endpoint can use.
    own = {("experiment", kept["multivariate"]): "EDIT"}
    # `detector` is made last: where it is not there, a first start is not done, or was cut off.
    wanted = {
        "workspace": own if "detector" in there else own | heritage(accounts),
        "detector": {("experiment", each): "MANAGE" for each in kept.values()}
        | {("registered_model", name): "EDIT" for name in MODELS},
    }
    for name, permissions in wanted.items():
        if name in there:
            accounts.users.update_user_password(name, secret(OWN[name]))
        else:
            accounts.users.create_user(name, secret(OWN[name]))
        permit_own(accounts, name, permissions)
    print("the users 'workspace' and 'detector' have their passwords and permissions.")


def permit_own(accounts: Accounts, name: str, wanted: Mapping[tuple[str, str], str]) -> None:
    """Give a user of the stack what it needs; what somebody gave it is left alone."""
    granted = accounts.granted(name)
    for (what, which), permission in wanted.items():
        if (what, which) not in granted:
            accounts.users.grant_user_permission(name, what, which, permission)


def heritage(accounts: Accounts) -> dict[tuple[str, str], str]:
    """Return what was there before accounts were, for the workspace, but for the endpoint's."""
    found = {
        ("experiment", each.experiment_id): "MANAGE"
        for each in pages(accounts.mlflow.search_experiments)
        if each.name not in EXPERIMENTS
    }
    return found | {
        ("registered_model", each.name): "MANAGE"
        for each in pages(accounts.mlflow.search_registered_models)
        if each.name not in MODELS
    }


def show(accounts: Accounts) -> None:
    """Print each user with what it may do."""
    names = accounts.names()
    width = max(map(len, names))
    for name in names:
        may = ["everything"] if name == ADMINISTRATOR else list(accounts.in_words(name))
        for place, each in enumerate(may or ["what everybody may"]):
            print(f"{'' if place else name:{width}}  {each}")


def new_password(name: str) -> tuple[str, bool]:
    """Ask for a password, or read it from standard input; make one where there is none."""
    if sys.stdin.isatty():
        given = getpass.getpass(f"Password of {name} (empty: a random one is made): ")
        if given and getpass.getpass("Once more: ") != given:
            raise SetupError("The two passwords differ; nothing was changed.")
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if given and len(given) < SHORTEST_PASSWORD:
        raise SetupError(
            f"A password has at least {SHORTEST_PASSWORD} characters; nothing was changed."
        )
    return given or secrets.token_urlsafe(18), not given


def add(accounts: Accounts, name: str) -> None:
    if not name.isprintable() or ":" in name or name != name.strip():
        raise SetupError(
            "A user's name has no colon and no space at its ends: a log-in could not be sent."
        )
    if name in accounts.names():
        raise SetupError(f"There is a user '{name}' already: PASSWORD={name} changes its password.")
    password, made = new_password(name)
    accounts.users.create_user(name, password)
    print(f"user '{name}' added." + (f" Its password, shown once: {password}" if made else ""))


def change_password(accounts: Accounts, name: str) -> None:
    accounts.must_exist(name)
    password, made = new_password(name)
    accounts.users.update_user_password(name, password)
    print(f"user '{name}' has a new password." + (f" Shown once: {password}" if made else ""))


def remove(accounts: Accounts, name: str) -> None:
    accounts.must_exist(name)
    accounts.users.delete_user(name)
    print(f"user '{name}' is gone; its runs and models stay.")


def permit(accounts: Accounts, name: str, given: dict[str, str]) -> None:
    """Let a user do something with an experiment or a registered model, or no longer."""
    accounts.must_exist(name)
    permission = given.get("PERMISSION", "")
    of = [kind for kind in ("EXPERIMENT", "MODEL") if kind in given]
    if len(of) != 1 or permission not in (*PERMISSIONS, "none"):
        raise SetupError(USAGE)
    if of == ["EXPERIMENT"]:
        what, which = "experiment", accounts.experiment(given["EXPERIMENT"])
    else:
        what, which = "registered_model", given["MODEL"]
        accounts.mlflow.get_registered_model(which)
    if permission == "none":
        accounts.users.revoke_user_permission(name, what, which)
    else:
        accounts.grant(name, what, which, permission)
    print(f"user '{name}': {permission} {what.replace('_', ' ')} '{given[of[0]]}'.")


def run(arguments: Sequence[str]) -> None:
    """Do what ``make accounts`` was asked for, each argument NAME=VALUE."""
    if not os.environ.get("MLFLOW_ACCOUNTS"):
        raise SetupError(
            "This MLflow has no accounts. They come with Caddy: set "
            "COMPOSE_FILE=docker-compose.yml:caddy/caddy.yml in .env (docs/accounts.md)."
        )
    given = dict(each.partition("=")[::2] for each in arguments)
    commands = {"ADD": add, "PASSWORD": change_password, "REMOVE": remove}
    asked = [name for name in (*commands, "GRANT") if name in given]
    rest = given.keys() - set(asked)
    if len(asked) > 1 or (rest and asked != ["GRANT"]) or "" in given.values():
        raise SetupError(USAGE)
    if not asked:
        return explained(lambda: show(Accounts()))
    name = given[asked[0]]
    if name in OWN and asked != ["GRANT"]:
        raise SetupError(
            f"The stack logs in as '{name}': its password is {OWN[name]} in .env. Change it there, "
            "then `make up`."
        )
    if asked == ["GRANT"]:
        return explained(lambda: permit(Accounts(), name, given))
    return explained(lambda: commands[asked[0]](Accounts(), name))


def explained(work: Callable[[], None]) -> None:
    """Say in one sentence why MLflow does not do something."""
    from mlflow.exceptions import MlflowException

    try:
        work()
    except MlflowException as error:
        raise SetupError(f"MLflow refuses: {error.message}") from error
