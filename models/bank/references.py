"""The wearer's views as a filler uses them: asked with each frame's mesh, answers what to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.bank.extrapolation import ViewExtrapolator
from models.bank.layers import Ellipse, Layer, Mixture, around_eye, around_mouth
from models.bank.look import Look, look_of
from models.bank.mixing import Mix, ViewMixer
from models.bank.mouth import MouthHolder
from models.eyes.posing import EyePoser
from models.face.mesh import EYES
from models.face.raster import FaceRaster
from models.reference import Reference

ImageU8 = NDArray[np.uint8]
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
        full = [reference.image for reference in references]
        self._posers = [EyePoser(*pair) for pair in zip(self._views, full, strict=True)]
        self._looks = [look_of(view.mesh) for view in self._views]
        self._mixer = ViewMixer(self._looks)
        self._mouth = MouthHolder([view.mesh for view in self._views], self._looks)
        self._extrapolators = _extrapolators(self._views, self._looks)
        self.frontal = self._views[0]

    def __len__(self) -> int:
        """How many views there are."""
        return len(self._views)

    def mixture(self, mesh: Float32Array, *, no_mouth: bool = False) -> Mixture:
        """What to draw the next frame from.

        Args:
            mesh: (478,3) px of its crop.
            no_mouth: whether nobody sees the mouth, see `mouth.is_mouth_hidden`.
        """
        look = look_of(mesh)
        mix = self._mixer.step(look)
        layers = self._layers(mix, mesh, look)
        if no_mouth and len(self) > 1:
            layers += self._mouth_layers(mesh, look)
        else:
            self._mouth.reset()
        return Mixture(layers, self._pose_change(mix, look))

    def reset(self) -> None:
        """Forget earlier frames."""
        self._mixer.reset()
        self._mouth.reset()

    def _layers(self, mix: Mix, mesh: Float32Array, look: Look) -> tuple[Layer, ...]:
        (lowest, _), *others = mix.weights
        shown: list[tuple[int, float, Ellipse | None]] = [(lowest, 1.0, None)]
        shown += [(view, weight, None) for view, weight in others]
        for eye, points in zip(mix.eyes, EYES, strict=True):
            if eye.share > 0:
                shown.append((eye.view, eye.share, around_eye(mesh, points)))
        posed = {view: self._posed(view, mesh, look) for view in {view for view, _, _ in shown}}
        return tuple(replace(posed[view], share=share, where=where) for view, share, where in shown)

    def _mouth_layers(self, mesh: Float32Array, look: Look) -> tuple[Layer, ...]:
        """A resting mouth over the others, where nobody sees what it does."""
        where = around_mouth(mesh)
        return tuple(
            replace(self._posed(view, mesh, look), share=share, where=where)
            for view, share in self._mouth.step(look)
        )

    def _posed(self, view: int, mesh: Float32Array, look: Look) -> Layer:
        """A view with its eyes as the frame's, which a warp cannot close, and with its colours."""
        posed, full = self._posers[view].posed(mesh)
        picture = posed.image
        if self._extrapolators:
            picture = self._extrapolators[view].continued(picture, look)
        return Layer(posed, full, picture)

    def _pose_change(self, mix: Mix, look: Look) -> Float32Array:
        mixed = sum(weight * self._looks[view].change for view, weight in mix.weights)
        return np.asarray(look.change - mixed, np.float32)


def _extrapolators(views: Sequence[Reference], looks: Sequence[Look]) -> list[ViewExtrapolator]:
    """One per view; none for a view that is alone."""
    if len(views) < 2:
        return []
    rasters = [FaceRaster(view.mesh, len(view.image)) for view in views]
    return [ViewExtrapolator(views, looks, i, raster) for i, raster in enumerate(rasters)]
