from __future__ import annotations

import cv2
import numpy as np

from models import warp
from models.face.raster import FaceRaster

SIZE = 128


def framed(canonical_mesh: np.ndarray) -> np.ndarray:
    """The canonical mesh in the middle of a crop, half as wide as it."""
    low, high = canonical_mesh[:468, :2].min(0), canonical_mesh[:468, :2].max(0)
    mesh = (canonical_mesh - np.array([*(low + high) / 2, 0])) * 64 / (high - low).max()
    mesh[:, :2] += SIZE / 2
    return mesh.astype(np.float32)


def turned(mesh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mesh rolled by 12°, enlarged and shifted, and the similarity that did it."""
    motion = cv2.getRotationMatrix2D((60.0, 70.0), 12, 1.1).astype(np.float32)
    motion[:, 2] += (3, -5)
    result = mesh.copy()
    result[:, :2] = warp.moved(mesh[:, :2], motion)
    return result, motion


def test_the_heads_motion_is_found_whatever_the_jaw_does(canonical_mesh: np.ndarray) -> None:
    mesh = framed(canonical_mesh)
    reference, motion = turned(mesh)
    reference[[152, 148, 377, 17], 1] += 12  # the mouth opens
    np.testing.assert_allclose(warp.head_motion(mesh, reference), motion, atol=2e-3)


def test_hair_beside_the_mesh_moves_rigidly_with_the_head(canonical_mesh: np.ndarray) -> None:
    """Faded to no motion at all, a tilted head had its hair stretched between two places."""
    mesh = framed(canonical_mesh)
    reference, motion = turned(mesh)
    raster = FaceRaster(mesh, SIZE)
    found = warp.backward_map(mesh, reference, raster)
    expected = warp.moved(warp.identity_map(SIZE), motion)
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.3)
