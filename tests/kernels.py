"""The compiled kernel beside numpy's, which is its oracle: the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from detector.errors import DetectionError
from detector.univariate.kernel import native

CHOSEN = os.environ.get("DETECTOR_KERNEL") or None
BUILT = pytest.mark.skipif(native.stl is None, reason=f"There is one kernel: {native.reason}.")


@contextmanager
def kernel(name: str) -> Iterator[None]:
    """Compute with the kernel of this name, native or numpy."""
    native.use(name)
    try:
        yield
    finally:
        native.use(CHOSEN)


def assert_same(function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Check that both kernels answer a call alike, to the last bit, or refuse it alike."""
    with kernel("numpy"):
        expected = outcome(function, *arguments, **options)
    with kernel("native"):
        found = outcome(function, *arguments, **options)
    assert bits(found) == bits(expected), difference(found, expected)


def outcome(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what comes of a call: the result, or the code and message of its refusal."""
    try:
        with np.errstate(all="ignore"):
            return function(*arguments, **options)
    except DetectionError as error:
        return error.code, error.message


def bits(result: Any) -> Any:
    """Return a result as what can be compared bit by bit."""
    if isinstance(result, np.ndarray | np.generic):
        values = np.array(result)
        # A nought is a nought, and what is no number is no number.
        if values.dtype.kind == "f":
            values[values == 0] = 0
            values[np.isnan(values)] = np.nan
        return values.dtype.str, values.shape, values.tobytes()
    if isinstance(result, float):
        return bits(np.float64(result))
    if isinstance(result, list | tuple):
        return [bits(each) for each in result]
    if isinstance(result, dict):
        return {name: bits(each) for name, each in result.items()}
    if hasattr(result, "columns"):
        return [type(result).__name__, *map(bits, result.columns().values())]
    if hasattr(result, "__dataclass_fields__"):
        return [bits(getattr(result, name)) for name in result.__dataclass_fields__]
    return result


def difference(found: Any, expected: Any) -> str:
    """Return where two results differ, for a person."""
    if not (isinstance(found, np.ndarray) and isinstance(expected, np.ndarray)):
        return f"{found!r} for {expected!r}"
    if found.shape != expected.shape:
        return f"shape {found.shape} for {expected.shape}"
    places = np.flatnonzero(found.ravel() != expected.ravel())[:9]
    return f"at {places}: {found.ravel()[places]} for {expected.ravel()[places]}"
