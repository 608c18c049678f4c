"""The packed face meshes of a clip: first frame and differences, in steps of a 256 px crop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

CLIP_PX = 256  # the unit of the stored meshes
MESH_POINTS = 478
MESH_STEPS_PER_PX = np.array([8.0, 8.0, 4.0], np.float32)  # x, y in 1/8 px; z in 1/4 px


class BadMeshes(ValueError):
    """Arrays that are no packed meshes."""


def unpacked(arrays: Mapping[str, NDArray[Any]], size_px: int) -> Float32Array:
    """Meshes (T,478,3) float32 px of a `size_px` crop, of `first` (478,3) and `delta` (478,3,T-1).

    Raises:
        BadMeshes: an array is missing or of another shape.
    """
    try:
        first = arrays["first"].astype(np.int64)
        steps = np.moveaxis(arrays["delta"].astype(np.int64), 2, 0)
        counts = np.cumsum(np.concatenate([first[None], steps]), axis=0)
    except (KeyError, ValueError, IndexError) as error:
        raise BadMeshes(str(error)) from error
    if counts.shape[1:] != (MESH_POINTS, 3):
        raise BadMeshes(f"meshes of shape {counts.shape[1:]}, not {(MESH_POINTS, 3)}")
    meshes = counts.astype(np.float32) / MESH_STEPS_PER_PX * np.float32(size_px / CLIP_PX)
    return np.asarray(meshes, np.float32)
