"""The one door to ``time-series-anomaly-detector``: its compiled part and its tables.

Its package imports PyTorch for its multivariate half, which takes seconds and which detection in
one series does not use. So the files needed here are loaded by themselves; importing the package
as well, before or after, gives the very same modules.
"""

import ast
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from detector.arrays import Floats, Singles

DISTRIBUTION = "time-series-anomaly-detector"
PROVED_FOR = "0.4.0"

_installed = importlib.metadata.version(DISTRIBUTION)
if _installed != PROVED_FOR:
    raise ImportError(
        f"detector.univariate.kernel is proved equal to {DISTRIBUTION} {PROVED_FOR}, "
        f"and {_installed} is installed: install {DISTRIBUTION}=={PROVED_FOR}."
    )


def _folder() -> Path:
    found = importlib.util.find_spec("anomaly_detector")
    if found is None or found.origin is None:
        raise ImportError(f"The package anomaly_detector of {DISTRIBUTION} cannot be found.")
    return Path(found.origin).parent / "univariate"


def _load(name: str, path: Path) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} of {DISTRIBUTION} cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache(maxsize=1)
def compiled() -> Any:
    """Return the package's Cython module, whose imports take longer than a detection."""
    name = "_anomaly_kernel_cython"
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = _folder() / f"{name}{suffix}"
        if path.is_file():
            return _load(f"anomaly_detector.univariate.{name}", path)
    raise ImportError(f"{DISTRIBUTION} has no compiled {name} for this Python.")


@lru_cache(maxsize=1)
def critical_values() -> Singles:
    """Return the table of critical values of the generalised ESD test at alpha 0.05.

    The last ``n`` entries are those for a series of ``n`` values.
    """
    name = "anomaly_detector.univariate.util.critical_table_values"
    table = _load(name, _folder() / "util" / "critical_table_values.py").critical_table
    values = np.array(table, dtype=np.float32)
    values.setflags(write=False)
    return values


@lru_cache(maxsize=1)
def margin_factors() -> Floats:
    """Return the 101 factors by which sensitivity 0 to 100 widens a margin, largest first."""
    # Only the table is read: importing its module would import the whole package.
    source = (_folder() / "util" / "boundary_utils.py").read_text(encoding="utf-8")
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "factors":
            values = np.array(ast.literal_eval(statement.value))
            values.setflags(write=False)
            return values
    raise ImportError(f"{DISTRIBUTION} has no table of margin factors.")
