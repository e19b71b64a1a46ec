"""MySQL, and MLflow's schema in it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import time
from pathlib import Path
from urllib.parse import quote

from stack.errors import NoAnswerError, SetupError
from stack.settings import check_secrets

DEADLINE_SECONDS = 120

# What MySQL's client says where nothing answers.
NO_ANSWER = (2002, 2003, 2005, 2006, 2013)


def database_uri() -> str:
    """Return SQLAlchemy's address of the database; user and password may hold any character."""
    user, password = quote(os.environ["MYSQL_USER"], ""), quote(os.environ["MYSQL_PASSWORD"], "")
    return f"mysql+mysqldb://{user}:{password}@db:3306/{os.environ['MYSQL_DATABASE']}"


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
    if code in NO_ANSWER:
        return NoAnswerError(
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


def check_database() -> str | None:
    """Connect once, as MLflow itself would try a wrong password for minutes; return the schema."""
    import MySQLdb

    try:
        connection = MySQLdb.connect(
            host="db",
            user=os.environ["MYSQL_USER"],
            password=os.environ["MYSQL_PASSWORD"],
            database=os.environ["MYSQL_DATABASE"],
            connect_timeout=10,
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            # backup/database.py makes it, and takes it away when all is restored.
            half_restored = cursor.execute("SHOW TABLES LIKE 'restore_unfinished'")
            schema = None
            if cursor.execute("SHOW TABLES LIKE 'alembic_version'"):
                cursor.execute("SELECT version_num FROM alembic_version")
                schema = next(iter(cursor.fetchone() or ()), None)
    except MySQLdb.OperationalError as error:
        raise (explain_database_error(error) or error) from error
    if half_restored:
        raise SetupError(
            "A restore of this stack was cut off half-way, so it is not whole. Restore again: "
            "`make restore FROM=... OVERWRITE=yes`."
        )
    return schema


def wait_for_database() -> str | None:
    """Connect once MySQL answers: MLflow itself would try a wrong password for minutes."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return check_database()
        except NoAnswerError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def latest_schema() -> str:
    """Return the schema of this MLflow, without the seconds that it takes to import it."""
    spec = importlib.util.find_spec("mlflow")
    [package] = (spec and spec.submodule_search_locations) or []
    files = Path(package, "store/db_migrations/versions").glob("*.py")
    text = "".join(file.read_text() for file in files)
    revisions, before = (
        set(re.findall(rf"^{name} = ['\"](\w+)['\"]", text, flags=re.MULTILINE))
        for name in ("revision", "down_revision")
    )
    [latest] = revisions - before
    return str(latest)


def check_schema() -> None:
    """Refuse a database that has not the schema of this MLflow.

    MLflow refuses it only where no table is missing. Where one is, it brings the database to its
    own schema by itself, and whoever did not mean that has no backup.
    """
    found, latest = check_database(), latest_schema()
    if found != latest:
        raise SetupError(
            f"The database has the schema {found}, and this MLflow {latest}. `make upgrade` backs "
            "up and brings it to this one's; `make up` does it without a backup."
        )


def schemas() -> None:
    """Print the revisions of MLflow's schema that this MLflow knows."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    # The address of the database is of no use for this.
    scripts = ScriptDirectory.from_config(_get_alembic_config("sqlite://"))
    print(*(script.revision for script in scripts.walk_revisions()))


def migrate() -> None:
    """Bring the database to the schema of this MLflow."""
    check_secrets({"MYSQL_PASSWORD": "MYSQL_PASSWORD"})
    # This takes seconds, in which a new database makes itself.
    import mlflow.store.db.utils  # noqa: F401
    from alembic.util import CommandError
    from mlflow.db import commands
    from sqlalchemy.exc import DBAPIError

    wait_for_database()
    try:
        # In this process, because the address holds the password.
        commands.main(["upgrade", database_uri()], standalone_mode=False)
    except CommandError as error:
        raise SetupError(
            f"The database has the schema of a newer MLflow than this one ({error}). Check out the "
            "version of the stack that it had, or go back by its backup: `make restore FROM=... "
            "OVERWRITE=yes`."
        ) from error
    except DBAPIError as error:
        raise (explain_database_error(error) or error) from error
    print("the database has the schema of this MLflow.")
