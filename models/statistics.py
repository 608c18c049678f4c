"""Arrays that were fitted, not trained, and ship as `models/weights/NAME.npz`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.weights_error import REMEDY, WeightsError

Float32Array = NDArray[np.float32]
Shape = tuple[int | None, ...]  # None = any length


def read_arrays(path: Path, **shapes: Shape) -> dict[str, Float32Array]:
    """The arrays named, float32, in the order and each of the shape given.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name].astype(np.float32) for name in shapes}
        for name, shape in shapes.items():
            _check(name, arrays[name].shape, shape)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is missing or damaged ({error}): {REMEDY}.") from error
    return arrays


def _check(name: str, found: tuple[int, ...], wanted: Shape) -> None:
    lengths = zip(found, wanted, strict=False)
    if len(found) != len(wanted) or any(w not in (None, f) for f, w in lengths):
        raise ValueError(f"{name} has the shape {found}, expected {wanted}")
