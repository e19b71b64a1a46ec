"""The description of the API: fields, bounds and examples, for OpenAPI."""

from typing import Any

__all__ = ["CHANGE_POINT", "ENTIRE", "LAST"]

ENTIRE: dict[str, Any] = {}
LAST: dict[str, Any] = {}
CHANGE_POINT: dict[str, Any] = {}
