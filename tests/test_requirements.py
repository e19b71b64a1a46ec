"""What is imported is named among the requirements, and pinned as in the lock."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Where the name of the package is not that of its import.
PACKAGES = {
    "Cython": "cython",
    "anomaly_detector": "time-series-anomaly-detector",
    "charset_normalizer": "charset-normalizer",
    "prometheus_client": "prometheus-client",
    "pydantic_settings": "pydantic-settings",
    "python_calamine": "python-calamine",
    "yaml": "pyyaml",
}
FILES = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-spark.txt",
    "mlflow/requirements.txt",
    "minio/requirements.txt",
    "backup/requirements.txt",
)


def named(file: str) -> dict[str, str]:
    """Return the pins of a file by the names of the packages."""
    lines = (ROOT / file).read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith(("#", "-")))


def imported(node: ast.AST) -> Iterator[str]:
    """Return the packages that a program imports, but for its types alone."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.split(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


@pytest.mark.parametrize(
    "file", sorted((ROOT / "app").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT))
)
def test_every_import_is_a_requirement(file: Path) -> None:
    ours = {path.stem for path in (ROOT / "app").iterdir()}
    ours.add("detector_native")
    found = set(imported(ast.parse(file.read_text()))) - ours - sys.stdlib_module_names
    needed = {PACKAGES.get(name, name) for name in found}
    allowed = named("requirements.txt").keys()
    if "spark" in file.parts or file.name == "fleet.py":
        allowed |= named("requirements-spark.txt").keys()
    assert needed <= allowed


def test_every_requirement_is_in_the_table_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert not [name for name in named("requirements.txt") if f"`{name}`" not in readme]


def locked(file: str) -> dict[str, list[str]]:
    """Return what a lock holds: each requirement with its version, and the hashes of its files."""
    text = (ROOT / file).with_suffix(".lock").read_text().replace("\\\n", "")
    return {line.split(" ;")[0].split()[0]: line.split("--hash=")[1:] for line in text.splitlines()}


@pytest.mark.parametrize("file", FILES)
def test_every_requirement_is_pinned_as_in_its_lock(file: str) -> None:
    lock = locked(file)
    for name, version in named(file).items():
        assert re.fullmatch(r"[\w.]+", version), name
        # Its files have other hashes in the index of CPU builds.
        assert (f"{name}=={version}" in lock) == (name != "torch")


@pytest.mark.parametrize("file", FILES)
def test_every_file_of_a_lock_has_a_hash_and_no_address(file: str) -> None:
    lock = locked(file)
    assert all(lock.values())
    for hashes in lock.values():
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64} *", each) for each in hashes)


def test_the_locks_agree() -> None:
    # One may hold a version for each of several versions of Python.
    versions: dict[str, set[frozenset[str]]] = {}
    for file in FILES:
        names = {pin.partition("==")[0] for pin in locked(file)}
        for name in names:
            pins = frozenset(pin for pin in locked(file) if pin.startswith(f"{name}=="))
            versions.setdefault(name, set()).add(pins)
    assert not {name: found for name, found in versions.items() if len(found) > 1}
