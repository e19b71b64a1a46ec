"""The S3 store as the tracking server sees it: everything goes through the server.

MLflow's own S3 repository also offers presigned addresses, and since MLflow 3.17 clients ask for
one with every download. They would lead to ``http://minio:9000``, which nothing outside the
store's network can reach, so that each file would wait for several time-outs. This repository
offers none; clients then download from the server, and need neither a key nor a way to the store.

Registered under the scheme ``s3`` by the entry point in ``pyproject.toml``:
https://mlflow.org/docs/latest/ml/plugins/#storage-plugins
"""

from mlflow.entities import FileInfo
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository


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
        self._s3.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        self._s3.log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        return self._s3.list_artifacts(path)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        self._s3._download_file(remote_file_path, local_path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        self._s3.delete_artifacts(artifact_path)
