"""Every setting of the service: its environment variable, its default and its meaning."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from detector import addresses

__all__ = ["AddressSettings", "DataSettings", "JobSettings", "Settings"]

# Whoever may try can try many a second: 16 random characters are out of reach, words are not.
_SHORTEST_KEY = 16


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


class DataSettings(BaseSettings):
    """Where training data may be read from, and where it is kept, read from the environment.

    Raises
    ------
    pydantic.ValidationError
        For a value that makes no sense.
    """

    # Compose sets a variable that was left out to nothing.
    model_config = SettingsConfigDict(
        frozen=True,
        populate_by_name=True,
        extra="ignore",
        env_ignore_empty=True,
        # What is wrong may be a key.
        hide_input_in_errors=True,
    )

    data_folders: Annotated[tuple[Path, ...], NoDecode] = Field(
        default="datasets",
        validate_default=True,
        min_length=1,
        validation_alias="DETECTOR_DATA_FOLDERS",
        description="Folders whose files may be read, separated by commas. Relative paths start "
        "at the first, which also keeps uploads where there is no store.",
    )
    data_buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        default="datasets",
        validate_default=True,
        min_length=1,
        validation_alias="DETECTOR_DATA_BUCKETS",
        description="Buckets of the store whose files may be read, separated by commas; the first "
        "also keeps uploads.",
    )
    store_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#]+/?$",
        validation_alias="MLFLOW_S3_ENDPOINT_URL",
        description="The S3 store; its keys are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. "
        "Without it, no s3:// address can be read.",
    )
    data_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="DETECTOR_DATA_HOSTS",
        description="Hosts from which files may be read over http and https, separated by commas: "
        "a name, and a port where it is not the usual one.",
    )
    private_data_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="DETECTOR_PRIVATE_DATA_HOSTS",
        description="Like DETECTOR_DATA_HOSTS, for hosts whose address may be one of a private "
        "network or of this machine.",
    )
    max_data_bytes: int = Field(
        default=2 * 1024**3,
        ge=1,
        validation_alias="DETECTOR_MAX_DATA_BYTES",
        description="The largest upload or data source, also when unpacked.",
    )
    max_data_cells: int = Field(
        default=50_000_000,
        ge=1,
        validation_alias="DETECTOR_MAX_DATA_CELLS",
        description="The most values, rows times variables, that one data source may bring into "
        "memory; each takes 8 bytes, and twice that while they are read.",
    )
    data_seconds: float = Field(
        default=600,
        gt=0,
        validation_alias="DETECTOR_DATA_SECONDS",
        description="How long a file may take to arrive, from a host, the store or a client.",
    )

    _split_lists = field_validator(
        "data_folders", "data_buckets", "data_hosts", "private_data_hosts", mode="before"
    )(_split)

    _check_hosts = field_validator("data_hosts", "private_data_hosts")(addresses.hosts)


class JobSettings(DataSettings):
    """How trainings and batch detections are run, read from the environment."""

    queue: str = Field(
        default="jobs.db",
        min_length=1,
        validation_alias="DETECTOR_QUEUE",
        # It may hold a password.
        repr=False,
        description="Where work waits for a worker: an SQLite file that the service and its "
        "workers share, or redis://HOST:6379/0 where they are on several hosts; with TLS and a "
        "password rediss://:PASSWORD@HOST:6379/0?ssl_ca_certs=FILE.",
    )
    trainings: int = Field(
        default=2,
        ge=1,
        validation_alias="DETECTOR_TRAININGS",
        description="Trainings that a worker runs at once, each in a process of its own.",
    )
    batch_detections: int = Field(
        default=2,
        ge=1,
        validation_alias="DETECTOR_BATCH_DETECTIONS",
        description="Batch detections that a worker runs at once.",
    )
    training_seconds: float = Field(
        default=86400,
        gt=0,
        validation_alias="DETECTOR_TRAINING_SECONDS",
        description="How long a training may take; after it the model is FAILED, and what is known "
        "of its epochs is kept.",
    )
    batch_seconds: float = Field(
        default=3600,
        gt=0,
        validation_alias="DETECTOR_BATCH_SECONDS",
        description="How long a batch detection may take; after it the result is FAILED.",
    )
    epochs: int = Field(
        default=100,
        ge=1,
        le=10_000,
        validation_alias="DETECTOR_TRAINING_EPOCHS",
        description="How often a training goes through its data.",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        validation_alias="DETECTOR_DEVICE",
        description="What multivariate models are trained and detect on.",
    )
    lease_seconds: float = Field(
        default=30,
        gt=0,
        validation_alias="DETECTOR_LEASE_SECONDS",
        description="How long after its worker's last sign of life a job is taken up by another.",
    )
    worker_metrics: str | None = Field(
        default=None,
        pattern=r"^[^\s:/]+:\d{1,5}$",
        validation_alias="DETECTOR_WORKER_METRICS",
        description="Where a worker tells Prometheus of its jobs, without a key, such as "
        "127.0.0.1:9101; without it, it does not listen.",
    )


class AddressSettings(JobSettings):
    """Where the service listens, and the keys it takes, read from the environment."""

    host: str = Field(
        default="127.0.0.1",
        validation_alias="DETECTOR_HOST",
        description="The address to listen on.",
    )
    published_address: str | None = Field(
        default=None,
        validation_alias="BIND_ADDRESS",
        description="The address at which a container's port is published, where the service "
        "itself must listen on every address. In a container it, and not the host, decides "
        "whether keys are needed.",
    )
    in_container: bool = Field(
        default=False,
        validation_alias="DETECTOR_IN_CONTAINER",
        description="Whether the service runs in a container, so that BIND_ADDRESS counts. The "
        "image says so.",
    )
    port: int = Field(
        default=8080, ge=0, le=65535, validation_alias="PORT", description="The port to listen on."
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        validation_alias="API_KEYS",
        description="Keys that clients may send, separated by commas; two, so that they can be "
        "rotated. With none, any key is accepted, and the service listens on loopback only. Where "
        f"others can reach it, each has at least {_SHORTEST_KEY} characters.",
    )
    _split_keys = field_validator("api_keys", mode="before")(_split)

    @property
    def reachable_address(self) -> str:
        """The address at which clients reach the service."""
        published = self.published_address if self.in_container else None
        return published or self.host


class Settings(AddressSettings):
    """The settings of one service, read from the environment.

    Raises
    ------
    pydantic.ValidationError
        For a value that makes no sense, or for an address that others can reach without keys.
    """

    key_header: Literal["required", "optional"] = Field(
        default="required",
        validation_alias="DETECTOR_KEY_HEADER",
        description="Whether requests must have the key header where there are no keys. Where it "
        "is optional, pages of other sites must send it all the same.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="DETECTOR_ALLOWED_HOSTS",
        description="Names, with or without a port, by which clients may call the service, "
        "separated by commas. Without keys, those of loopback are always among them; with keys, "
        "any name is accepted where this is empty or has a *.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="DETECTOR_CORS_ORIGINS",
        description="Origins whose web pages may call the service from a browser, separated by "
        "commas, such as https://plant.example.com.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default="127.0.0.1",
        validate_default=True,
        validation_alias="DETECTOR_TRUSTED_PROXIES",
        description="Addresses and networks of proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed, separated by commas.",
    )
    tls: Literal["self"] | None = Field(
        default=None,
        validation_alias="DETECTOR_TLS",
        description="`self`: the service answers over TLS, with a certificate of a local authority "
        "that it makes once.",
    )
    tls_folder: Path = Field(
        default=Path("tls"),
        validation_alias="DETECTOR_TLS_FOLDER",
        description="Where that authority and the certificate are kept.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        validation_alias="DETECTOR_TLS_CERTIFICATE",
        description="A certificate in PEM, with those up to its authority, for TLS.",
    )
    tls_key: Path | None = Field(
        default=None,
        validation_alias="DETECTOR_TLS_KEY",
        description="The private key of that certificate, in PEM and not encrypted.",
    )
    workers: int = Field(
        default=1, ge=1, validation_alias="DETECTOR_WORKERS", description="Worker processes."
    )
    embedded_worker: bool = Field(
        default=True,
        validation_alias="DETECTOR_EMBEDDED_WORKER",
        description="Whether the service runs a worker beside itself. Without, one must be started "
        "with `python -m detector worker`.",
    )
    model_alias: str = Field(
        default="champion",
        min_length=1,
        validation_alias="DETECTOR_MODEL_ALIAS",
        description="The alias of the registered models that answer.",
    )
    model_refresh_seconds: float = Field(
        default=10,
        gt=0,
        validation_alias="DETECTOR_MODEL_REFRESH_SECONDS",
        description="How often to look whether an alias has moved.",
    )
    allow_model_code: bool = Field(
        default=False,
        validation_alias="DETECTOR_ALLOW_MODEL_CODE",
        description="Whether a registered model may bring code of its own. With it, whoever may "
        "register models or move the alias runs code in the service.",
    )
    max_body_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1,
        validation_alias="DETECTOR_MAX_BODY_BYTES",
        description="The largest request body; above it 413.",
    )
    max_bodies_bytes: int = Field(
        default=256 * 1024 * 1024,
        ge=1,
        validation_alias="DETECTOR_MAX_BODIES_BYTES",
        description="The most bytes that the bodies of all requests may have together, those still "
        "arriving included; each worker process has an equal part, and above it 429. A quarter is "
        "kept for bodies of at most 1 MiB.",
    )
    max_points: int = Field(
        default=8640,
        ge=12,
        le=8640,
        validation_alias="DETECTOR_MAX_POINTS",
        description="The most points in one series; above it 413. More than 8640 are refused "
        "with InvalidSeries, as the service did.",
    )
    concurrent_detections: int | None = Field(
        default=None,
        ge=1,
        validation_alias="DETECTOR_CONCURRENT_DETECTIONS",
        description="How many small and how many large detections one worker runs at a time; of "
        "many variables it runs one. By default its share of the processors that the service may "
        "use, at most 8.",
    )
    waiting_detections: int = Field(
        default=16,
        ge=0,
        validation_alias="DETECTOR_WAITING_DETECTIONS",
        description="How many large detections, and how many of many variables, may wait for each "
        "processor that the service may use, and four times as many small ones; above it 429. Each "
        "worker process has an equal part.",
    )
    body_seconds: float = Field(
        default=30,
        gt=0,
        validation_alias="DETECTOR_BODY_SECONDS",
        description="How long a request body may take to arrive; after it 408.",
    )
    concurrent_uploads: int = Field(
        default=8,
        ge=1,
        validation_alias="DETECTOR_CONCURRENT_UPLOADS",
        description="Uploads of data that one worker takes at a time; above it 429.",
    )
    min_free_bytes: int = Field(
        default=32 * 1024**2,
        ge=0,
        validation_alias="DETECTOR_MIN_FREE_BYTES",
        description="What uploads leave free in the folder for temporary files and in the one that "
        "keeps them; where they would leave less, 507.",
    )
    stop_seconds: int = Field(
        default=30,
        ge=1,
        validation_alias="DETECTOR_STOP_SECONDS",
        description="How long a stopping worker waits for the requests it has begun.",
    )
    max_models: int = Field(
        default=1000,
        ge=1,
        validation_alias="DETECTOR_MAX_MODELS",
        description="The most multivariate models that there may be; above it TooManyModels.",
    )
    max_unfinished_models: int = Field(
        default=20,
        ge=1,
        validation_alias="DETECTOR_MAX_UNFINISHED_MODELS",
        description="The most multivariate models that may be in training or wait for it; above "
        "it TooManyRunningModels.",
    )
    max_unfinished_detections: int = Field(
        default=100,
        ge=1,
        validation_alias="DETECTOR_MAX_UNFINISHED_DETECTIONS",
        description="The most batch detections that may run or wait for it; above it 429.",
    )

    _split_names = field_validator(
        "allowed_hosts", "cors_origins", "trusted_proxies", mode="before"
    )(_split)

    _check_allowed_hosts = field_validator("allowed_hosts")(addresses.hosts_or_any)

    _check_origins = field_validator("cors_origins")(addresses.origins)

    _check_proxies = field_validator("trusted_proxies")(addresses.proxies)

    @property
    def worker_bodies_bytes(self) -> int:
        """The most bytes that the bodies of one worker process may have together."""
        return self.max_bodies_bytes // self.workers

    @model_validator(mode="after")
    def _require_keys_where_others_reach(self) -> "Settings":
        address = self.reachable_address
        if addresses.is_loopback(address):
            return self
        if not self.api_keys:
            raise ValueError(
                f"the service would listen on {address}, which others can reach, with no key: set "
                "API_KEYS to one or more keys separated by commas, or listen on 127.0.0.1"
            )
        if any(len(key.get_secret_value()) < _SHORTEST_KEY for key in self.api_keys):
            raise ValueError(
                f"API_KEYS has a key of fewer than {_SHORTEST_KEY} characters, and others can "
                f"reach {address}: use random ones, such as `openssl rand -hex 24` prints"
            )
        return self

    @model_validator(mode="after")
    def _require_keys_where_any_host_may_call(self) -> "Settings":
        if "*" in self.allowed_hosts and not self.api_keys:
            raise ValueError(
                "DETECTOR_ALLOWED_HOSTS may have * only where there are API_KEYS: without any, a "
                "page that a browser shows could call the service by a name of its own"
            )
        return self

    @model_validator(mode="after")
    def _let_the_largest_body_in(self) -> "Settings":
        # The large ones share three quarters, and one of many variables has ten times the bytes.
        least = 40 * self.max_body_bytes // 3 * self.workers
        if self.max_bodies_bytes < least:
            raise ValueError(
                f"DETECTOR_MAX_BODIES_BYTES ({self.max_bodies_bytes}) must be at least {least}: "
                f"the largest body has 10 times DETECTOR_MAX_BODY_BYTES ({self.max_body_bytes}), "
                "large ones may take three quarters, and each of the DETECTOR_WORKERS "
                f"({self.workers}) has an equal part"
            )
        return self
