"""Every setting of the service: its environment variable, its default and its meaning."""

import ipaddress
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["Settings"]


class Settings(BaseSettings):
    """The settings of one service, read from the environment.

    Raises
    ------
    pydantic.ValidationError
        For a value that makes no sense, or for an address that others can reach without keys.
    """

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    host: str = Field(
        default="127.0.0.1",
        validation_alias="DETECTOR_HOST",
        description="The address to listen on.",
    )
    published_address: str | None = Field(
        default=None,
        validation_alias="BIND_ADDRESS",
        description="The address at which a container's port is published, where the service "
        "itself must listen on every address. It, and not the host, decides whether keys are "
        "needed.",
    )
    port: int = Field(
        default=8080, ge=0, le=65535, validation_alias="PORT", description="The port to listen on."
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        validation_alias="API_KEYS",
        description="Keys that clients may send, separated by commas; two, so that they can be "
        "rotated. With none, any key is accepted, and the service listens on loopback only.",
    )
    workers: int = Field(
        default=1, ge=1, validation_alias="DETECTOR_WORKERS", description="Worker processes."
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
    max_body_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1,
        validation_alias="DETECTOR_MAX_BODY_BYTES",
        description="The largest request body; above it 413.",
    )
    max_points: int = Field(
        default=8640,
        ge=12,
        le=8640,
        validation_alias="DETECTOR_MAX_POINTS",
        description="The most points in one series; above it 413. More than 8640 are refused "
        "with InvalidSeries, as the service did.",
    )
    concurrent_detections: int = Field(
        default=1,
        ge=1,
        validation_alias="DETECTOR_CONCURRENT_DETECTIONS",
        description="Detections that one worker runs at a time.",
    )
    waiting_detections: int = Field(
        default=16,
        ge=0,
        validation_alias="DETECTOR_WAITING_DETECTIONS",
        description="Detections that may wait in one worker for their turn; above it 429.",
    )
    body_seconds: float = Field(
        default=30,
        gt=0,
        validation_alias="DETECTOR_BODY_SECONDS",
        description="How long a request body may take to arrive; after it 408.",
    )
    stop_seconds: int = Field(
        default=30,
        ge=1,
        validation_alias="DETECTOR_STOP_SECONDS",
        description="How long a stopping worker waits for the requests it has begun.",
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(key.strip() for key in value.split(",") if key.strip())

    @model_validator(mode="after")
    def _require_keys_where_others_reach(self) -> "Settings":
        address = self.published_address or self.host
        if not self.api_keys and not _is_loopback(address):
            raise ValueError(
                f"the service would listen on {address}, which others can reach, with no key: set "
                "API_KEYS to one or more keys separated by commas, or listen on 127.0.0.1"
            )
        return self


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
