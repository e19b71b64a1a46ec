"""The versions of the API, and the routes that each has."""

from typing import Annotated, Any

from fastapi import Depends, Path, Request

from detector.api.errors import GatewayError

__all__ = [
    "PREVIEWS",
    "V1_1",
    "VERSIONS",
    "AnyVersion",
    "LastPreview",
    "Multivariate",
    "Preview",
]

# With the margins that each answers with. Those of v1.1-preview.1 were recorded; of the preview
# before it nothing was.
VERSIONS = {"v1.0": "V1", "v1.1": "V2", "v1.1-preview": "V1", "v1.1-preview.1": "V1"}
PREVIEWS = ("v1.1-preview", "v1.1-preview.1")


def _one_of(*versions: str) -> Any:
    """Return the version of the API; refuse, with 404, one that had no such route."""
    usual = "v1.1" if "v1.1" in versions else versions[0]
    # The default is for whoever tries it at /docs.
    named = Path(json_schema_extra={"enum": list(versions), "default": usual}, examples=[usual])

    async def check(request: Request, version: Annotated[str, named]) -> str:
        if version not in VERSIONS:
            raise GatewayError(
                404,
                f"Resource not found: there is no API version '{version[:50]}'. This service knows "
                f"{', '.join(VERSIONS)}.",
            )
        if version not in versions:
            path = request.scope["path"][:200]
            raise GatewayError(
                404,
                f"Resource not found: the API version '{version}' has no {path}. Only "
                f"{' and '.join(versions)} had it.",
            )
        return version

    return Depends(check)


# What a route asks for by the versions that have it.
AnyVersion = Annotated[str, _one_of(*VERSIONS)]
Multivariate = Annotated[str, _one_of("v1.1", *PREVIEWS)]
V1_1 = Annotated[str, _one_of("v1.1")]
Preview = Annotated[str, _one_of(*PREVIEWS)]
LastPreview = Annotated[str, _one_of("v1.1-preview.1")]
