"""Types of arrays."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
# Its size in units of eigenvalues, or text as "1%", of the largest absolute eigenvalue.
Window = float | str
