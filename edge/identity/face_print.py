"""The part `identity` of a profile: how the network sees its owner, bare and under headsets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.profile.parts import Part
from models.face.geometry import FEATURES
from models.identity.contract import VALUES
from models.identity.face_chip import BARE, Window
from streaming.records import Float32Array

VERSION = 1


@dataclass(frozen=True, eq=False)
class IdentityPrint:
    """Embeddings and proportions of one person's face; biometric, so it stays in the profile."""

    network: str  # `FacePrintReader.version`: prints of different networks cannot be compared
    bare: Float32Array  # (N,128) unit vectors of bare faces
    lower: Float32Array  # (M,128) of the same with simulated headsets
    shapes: Float32Array  # (N,9) `lower_face_shape` of them

    def template(self, window: Window) -> Float32Array:
        """(128,) unit vector: the mean over the faces of a window."""
        mean = (self.bare if window is BARE else self.lower).mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)

    @property
    def shape(self) -> Float32Array:
        """(9,) proportions: the median over the faces."""
        return np.asarray(np.median(self.shapes, axis=0), np.float32)

    def to_part(self) -> Part:
        """As a profile keeps it."""
        arrays = {"bare": self.bare, "lower": self.lower, "shapes": self.shapes}
        return Part({"network": self.network}, arrays, version=VERSION)

    @classmethod
    def from_part(cls, part: Part) -> IdentityPrint:
        """Inverse of `to_part`.

        Raises:
            UnknownVersion: a newer unvisor wrote it.
            KeyError, TypeError, ValueError: it does not fit.
        """
        part.require_version(VERSION)
        bare, lower, shapes = (
            _rows(part, n, w)
            for n, w in (("bare", VALUES), ("lower", VALUES), ("shapes", FEATURES))
        )
        return cls(str(part.document["network"]), bare, lower, shapes)


def _rows(part: Part, name: str, width: int) -> Float32Array:
    rows: NDArray[np.float32] = np.asarray(part.arrays[name], np.float32)
    if rows.ndim != 2 or not len(rows) or rows.shape[1] != width or not np.isfinite(rows).all():
        raise ValueError(f"{name} of a print is {rows.shape}, not a finite (n, {width})")
    return rows
