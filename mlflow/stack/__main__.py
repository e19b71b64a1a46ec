"""Runs in the image: ``stack COMMAND``; ``stack`` by itself lists the commands.

Every setting comes from the environment (see docker-compose.yml), so that no secret stands on a
command line. What goes wrong is told in one message that says what to do.
"""

from __future__ import annotations

import sys

from stack import database, server, store
from stack.errors import SetupError


def gc() -> None:
    """Delete for good what was deleted in MLflow some time ago."""
    database.check_schema()
    from stack import garbage

    garbage.collect()


def users() -> None:
    """Make the users of MLflow that the stack itself logs in as."""
    from stack import accounts

    accounts.explained(accounts.make_own)


def accounts() -> None:
    """Add, change, list and remove users of MLflow."""
    from stack import accounts

    accounts.run(sys.argv[2:])


def probe() -> None:
    """Write to the database, the store and the server, read it back and delete it."""
    from stack import probe

    probe.probe()


COMMANDS = {
    command.__name__: command
    for command in (
        store.volume,
        store.bucket,
        database.migrate,
        database.schemas,
        server.server,
        server.health,
        users,
        accounts,
        gc,
        probe,
    )
}


def main() -> None:
    """Run the command named on the command line; only `accounts` takes arguments."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS or (arguments and name != "accounts"):
        sys.exit(f"usage: stack {' | '.join(COMMANDS)}")
    try:
        COMMANDS[name]()
    except SetupError as refusal:
        sys.exit(f"{name}: {refusal}")


if __name__ == "__main__":
    main()
