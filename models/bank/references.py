"""The wearer's views as a filler uses them: asked with each frame's mesh, answers what to draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.bank.layers import Layer, Mixture, around_eye
from models.bank.look import Look, look_of
from models.bank.mixing import Mix, ViewMixer
from models.face_mesh import EYES
from models.reference import Reference

Float32Array = NDArray[np.float32]


class ReferenceBank:
    """Views of one face at the fill's size; follows a session's frames.

    Attributes:
        frontal: the first view, the one to use where only one counts, (S,S,3) and mesh.
    """

    def __init__(self, references: Sequence[Reference], size_px: int) -> None:
        """Keep `references` (best frontal first, crops of any size) for crops of `size_px`."""
        if not references:
            raise ValueError("a bank needs at least one view")
        self._views = [reference.resized(size_px) for reference in references]
        self._full = [reference.image for reference in references]
        self._looks = [look_of(view.mesh) for view in self._views]
        self._mixer = ViewMixer(self._looks)
        self.frontal = self._views[0]

    def __len__(self) -> int:
        """How many views there are."""
        return len(self._views)

    def mixture(self, mesh: Float32Array) -> Mixture:
        """What to draw the next frame from; `mesh` (478,3) px of its crop."""
        look = look_of(mesh)
        mix = self._mixer.step(look)
        return Mixture(self._layers(mix, mesh), self._pose_change(mix, look))

    def reset(self) -> None:
        """Forget earlier frames."""
        self._mixer.reset()

    def _layers(self, mix: Mix, mesh: Float32Array) -> tuple[Layer, ...]:
        (lowest, _), *others = mix.weights
        layers = [self._layer(lowest), *(self._layer(view, weight) for view, weight in others)]
        for eye, points in zip(mix.eyes, EYES, strict=True):
            if eye.share > 0:
                where = around_eye(mesh, points)
                layers.append(Layer(self._views[eye.view], self._full[eye.view], eye.share, where))
        return tuple(layers)

    def _layer(self, view: int, share: float = 1.0) -> Layer:
        return Layer(self._views[view], self._full[view], share)

    def _pose_change(self, mix: Mix, look: Look) -> Float32Array:
        mixed = sum(weight * self._looks[view].change for view, weight in mix.weights)
        return np.asarray(look.change - mixed, np.float32)
