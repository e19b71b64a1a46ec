"""The files of logged models, read without running any of them.

Whoever may write to MLflow may log any code as a model. What is here decides by the files alone.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.pyfunc.model import PythonModel
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository
from mlflow.utils.file_utils import local_file_uri_to_path

from detector.multivariate.requests import redacted

__all__ = [
    "FilesError",
    "check_location",
    "code_of",
    "download",
    "has_this_package",
    "is_built_in",
    "size_of",
]

# The file that holds a model's code, and MLflow's own loader of it, which reads no pickle.
CODE = "model.py"
_LOADER = "mlflow.pyfunc.loaders.code_model"
_PACKAGE = Path(__file__).parents[1]
# The largest description of a model that is read, and the most that all files of a model may hold.
_LONGEST_DESCRIPTION = 1 << 20
LARGEST = 1 << 30
# The experiment that MLflow makes below its artifact root when it makes a store.
_FIRST_EXPERIMENT = "0"
_MOST_STEPS = 4


class FilesError(ValueError):
    """The files of a model may not be used; the message says why and what would be right."""


def code_of(model: type[PythonModel]) -> str:
    """Return the code that a model of the package is logged with: it makes one of its class."""
    return (
        f"from mlflow.models import set_model\n"
        f"from {model.__module__} import {model.__name__}\n\n"
        f"set_model({model.__name__}())\n"
    )


def download(model_uri: str, path: str, folder: Path, *, most: int = LARGEST) -> Path:
    """Copy a file or a folder of a logged model, all of it for ``""``, into a folder.

    Raises
    ------
    FilesError
        If the files are not where MLflow keeps files, or hold more than `most` bytes.
    """
    copied = Path(_files(model_uri).download_artifacts(path, str(folder)))  # type: ignore[no-untyped-call]
    files = copied.rglob("*") if copied.is_dir() else [copied]
    # What a store lists may be other than what it sends.
    if sum(file.stat().st_size for file in files if file.is_file()) > most:
        raise FilesError(f"'{path}' holds more than {most} bytes.")
    return copied


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
        about = download(model_uri, "MLmodel", Path(folder), most=_LONGEST_DESCRIPTION)
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


def check_location(location: str) -> None:
    """See that files are in the store of MLflow, and not where somebody else says.

    Whoever may write to MLflow chooses where a version is; MLflow's client would send its own
    credentials to a web address.

    Raises
    ------
    FilesError
    """
    parsed = urlsplit(location)
    if _is_local(location):
        is_kept = any(_path(location).is_relative_to(_path(root)) for root in _roots(local=True))
    elif parsed.query or parsed.fragment or ".." in unquote(unquote(parsed.path)).split("/"):
        is_kept = False
    elif parsed.scheme == "mlflow-artifacts" and not parsed.netloc:
        is_kept = True
    else:
        is_kept = any(location.startswith(f"{root}/") for root in _roots(local=False))
    if is_kept:
        return
    raise FilesError(
        f"The files are not in the store of MLflow but at {redacted(location)[:200]}. Log the "
        "model to MLflow, and register what was logged."
    )


def _roots(*, local: bool) -> Iterator[str]:
    """Yield where MLflow keeps files that it does not pass on itself."""
    with contextlib.suppress(MlflowException):
        first = MlflowClient().get_experiment(_FIRST_EXPERIMENT).artifact_location
        root = first.rstrip("/").removesuffix(f"/{_FIRST_EXPERIMENT}")
        if _is_local(root) == local:
            yield root
    if local and not mlflow.get_tracking_uri().startswith("http"):
        yield str(Path.cwd() / "mlruns")


def _is_local(location: str) -> bool:
    return urlsplit(location).scheme == "" or location.startswith("file:///")


def _path(location: str) -> Path:
    return Path(local_file_uri_to_path(location)).resolve()  # type: ignore[no-untyped-call]


def _files(model_uri: str) -> ArtifactRepository:
    location = model_uri
    # A version may be where another one is.
    for _ in range(_MOST_STEPS):
        scheme = urlsplit(location).scheme
        if scheme == "models":
            location = ModelsArtifactRepository.get_underlying_uri(location)  # type: ignore[no-untyped-call]
        elif scheme == "runs":
            location = RunsArtifactRepository.get_underlying_uri(location)
        else:
            break
    check_location(location)
    return get_artifact_repository(model_uri)


def _listed(files: ArtifactRepository, folder: str) -> Iterator[tuple[str, int]]:
    for found in files.list_artifacts(folder):
        if found.is_dir:
            yield from _listed(files, found.path)
        else:
            yield found.path, found.file_size or 0
