"""How much of the reference's eyes shines through where the truth's should be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.preparation import Reference, warp_reference
from training.eyes.live_motion import eye_region
from training.protocol import ScoredClip

ImageU8 = NDArray[np.uint8]
Floats = NDArray[np.float64]


def ghost_share(filled: ImageU8, clip: ScoredClip) -> float:
    """Share of the reference's eyes in the eyes of `filled` (N,S,S,3), over the scored frames.

    With d the difference of the reference, warped by the true mesh, to the truth and e that of the
    fill, each less its mean over an eye's surroundings (another light is no ghost):
    <e, d> / <d, d>, inside the hole. 0 = no trace of the reference's eyes, 1 = they are shown as
    they are; NaN where reference and truth look the same.
    """
    reference = Reference(clip.reference_image, clip.reference_mesh)
    shared, whole = 0.0, 0.0
    for index in np.flatnonzero(clip.scored):
        mesh, truth = clip.meshes[index], clip.truth[index].astype(np.float64)
        region = (eye_region(mesh, len(truth)) & clip.hidden[index]) != 0
        if region.any():
            other = _levelled((warp_reference(reference, mesh) - truth)[region])
            shared += float((_levelled((filled[index] - truth)[region]) * other).sum())
            whole += float(np.square(other).sum())
    return shared / whole if whole > 0 else float("nan")


def _levelled(difference: Floats) -> Floats:
    """(P,3) less its mean colour."""
    return np.asarray(difference - difference.mean(0), np.float64)
