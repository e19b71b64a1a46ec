"""Runs a walk-through as a person does: as a program of its own, in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

APP = Path(__file__).parents[1] / "app"


def runner(name: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs a script of ``app/`` in a folder, with arguments and variables."""

    def walk_through(
        folder: Path, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        # In English, whatever the language of who runs the tests.
        dropped = ("MLFLOW", "LANG", "LC_")
        kept = {each: value for each, value in os.environ.items() if not each.startswith(dropped)}
        return subprocess.run(
            [sys.executable, APP / name, *arguments],
            cwd=folder,
            env=kept | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return walk_through
