"""LightGBM's predictor by its C interface: the same numbers as `Booster.predict`, without importing the
package, which brings pandas and scikit-learn along, and with the call that is made for one row.

Source of the calls: LightGBM's c_api.h, version 4.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
import weakref
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.errors import ArtifactError

FLOAT32, FLOAT64 = 0, 1
RAW, CONTRIBUTIONS = 1, 3
"""What to predict."""
ONE_THREAD = b"num_threads=1"
SUFFIX = {"darwin": "dylib", "win32": "dll"}


@functools.cache
def library(holding: bool) -> Any:
    """LightGBM's shared library. holding: calls keep Python's lock, which is right for some microseconds.

    Raises ArtifactError where LightGBM is not installed.
    """
    found = find_spec("lightgbm")
    places = found.submodule_search_locations if found else None
    name = f"lib_lightgbm.{SUFFIX.get(sys.platform, 'so')}"
    for place in places or []:
        for path in (Path(place) / "lib" / name, Path(place) / "bin" / name):
            if path.is_file():
                loaded = (ctypes.PyDLL if holding else ctypes.CDLL)(str(path))
                loaded.LGBM_GetLastError.restype = ctypes.c_char_p
                return loaded
    raise ArtifactError("LightGBM's library was not found. Install it: pip install lightgbm==4.7.0")


def check(code: int) -> None:
    if code:
        raise ArtifactError(f"LightGBM says: {library(False).LGBM_GetLastError().decode()}")


class NativeTrees:
    """A booster in memory. Any thread may ask; each has its own buffers and its own handle for single rows.

    Raises ArtifactError for a text that is none of LightGBM's.
    """

    def __init__(self, text: str, inputs: int) -> None:
        self.inputs = inputs
        self.handle = ctypes.c_void_p()
        made = ctypes.c_int()
        calls = library(False)
        check(
            calls.LGBM_BoosterLoadModelFromString(
                text.encode(), ctypes.byref(made), ctypes.byref(self.handle)
            )
        )
        weakref.finalize(self, calls.LGBM_BoosterFree, self.handle)
        self.own = threading.local()

    def predict(self, rows: NDArray[np.floating], what: int = RAW) -> NDArray[np.float64]:
        """Shape (rows,) raw, or (rows, inputs + 1) contributions, the last one the expected value.

        rows: shape (rows, inputs), float32 or float64. Raises ArtifactError for another number of inputs.
        """
        if rows.ndim != 2 or rows.shape[1] != self.inputs:
            raise ArtifactError(f"The trees read {self.inputs} inputs; the rows are of shape {rows.shape}.")
        kind = FLOAT32 if rows.dtype == np.float32 else FLOAT64
        rows = np.ascontiguousarray(rows, dtype=np.float32 if kind == FLOAT32 else np.float64)
        width = 1 if what == RAW else self.inputs + 1
        found, length = np.empty(len(rows) * width), ctypes.c_int64()
        check(
            library(False).LGBM_BoosterPredictForMat(
                self.handle,
                ctypes.c_void_p(rows.ctypes.data),
                ctypes.c_int(kind),
                ctypes.c_int32(rows.shape[0]),
                ctypes.c_int32(rows.shape[1]),
                ctypes.c_int(1),
                ctypes.c_int(what),
                ctypes.c_int(0),
                ctypes.c_int(-1),
                ONE_THREAD,
                ctypes.byref(length),
                ctypes.c_void_p(found.ctypes.data),
            )
        )
        return found if what == RAW else found.reshape(len(rows), width)

    def one(self, row: Sequence[float]) -> float:
        """The raw score of one row; as `predict`, faster."""
        try:
            buffer, out, call = self.own.single
        except AttributeError:
            buffer, out, call = self.own.single = self.single()
        buffer[:] = row
        check(call())
        score: float = out.value
        return score

    def single(self) -> tuple[Any, ctypes.c_double, Any]:
        """Buffers of this thread, and the call that reads the one and fills the other."""
        buffer, out, length = (ctypes.c_double * self.inputs)(), ctypes.c_double(), ctypes.c_int64()
        fast = ctypes.c_void_p()
        calls = library(True)
        check(
            calls.LGBM_BoosterPredictForMatSingleRowFastInit(
                self.handle,
                ctypes.c_int(RAW),
                ctypes.c_int(0),
                ctypes.c_int(-1),
                ctypes.c_int(FLOAT64),
                ctypes.c_int32(self.inputs),
                ONE_THREAD,
                ctypes.byref(fast),
            )
        )
        weakref.finalize(buffer, calls.LGBM_FastConfigFree, fast)
        given = fast, ctypes.byref(buffer), ctypes.byref(length), ctypes.byref(out)
        return buffer, out, functools.partial(calls.LGBM_BoosterPredictForMatSingleRowFast, *given)
