"""The S3 store as the tracking server sees it: everything goes through the server.

MLflow's own S3 repository also offers presigned addresses, and since MLflow 3.17 clients ask for
one with every download. They would lead to ``http://minio:9000``, which nothing outside the
store's network can reach, so that each file would wait for several time-outs. This repository
offers none; clients then download from the server, and need neither a key nor a way to the store.

Registered under the scheme ``s3`` by the entry point in ``pyproject.toml``:
https://mlflow.org/docs/latest/ml/plugins/#storage-plugins
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, TEMPORARILY_UNAVAILABLE
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error of the store into one that tells the client what is wrong and what to do."""
    store = f"The S3 store at {os.environ['MLFLOW_S3_ENDPOINT_URL']}"
    try:
        yield
    except (ClientError, Boto3Error) as error:
        response = getattr(error, "response", {})
        if response.get("Error", {}).get("Code") in ("404", "NoSuchKey"):
            raise  # a missing file is an answer, which MLflow knows to give
        raise MlflowException(f"{store} refuses: {error}", INTERNAL_ERROR) from error
    except BotoCoreError as error:
        raise MlflowException(
            f"{store} does not answer ({error}): look at `docker compose logs minio`, and start it "
            "with `docker compose up -d --wait`.",
            TEMPORARILY_UNAVAILABLE,
        ) from error


class ProxiedS3ArtifactRepository(ArtifactRepository):
    """S3 without presigned addresses."""

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._s3 = S3ArtifactRepository(
            artifact_uri, tracking_uri=tracking_uri, registry_uri=registry_uri
        )

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        with explained():
            self._s3.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        with explained():
            self._s3.log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        with explained():
            return self._s3.list_artifacts(path)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        with explained():
            self._s3._download_file(remote_file_path, local_path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        with explained():
            self._s3.delete_artifacts(artifact_path)
