"""``/models``: the versions of the models that detect in one series, and which of them answers."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from detector.api.dependencies import ServiceModels, ServiceSettings, ServiceStore
from detector.api.model_kinds import CHANGE_POINT, ENTIRE, LATEST
from detector.api.openapi import Number, Wire, answers
from detector.api.served_models import ServedModels
from detector.api.wire import Json
from detector.tracking import server, versions
from detector.tracking.versions import Registered

__all__ = ["router"]

router = APIRouter()

# By what they are called in the paths of their routes.
_KINDS = {"entire": ENTIRE, "last": LATEST, "changepoint": CHANGE_POINT}
_Count = Annotated[int, Field(ge=1)]
_EXAMPLE: dict[str, Any] = {
    "models": [
        {
            "kind": "entire",
            "name": ENTIRE,
            "alias": "champion",
            "version": 2,
            "refused": None,
            "versions": [
                {
                    "version": 2,
                    "aliases": ["champion"],
                    "created": "2026-11-27T09:22:16Z",
                    "description": "The defaults are `granularity` daily, `sensitivity` 95.",
                    "metrics": {"anomalies": 1.0},
                    "link": f"http://localhost:5000/#/models/{ENTIRE}/versions/2",
                }
            ],
            "more": True,
        }
    ],
    "mlflow": "http://localhost:5000",
    "trainingEpochs": 100,
}


class Version(Wire):
    """A version of a registered model."""

    version: _Count
    aliases: list[str]
    created: datetime
    description: str
    metrics: dict[str, Number] = Field(
        description="What the run measured that logged it, at most 50."
    )
    link: str | None = Field(description="Its page in MLflow; null where MLflow is a file.")


class RegisteredModel(Wire):
    """A registered model, and the version of it that answers."""

    kind: Annotated[str, Field(json_schema_extra={"enum": list(_KINDS)})] = Field(
        description="What it answers."
    )
    name: str
    alias: str = Field(description="The alias that the service follows.")
    version: _Count | None = Field(description="What answers now; null before one is loaded.")
    refused: str | None = Field(
        description="Why the version that the alias points to does not answer; null where it does."
    )
    versions: list[Version] = Field(description="The newest first, at most 100.")
    more: bool = Field(description="Whether there are older ones.")


class RegisteredModels(Wire):
    """The models that detect in one series."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    models: list[RegisteredModel]
    mlflow: str | None = Field(description="Where MLflow's pages are; null where it is a file.")
    training_epochs: _Count = Field(description="How many a training of many variables has.")


_RESPONSES = answers(
    {200: {"model": RegisteredModels, "description": "The models."}},
    refusals=(401, 403, 429, 503),
)


@router.get("/models", responses=_RESPONSES)
async def registered_models(
    models: ServiceModels, settings: ServiceSettings, store: ServiceStore
) -> Json:
    """List the versions of the models for one series, with what they measured and who answers."""
    # A list may take a second, and must not take the turns of those who ask for less.
    found = await store.list_models(lambda _: versions.registered(_KINDS.values()))
    told = [
        _told(kind, each, models, settings.model_alias)
        for kind, each in zip(_KINDS, found, strict=True)
    ]
    return Json(
        {
            "models": told,
            "mlflow": server.public_address(),
            "trainingEpochs": settings.epochs,
        }
    )


def _told(kind: str, model: Registered, models: ServedModels, alias: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": model.name,
        "alias": alias,
        "version": models.versions()[model.name],
        "refused": models.refused(model.name, model.aliases.get(alias)),
        "versions": [
            {
                "version": each.version,
                "aliases": each.aliases,
                "created": f"{each.created:%Y-%m-%dT%H:%M:%SZ}",
                "description": each.description,
                "metrics": each.metrics,
                "link": each.link,
            }
            for each in model.versions
        ],
        "more": model.has_more,
    }
