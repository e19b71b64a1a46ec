"""The arrays that detection computes with, and the largest value in them."""

import numpy as np
import numpy.typing as npt

__all__ = ["LARGEST_VALUE", "Flags", "Floats", "Ints", "Singles"]

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
# The largest magnitude of a value: its square still fits a double.
LARGEST_VALUE = 1e100
