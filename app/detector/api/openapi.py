"""How the service describes itself: what FastAPI cannot read from the signature of a route.

Pydantic models make the schemas. They are never filled: requests are checked by
`detector.series` and `detector.api.multivariate.requests`, in Azure's order and with its messages.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from detector.api.errors import CODES, GATEWAY_CODES

__all__ = ["GatewayProblem", "Number", "Problem", "Wire", "answers", "describe", "json_body"]

# The service sends null where a number cannot be written in JSON.
Number = float | None
_REFUSALS = (401, 403, 404, 408, 413, 429, 503)
# The fields that name data; the latter is the previews'.
_SOURCES = ("dataSource", "source")


class Wire(BaseModel):
    """An object of the wire, whose names are in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel)


class Problem(Wire):
    """Why the detection service refuses."""

    code: str = Field(json_schema_extra={"enum": list(CODES)})
    message: str


class GatewayReason(Wire):
    """Why the gateway refuses."""

    code: str = Field(json_schema_extra={"enum": [str(status) for status in GATEWAY_CODES]})
    message: str


class GatewayProblem(Wire):
    """What the gateway answers when it refuses."""

    error: GatewayReason


def answers(
    described: Mapping[int, dict[str, Any]], *, refusals: tuple[int, ...] = _REFUSALS
) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route.

    Parameters
    ----------
    described
        By status, the answers of the route itself, in place of those of the gateway.
    refusals
        The statuses with which the gateway may refuse.
    """
    gateway: dict[int | str, dict[str, Any]] = {
        status: {"model": GatewayProblem, "description": _sentence(GATEWAY_CODES[status])}
        for status in refusals
    }
    return gateway | dict(described)


def _sentence(meaning: str) -> str:
    return f"{meaning[0].upper()}{meaning[1:]}."


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that takes what a model describes."""
    schema = model.model_json_schema()
    schema = _inlined(schema, schema.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema with its definitions where they are used; they would lead nowhere else."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _inlined(each, definitions) for name, each in schema.items() if name != "$ref"}
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        found = _inlined(definitions[name], definitions) | found
    return found


def describe(app: FastAPI, *, data_source: str) -> None:
    """Have the OpenAPI description made when it is first asked for: it takes a tenth of a second.

    Parameters
    ----------
    data_source : str
        What the upload of the example is called here, so that the examples can be run.
    """
    made = app.openapi

    def description() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(made(), data_source)
        return made()

    # FastAPI's own way to change it.
    app.openapi = description  # type: ignore[method-assign]


def _complete(description: dict[str, Any], data_source: str) -> None:
    """Take out the refusals of FastAPI, which checks nothing here, and name the data."""
    for methods in description["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            content = operation.get("requestBody", {}).get("content", {})
            example = content.get("application/json", {}).get("schema", {}).get("example", {})
            example.update({name: data_source for name in _SOURCES if name in example})
    for name in ("HTTPValidationError", "ValidationError"):
        description["components"]["schemas"].pop(name, None)
