"""The captured clip as the network sees faces: small crops, in the order in which they came."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.face.alignment import crop_from_mesh, cut_crop, mesh_to_crop
from streaming.records import Float32Array, ImageU8

MOST_FRAMES = 1500  # 50 s at 30 fps, 75 MB at 128 px


@dataclass
class CapturedClip:
    """Usable frames of a capture; fills up while it runs."""

    size_px: int
    indices: list[int] = field(default_factory=list)  # of all frames of the capture
    crops: list[ImageU8] = field(default_factory=list)  # (S,S,3) BGR
    meshes: list[Float32Array] = field(default_factory=list)  # (478,3) px of the crop

    def add(self, index: int, image: ImageU8, mesh: Float32Array) -> None:
        """Keep the face in a frame (H,W,3); what comes when it is full is left out."""
        if len(self.crops) < MOST_FRAMES:
            frame_from_crop = crop_from_mesh(mesh, self.size_px)
            self.indices.append(index)
            self.crops.append(cut_crop(image, frame_from_crop, self.size_px))
            self.meshes.append(mesh_to_crop(mesh, frame_from_crop))

    def clear(self) -> None:
        """Begin anew."""
        self.indices.clear()
        self.crops.clear()
        self.meshes.clear()

    def arrays(self) -> tuple[ImageU8, Float32Array, NDArray[np.bool_]]:
        """Images (T,S,S,3), meshes (T,478,3), and (T,) whether a frame before it is missing."""
        gaps = np.diff(self.indices, prepend=self.indices[0] - 2) != 1
        return np.stack(self.crops), np.stack(self.meshes), gaps
