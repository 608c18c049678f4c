"""Draws the headset's outline for one wearer by OutlineNet. No torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.engine.onnx import open_session
from models.headset.bare_look import BareLook
from models.headset.head_crop import HeadCrop
from models.headset.outline import Drawing, outline_in_frame
from models.outlines.contract import CHANNELS, HEIGHT_PX, LOOK, MASK, OUTLINE_NET, WIDTH_PX
from models.outlines.look import outline_look
from models.outlines.window import enlarged, window_around
from models.reference import Reference
from models.shipped import WEIGHTS_FOLDER, check_manifest

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]
MaskU8 = NDArray[np.uint8]

# OutlineNet was taught all that a headset touches; BareLook's outline is a share of coverage.
FINE = Drawing(level=0.55, most_px=224, radius_share=0.005)
QUICK = Drawing(level=0.375, most_px=192)  # of BareLook alone
SHIPPED_OUTLINE_NET = WEIGHTS_FOLDER / "outline_net.onnx"


class OutlineReader:
    """A loaded OutlineNet."""

    def __init__(self, path: Path = SHIPPED_OUTLINE_NET, threads: int = 1) -> None:
        """Load and verify the network; raises WeightsError if it cannot be used."""
        check_manifest(path, OUTLINE_NET)
        self._session = open_session(path, threads)

    def read(self, look: ImageU8) -> Float32Array:
        """Probability (H,W) of headset for a look (9,H,W) uint8 of `outline_look`."""
        size = (CHANNELS, HEIGHT_PX, WIDTH_PX)
        if look.shape != size or look.dtype != np.uint8:
            raise ValueError(f"expected a {size} uint8 look, got {look.shape} {look.dtype}")
        (found,) = self._session.run([MASK], {LOOK: look[None] * np.float32(1 / 255)})
        return np.asarray(found[0, 0], np.float32)


class WearersOutline:
    """Knows how one wearer looks without a headset, and draws the outline of one."""

    def __init__(self, reference: Reference, reader: OutlineReader | None = None) -> None:
        """`reference` is a picture of the bare face and its mesh; None: without OutlineNet."""
        self._bare, self._reader = BareLook(reference), reader

    def drawn(
        self,
        soft: Float32Array,
        crop: HeadCrop,
        cut: ImageU8,
        points: Float32Array,
        image: ImageU8,
    ) -> MaskU8:
        """The outline (H,W) 0 or 1 in a frame (H,W,3), of which `cut` (S,S,3) is a crop, all BGR.

        `soft` (M,M) is HeadsetNet's, `points` (478,>=2) the face's mesh in shares of the crop's
        side.
        """
        told = self._bare.evidence(soft, cut, points)
        if self._reader is None:
            return outline_in_frame(told.mask, crop, image, QUICK)
        window = window_around(told.mask)
        bare = self._bare.beside(points, told.light, window.area)
        found = enlarged(told.mask)
        found[window.area] = self._reader.read(outline_look(cut, told.mask, bare, window))
        return outline_in_frame(found, crop, image, FINE)
