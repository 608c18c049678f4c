"""Drawn faces to train on: clips in memory, and a folder of shards of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

MESH_FILE = Path(__file__).parent / "data" / "face_mesh_478.npy"


def drawn_clips(size_px: int = 64, frames: int = 14, count: int = 2) -> list:
    """Clips of a drawn face that drifts and brightens; two of one person, then one of others."""
    from training.streams import DecodedClip

    face = np.load(MESH_FILE).astype(np.float32) * size_px * 0.3
    made = []
    for seed in range(count):
        coarse = np.random.default_rng(seed).integers(0, 127, (12, 12, 3)).astype(np.uint8)
        image = cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
        images = [np.roll(image, i // 4, 1) + np.uint8(i // 2) for i in range(frames)]
        meshes = [
            face + np.float32([size_px / 2 + i // 4, size_px * 0.45, 0]) for i in range(frames)
        ]
        who = f"p{max(seed - 1, 0)}"
        made.append(DecodedClip(np.stack(images), np.stack(meshes), f"s{seed}", who))
    return made
