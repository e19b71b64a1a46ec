"""Runs in the image: ``python -m backup create | verify | check | restore``."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from types import FrameType

from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

from . import making, restoring, verifying
from .errors import BackupError
from .places import unusable


def main() -> None:
    """Run the command named on the command line."""
    parser = argparse.ArgumentParser(prog="backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("create", help="make a backup")
    commands.add_parser("verify", help="say whether a backup would restore").add_argument("source")
    for name, does in (("check", "say whether a restore may begin"), ("restore", "restore")):
        command = commands.add_parser(name, help=does)
        command.add_argument("source")
        command.add_argument("--overwrite", action="store_true", help="replace data that is there")
    given = parser.parse_args()
    # What is written is for its owner only.
    os.umask(0o077)
    signal.signal(signal.SIGTERM, stopped)
    begun = time.time()
    try:
        print(run(given), flush=True)
    except BaseException as error:
        if given.command == "create":
            with contextlib.suppress(OSError):
                making.report(begun, success=False)
        if isinstance(error, BackupError | OSError | BotoCoreError | KeyboardInterrupt):
            sys.exit(f"backup: {sentence(error)}")
        raise


def run(given: argparse.Namespace) -> str:
    if given.command == "create":
        return making.make()
    if given.command == "verify":
        return verifying.verify(given.source)
    act = restoring.check if given.command == "check" else restoring.restore
    return act(given.source, overwrite=given.overwrite)


def sentence(error: BaseException) -> str:
    if isinstance(error, OSError):
        return str(unusable(error))
    if isinstance(error, BotoCoreError):
        return f"a store of objects stopped answering ({error}). See that it runs, and try again."
    return str(error) or "stopped before its end; try again."


def stopped(number: int, frame: FrameType | None) -> None:
    """End as by the keyboard, so that what is half done is removed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
