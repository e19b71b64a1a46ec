"""The kernel compiled. Where it was not built, numpy computes the same, bit for bit.

``make native`` builds the modules of this folder's ``.pyx`` files into the environment, as the
package ``detector_native``: outside of this one, so that an MLflow model carries Python code alone.
A build counts for the very sources it was made of. In another environment, or beside other
sources, the functions of `detector.univariate.kernel` do their work in numpy.

Each of them asks here for the compiled one::

    if native.medians is not None:
        return native.medians.median_slope(values)
"""

import hashlib
import importlib
import os
from pathlib import Path
from typing import Any

__all__ = ["PACKAGE", "reason", "sources", "sources_digest", "use"]

PACKAGE = "detector_native"
_VARIABLE = "DETECTOR_KERNEL"

# The compiled modules, each None where numpy is used.
changepoint: Any = None
imputation: Any = None
medians: Any = None
outliers: Any = None
period: Any = None
segmentation: Any = None
spectral_residual: Any = None
stationarity: Any = None
stl: Any = None
trend: Any = None
_MODULES = (
    "changepoint",
    "imputation",
    "medians",
    "outliers",
    "period",
    "segmentation",
    "spectral_residual",
    "stationarity",
    "stl",
    "trend",
)

reason = ""
"""Why numpy is used; empty where it is not."""


def sources() -> list[Path]:
    """Return the files that the compiled modules are built from."""
    return sorted([*Path(__file__).parent.glob("*.pyx"), *Path(__file__).parent.glob("*.pxd")])


def sources_digest() -> str:
    """Return what tells these sources from others."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def use(kernel: str | None = None) -> None:
    """Choose what computes: ``native`` or ``numpy``; by default the first where it is built.

    Raises
    ------
    ImportError
        For ``native`` where nothing was built, or something else than these sources.
    """
    global reason
    if kernel not in (None, "native", "numpy"):
        raise ValueError(f"{_VARIABLE} is '{kernel}', and must be native or numpy, or not be set.")
    modules: dict[str, Any] = dict.fromkeys(_MODULES)
    reason = f"{_VARIABLE} asks for it"
    if kernel != "numpy":
        try:
            modules = _built()
            reason = ""
        except ImportError as error:
            if kernel == "native":
                raise
            reason = str(error)
    globals().update(modules)


def _built() -> dict[str, Any]:
    try:
        package = importlib.import_module(PACKAGE)
    except ImportError:
        raise ImportError("the compiled kernel was not built here: run make native") from None
    # A build that was cut off has no sources.
    if getattr(package, "SOURCES", None) != sources_digest():
        raise ImportError("the compiled kernel is of other sources: run make native")
    return {name: importlib.import_module(f"{PACKAGE}.{name}") for name in _MODULES}


use(os.environ.get(_VARIABLE) or None)
