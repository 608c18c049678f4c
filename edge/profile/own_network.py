"""The part `network` of a profile: last layers that were learned on the wearer's own clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge.profile.parts import Part
from models.personal.network import PersonalWeights

VERSION = 1
MOST_BYTES = 32 << 20


@dataclass(frozen=True, eq=False)
class OwnNetwork:
    """Weights that replace the shipped network's, and what speaks for them."""

    weights: PersonalWeights
    # Of the held-back frames: frames, base_psnr_masked_db, psnr_masked_db, base_ssim, ssim.
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def gain_db(self) -> float:
        """PSNR in the hole over the shipped network's, on frames that it never saw."""
        return self.scores.get("psnr_masked_db", 0.0) - self.scores.get("base_psnr_masked_db", 0.0)

    def to_part(self) -> Part:
        """As a profile keeps it; arrays are numbered, the document names them."""
        names = list(self.weights.values)
        document = {
            "base_sha256": self.weights.base_sha256,
            "names": names,
            "scores": {key: float(value) for key, value in self.scores.items()},
        }
        arrays = {f"value_{i}": self.weights.values[name] for i, name in enumerate(names)}
        return Part(document, arrays, version=VERSION)

    @classmethod
    def from_part(cls, part: Part) -> OwnNetwork:
        """Inverse of `to_part`.

        Raises:
            UnknownVersion: a newer unvisor wrote it.
            KeyError, TypeError, ValueError: it does not fit.
        """
        part.require_version(VERSION)
        names = [str(name) for name in part.document["names"]]
        values = {name: part.arrays[f"value_{i}"] for i, name in enumerate(names)}
        if len(values) != len(part.arrays) or sum(v.nbytes for v in values.values()) > MOST_BYTES:
            raise ValueError("a network of other or too many numbers than are named")
        if not all(v.dtype == np.float32 and np.isfinite(v).all() for v in values.values()):
            raise ValueError("a network of numbers that are not finite")
        scores = {str(key): float(value) for key, value in part.document["scores"].items()}
        return cls(PersonalWeights(str(part.document["base_sha256"]), values), scores)
