"""Drawn faces to train on: clips in memory, and a folder of shards of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

MESH_FILE = Path(__file__).parent / "data" / "face_mesh_478.npy"


def drawn_clips(size_px: int = 64, frames: int = 14, count: int = 2) -> list:
    """Clips of a drawn face that drifts and brightens; two of one person, then one of others."""
    from training.feeding.streams import DecodedClip

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


def played_chunks(clips: list, recipe: Any, count: int) -> list:
    """What the first ticks of a small recipe play, as chunks of two frames."""
    import torch

    from training.feeding.playlist import Playlist
    from training.feeding.pool import StreamPool
    from training.feeding.streams import StreamMaker, StreamSettings

    maker = StreamMaker(clips, StreamSettings.of(recipe), 0)
    playlist = Playlist(recipe.batch, 0, 0.5)
    size_px = clips[0].images.shape[1]
    pool = StreamPool(playlist.capacity(0), 8, size_px, torch.device("cpu"))
    found = []
    for tick in range(count):
        turns = playlist.turns(tick)
        for turn in turns:
            if not pool.holds(turn.stream):
                pool.put(turn.stream, maker.make(turn.stream))
        found.append(pool.chunk(turns, 2))
    return found


def write_shards(folder: Path, frames: int = 14) -> Path:
    """Shards of drawn face clips: three to train on, one of another person for validation."""
    from face_clip_files import write_folder

    from training.clips.faces import FaceClips
    from training.shards.pack import pack_clips

    rows = [
        *((f"t{i}", "train", f"p{i}", frames, "permissive") for i in range(3)),
        ("v0", "val", "q0", frames, "permissive"),
    ]
    faces = write_folder(folder / "faces", rows, np.zeros(frames, np.float32))
    pack_clips(FaceClips(faces), folder / "shards")
    return folder / "shards"


def write_lpips(folder: Path) -> Path:
    """A folder of helper weights that holds LPIPS of the right layers, random and small."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(0)
    weights, inputs = {}, 3
    for tap, (index, kernel) in enumerate(((0, 11), (3, 5), (6, 3), (8, 3), (10, 3))):
        shape = (4, inputs, kernel, kernel)
        weights[f"features.{index}.weight"] = torch.randn(shape, generator=random)
        weights[f"features.{index}.bias"] = torch.zeros(4)
        weights[f"lin.{tap}.weight"] = torch.rand((1, 4, 1, 1), generator=random)
        inputs = 4
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "alexnet_lpips_fp16.safetensors")
    return folder


def small_options() -> list[str]:
    """`--set` values for a training of `unvisor` that takes a tenth of a second a step."""
    return [
        *("network.settings.width=8", "network.settings.size_px=64"),
        *("network.settings.attention=none", "losses.perceptual=0", "losses.style=0"),
        *("losses.expression=0", "batch.streams=2", "batch.chunk_frames=2"),
        *("batch.stream_frames=8", "batch.plays=2", "batch.kept_streams=2"),
        *("optimiser.warm_up_steps=1", "adversary.from_step=2", "adversary.settings.width=8"),
        *("watching.val_frame_step=6", "watching.save_every_minutes=0"),
    ]
