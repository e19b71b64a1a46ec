"""The files of logged models, read without running any of them.

Whoever may write to MLflow may log any code as a model. What is here decides by the files alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.models import Model
from mlflow.pyfunc.model import PythonModel
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

__all__ = ["code_of", "download", "has_this_package", "is_built_in", "size_of"]

# The file that holds a model's code, and MLflow's own loader of it, which reads no pickle.
CODE = "model.py"
_LOADER = "mlflow.pyfunc.loaders.code_model"
_PACKAGE = Path(__file__).parents[1]
# The largest description of a model that is read, and the most that all files of a model may hold.
_LONGEST_DESCRIPTION = 1 << 20
LARGEST = 1 << 30


def code_of(model: type[PythonModel]) -> str:
    """Return the code that a model of the package is logged with: it makes one of its class."""
    return (
        f"from mlflow.models import set_model\n"
        f"from {model.__module__} import {model.__name__}\n\n"
        f"set_model({model.__name__}())\n"
    )


def download(model_uri: str, path: str, folder: Path) -> Path:
    """Copy a file or a folder of a logged model, all of it for ``""``, into a folder."""
    copied: str = _files(model_uri).download_artifacts(path, str(folder))  # type: ignore[no-untyped-call]
    return Path(copied)


def size_of(model_uri: str, path: str) -> int:
    """Return how many bytes the files in a folder of a logged model hold; 0 where there is none."""
    return sum(size for _, size in _listed(_files(model_uri), path))


def is_built_in(model_uri: str, model: type[PythonModel]) -> bool:
    """Say whether a logged model is one of a class of this package, and brings no code but that."""
    expected = code_of(model).encode()
    sizes = {file.path: file.file_size or 0 for file in _files(model_uri).list_artifacts("")}
    # Nothing large is fetched for this.
    if sizes.get(CODE) != len(expected) or sizes.get("MLmodel", 0) > _LONGEST_DESCRIPTION:
        return False
    with tempfile.TemporaryDirectory() as folder:
        about = download(model_uri, "MLmodel", Path(folder))
        flavor: dict[str, Any] = Model.load(str(about)).flavors.get("python_function", {})
        if flavor.get("loader_module") != _LOADER:
            return False
        # Where it was before it was logged; MLflow looks for the name among the model's files.
        if Path(str(flavor.get("model_code_path"))).name != CODE:
            return False
        return download(model_uri, CODE, Path(folder)).read_bytes() == expected


def has_this_package(model_uri: str) -> bool:
    """Say whether the package that was logged with a model is, to the byte, the one that runs."""
    here = {
        path.relative_to(_PACKAGE.parent).as_posix(): path
        for path in _PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    root = f"code/{_PACKAGE.name}"
    logged = set()
    for path, size in _listed(_files(model_uri), root):
        name = path.removeprefix("code/")
        # Nothing is fetched that is longer than what it must be equal to.
        if name not in here or here[name].stat().st_size != size:
            return False
        logged.add(name)
    if logged != here.keys():
        return False
    with tempfile.TemporaryDirectory() as folder:
        code = download(model_uri, root, Path(folder)).parent
        return all((code / name).read_bytes() == here[name].read_bytes() for name in here)


def _files(model_uri: str) -> ArtifactRepository:
    return get_artifact_repository(model_uri)


def _listed(files: ArtifactRepository, folder: str) -> Iterator[tuple[str, int]]:
    for found in files.list_artifacts(folder):
        if found.is_dir:
            yield from _listed(files, found.path)
        else:
            yield found.path, found.file_size or 0
