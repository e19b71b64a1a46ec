"""The application that a worker process serves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request
from starlette.responses import HTMLResponse, PlainTextResponse

from detector.api import datasets, docs_page, errors, metrics
from detector.api.auth import HEADER, require_key
from detector.api.limits import Limits
from detector.api.middleware import RequestLog
from detector.api.model_store import ModelStore
from detector.api.multivariate import routes as multivariate
from detector.api.served_models import ServedModels
from detector.api.service import VERSIONS, require_version
from detector.api.timeseries import routes as timeseries
from detector.api.wire import Json
from detector.datasource import Access
from detector.log import ignore_foreign_warnings
from detector.settings import Settings

__all__ = ["create"]


def create() -> FastAPI:
    """Make the application, with the settings of the environment."""
    settings = Settings()
    ignore_foreign_warnings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.limits = Limits(settings)
        app.state.models = ServedModels(settings.model_alias, settings.model_refresh_seconds)
        app.state.models.start()
        app.state.store = ModelStore()
        yield
        app.state.models.stop()
        app.state.store.close()
        app.state.limits.close()

    app = FastAPI(
        title="Anomaly Detector",
        version="v1.1",
        summary="Detection with the answers of Azure AI Anomaly Detector.",
        lifespan=lifespan,
        redirect_slashes=False,
        # Its own pages fetch their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.access = Access.from_settings(settings)
    app.add_middleware(RequestLog)
    errors.add_handlers(app)
    for resource, tag in (
        (timeseries, "timeseries"),
        (multivariate, "multivariate"),
    ):
        app.include_router(
            resource.router,
            prefix="/anomalydetector/{version}",
            dependencies=[Depends(require_key), Depends(require_version)],
            tags=[tag],
        )

    app.include_router(datasets.router, dependencies=[Depends(require_key)], tags=["datasets"])

    @app.get("/", tags=["service"])
    async def about(request: Request) -> dict[str, Any]:
        """Say what this is and which model versions answer."""
        models: ServedModels = request.app.state.models
        return {
            "name": "Anomaly Detector",
            "description": "Answers as Azure AI Anomaly Detector did.",
            "apiVersions": list(VERSIONS),
            "alias": settings.model_alias,
            "models": models.versions(),
            "ready": models.ready,
            "documentation": "/docs",
        }

    @app.get("/health/live", tags=["service"])
    async def live() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "alive"}

    @app.get("/health/ready", tags=["service"], responses={503: {"description": errors.CODES[503]}})
    async def ready(request: Request) -> Json:
        """Say whether every model is loaded: 200, or 503 until then."""
        models: ServedModels = request.app.state.models
        if models.ready:
            return Json({"status": "ready"})
        missing = [name for name, version in models.versions().items() if version is None]
        message = f"Waiting for the models {', '.join(missing)}."
        return errors.refusal(errors.GatewayError(503, message, {"Retry-After": "5"}))

    @app.get("/metrics", tags=["service"], response_class=PlainTextResponse)
    async def figures() -> PlainTextResponse:
        """Return the figures of all workers, for Prometheus."""
        return PlainTextResponse(
            metrics.exposition(), headers={"content-type": metrics.CONTENT_TYPE}
        )

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> HTMLResponse:
        return HTMLResponse(docs_page.render(app.openapi()))

    description = app.openapi()
    scheme = {"type": "apiKey", "in": "header", "name": HEADER}
    description["components"] = {"securitySchemes": {"key": scheme}}
    return app
