"""A stack of the tests' own: another project, port and secrets."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from compose import SPARK, Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("stack")


def pytest_sessionfinish() -> None:
    """Remove images that a newer one of these stacks took the name of; they fill the disk."""
    for project in Stack.projects:
        label = f"label=com.docker.compose.project={project}"
        subprocess.run(
            ["docker", "image", "prune", "--force", "--filter", label],
            capture_output=True,
            check=False,
        )


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The running stack with one walk-through done; removed with its data afterwards."""
    answers = subprocess.run(["docker", "version"], capture_output=True, check=False)
    if answers.returncode:
        pytest.fail("No Docker engine answers: run `make engine` first.")
    stack = Stack("anomaly-detector-test", port=5055, detector_port=5058, spark_port=5062)
    stack.compose(*SPARK, "down", "--volumes")
    try:
        stack.up()
        first = stack.walk_through()
        assert first.returncode == 0, first.stdout + first.stderr
        yield stack
    finally:
        if request.session.testsfailed:
            print(stack.compose("ps", "-a", check=False).stdout)
            print(stack.compose("logs", "--no-color", "--tail", "150", check=False).stdout)
        stack.compose(*SPARK, "down", "--volumes", check=False)
