"""The application that a worker process serves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response, Security
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, RedirectResponse

from detector import isolation
from detector.api import datasets, errors, files, metrics, openapi, registered_models
from detector.api.auth import require_key
from detector.api.callers import Callers
from detector.api.dependencies import ServiceModels, ServiceSettings, ServiceState, State
from detector.api.keys import Keys
from detector.api.limits import Limits
from detector.api.middleware import RequestLog
from detector.api.model_store import ModelStore
from detector.api.multivariate import examples
from detector.api.multivariate import routes as multivariate
from detector.api.page import Page, wants_html
from detector.api.served_models import ServedModels
from detector.api.swagger import Swagger
from detector.api.timeseries import routes as timeseries
from detector.api.upload_room import UploadRoom
from detector.api.versions import VERSIONS
from detector.api.wire import Json
from detector.datasource import Access
from detector.log import ignore_foreign_warnings
from detector.settings import Settings
from detector.univariate.kernel import native

__all__ = ["create"]

# Headers of answers that clients in a browser read.
_READ_BY_PAGES = [
    "apim-request-id",
    "csp-billing-usage",
    "location",
    "model-id",
    "operation-id",
    "operation-location",
    "retry-after",
    "x-model-name",
    "x-model-version",
    "x-ms-error-code",
    "x-request-id",
]
# As the service's own container wrote it.
_SERVICE = "anomalydetector"
_ABOUT_KEYS = (
    "*Authorize* takes a key of this service; where it has none (`API_KEYS`), a word stands there "
    "already. The examples go together: upload `pump`, train a model on it, and copy its `modelId` "
    "to where one is asked for."
)
_PAGE: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}}}
_NOT_READY = openapi.answers({}, refusals=(503,))


def create() -> FastAPI:
    """Make the application, with the settings of the environment."""
    settings = Settings()
    isolation.hide_memory()
    ignore_foreign_warnings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        access = Access.from_settings(settings)
        service = ServiceState(
            settings=settings,
            access=access,
            limits=Limits(settings),
            models=ServedModels(
                settings.model_alias,
                settings.model_refresh_seconds,
                allow_code=settings.allow_model_code,
            ),
            store=ModelStore(),
            uploads=UploadRoom(settings, access),
            keys=Keys(settings.api_keys, header_optional=settings.key_header == "optional"),
        )
        service.models.start()
        preparing = asyncio.create_task(service.store.prepare())
        yield {"service": service}
        preparing.cancel()
        service.models.stop()
        service.store.close()
        service.limits.close()
        service.uploads.close()

    app = FastAPI(
        title="Anomaly Detector",
        version="v1.1",
        summary="Detection with the answers of Azure AI Anomaly Detector.",
        description=_ABOUT_KEYS,
        # Relative to the description, for proxies that put a path before it.
        servers=[{"url": "./"}],
        lifespan=lifespan,
        redirect_slashes=False,
        # FastAPI's pages fetch their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    _add_middleware(app, settings)
    errors.add_handlers(app)
    _add_guarded_routes(app)
    _add_pages(app, asks_for_key=bool(settings.api_keys))
    _add_service_routes(app)
    _add_container_routes(app)
    upload = f"{examples.NAME}.csv"
    bucket = settings.data_buckets[0] if settings.store_url else None
    openapi.describe(app, data_source=f"s3://{bucket}/{upload}" if bucket else upload)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    # The last one is the first that a request meets.
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["*"],
            # Chrome asks before a public page calls a private address; this page is named.
            allow_private_network=True,
            expose_headers=_READ_BY_PAGES,
        )
    app.add_middleware(Callers, settings=settings)
    app.add_middleware(RequestLog)


def _add_guarded_routes(app: FastAPI) -> None:
    """Add the routes that need a key: all that take or tell data."""
    guarded = [Security(require_key)]
    azure = "/anomalydetector/{version}"
    app.include_router(timeseries.router, prefix=azure, dependencies=guarded, tags=["timeseries"])
    app.include_router(
        multivariate.router, prefix=azure, dependencies=guarded, tags=["multivariate"]
    )
    app.include_router(datasets.router, dependencies=guarded, tags=["datasets"])
    app.include_router(files.router, dependencies=guarded, tags=["files"])
    app.include_router(registered_models.router, dependencies=guarded, tags=["models"])


def _add_service_routes(app: FastAPI) -> None:
    """Add the routes about the service itself, which need no key."""

    @app.get("/health/live", tags=["service"])
    async def live() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "alive"}

    @app.get("/health/ready", tags=["service"], responses=_NOT_READY)
    async def ready(models: ServiceModels) -> Json:
        """Say whether every model is loaded: 200, or 503 until then."""
        if models.ready:
            return Json({"status": "ready"})
        return _not_ready(models)

    @app.get("/metrics", tags=["service"], response_class=PlainTextResponse)
    async def figures() -> PlainTextResponse:
        """Return the figures of all workers, for Prometheus."""
        return PlainTextResponse(
            metrics.exposition(), headers={"content-type": metrics.CONTENT_TYPE}
        )


def _add_pages(app: FastAPI, *, asks_for_key: bool) -> None:
    """Add what people look at in a browser, which needs no key."""
    page = Page(asks_for_key=asks_for_key)

    # Of what browsers ask, the page; of programs, this.
    @app.head("/", include_in_schema=False)
    @app.get("/", tags=["service"], response_model=dict[str, Any], responses=_PAGE)
    async def about(
        request: Request, response: Response, models: ServiceModels, settings: ServiceSettings
    ) -> Any:
        """Say what this is and which model versions answer; a browser gets the page."""
        if wants_html(request.headers.get("accept", "")):
            return page.answer(request)
        response.headers["Vary"] = "Accept"
        return {
            "name": "Anomaly Detector",
            "description": "Answers as Azure AI Anomaly Detector did.",
            "apiVersions": list(VERSIONS),
            "alias": settings.model_alias,
            "models": models.versions(),
            "ready": models.ready,
            # With why, where it is not the compiled one.
            "kernel": "numpy" if native.reason else "native",
            **({"kernelReason": native.reason} if native.reason else {}),
            # A page tells from it how long a training goes on.
            "documentation": "/docs",
        }

    @app.head("/page/{digest}/{name:path}", include_in_schema=False)
    @app.get("/page/{digest}/{name:path}", include_in_schema=False)
    async def file_of_page(request: Request, digest: str, name: str) -> Response:
        return await page.file(request, digest, name)

    swagger = Swagger(app.title, asks_for_key=asks_for_key)

    @app.head("/docs", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def documentation(request: Request) -> Response:
        return swagger.answer(request)

    @app.head("/docs/{digest}/{name}", include_in_schema=False)
    @app.get("/docs/{digest}/{name}", include_in_schema=False)
    async def file_of_documentation(request: Request, digest: str, name: str) -> Response:
        return await swagger.file(request, digest, name)

    # Relative, as whoever came by a proxy does not know the path here.
    @app.head("/swagger", include_in_schema=False)
    @app.get("/swagger", include_in_schema=False)
    async def as_the_container() -> RedirectResponse:
        return RedirectResponse("docs")

    @app.head("/swagger/index.html", include_in_schema=False)
    @app.get("/swagger/index.html", include_in_schema=False)
    async def as_its_own_page() -> RedirectResponse:
        return RedirectResponse("../docs")


def _add_container_routes(app: FastAPI) -> None:
    """Add the routes by which users of the service's own container look whether it is well."""

    @app.get("/status", tags=["service"])
    async def status() -> dict[str, str]:
        """Say that the key that the service was started with is valid: nobody else is asked."""
        return {
            "service": _SERVICE,
            "apiStatus": "Valid",
            "apiStatusMessage": "Api Key is valid, no action needed.",
        }

    @app.get("/ready", tags=["service"], responses=_NOT_READY)
    async def ready(models: ServiceModels) -> Json:
        """Say whether every model is loaded: 200, or 503 until then."""
        if models.ready:
            return Json({"service": _SERVICE, "ready": "ready"})
        return _not_ready(models)


def _not_ready(models: ServedModels) -> Json:
    return errors.refusal(errors.GatewayError(503, models.waiting(), {"Retry-After": "5"}))
