"""What a route may ask for in its signature; the state of the service is read here only.

All are ``async``: FastAPI would run others in a thread.
"""

from dataclasses import dataclass
from typing import Annotated, TypedDict

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from detector.api.keys import Keys
from detector.api.limits import Limits
from detector.api.model_store import ModelStore
from detector.api.served_models import ServedModels
from detector.api.upload_room import UploadRoom
from detector.datasource import Access
from detector.settings import Settings

__all__ = [
    "DataAccess",
    "Service",
    "ServiceLimits",
    "ServiceModels",
    "ServiceSettings",
    "ServiceState",
    "ServiceStore",
    "ServiceUploads",
    "State",
    "service_of",
]


@dataclass(frozen=True)
class ServiceState:
    """What one worker process holds from its start to its end."""

    settings: Settings
    access: Access
    limits: Limits
    models: ServedModels
    store: ModelStore
    uploads: UploadRoom
    keys: Keys


class State(TypedDict):
    """What the lifespan of the application yields; Starlette hands it to every request."""

    service: ServiceState


def service_of(request: HTTPConnection) -> ServiceState:
    """Return the state; what a request meets before its route takes no dependency for it."""
    state: ServiceState = request.state.service
    return state


async def _service(request: Request) -> ServiceState:
    return service_of(request)


async def _settings(request: Request) -> Settings:
    return service_of(request).settings


async def _access(request: Request) -> Access:
    return service_of(request).access


async def _limits(request: Request) -> Limits:
    return service_of(request).limits


async def _models(request: Request) -> ServedModels:
    return service_of(request).models


async def _store(request: Request) -> ModelStore:
    return service_of(request).store


async def _uploads(request: Request) -> UploadRoom:
    return service_of(request).uploads


ServiceSettings = Annotated[Settings, Depends(_settings)]
DataAccess = Annotated[Access, Depends(_access)]
ServiceLimits = Annotated[Limits, Depends(_limits)]
ServiceModels = Annotated[ServedModels, Depends(_models)]
ServiceStore = Annotated[ModelStore, Depends(_store)]
ServiceUploads = Annotated[UploadRoom, Depends(_uploads)]
Service = Annotated[ServiceState, Depends(_service)]
