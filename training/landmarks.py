"""`unvisor fit-landmarks`: learn how a face's landmarks change from frame to frame."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from models.memory import landmark_prior
from models.memory.landmark_prior import ReferenceFrame
from training.clips.faces import FaceClips
from training.registration import NEAR_FRAMES, OUTLIER_SHARE, principal_directions

Float32Array = NDArray[np.float32]

SIZE_PX = 128
TREMBLING_FRAMES = 150  # at the start of every second clip
# Of second differences over a clip: where a face is still, they are noise. Of a normal variable,
# this share lies within so many standard deviations.
STILL_SHARE, STILL_DEVIATIONS = 0.35, 0.454


def fit_landmarks(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    output: Annotated[Path, typer.Option(help="File to write.")] = landmark_prior.PRIOR_FILE,
    samples_per_clip: Annotated[
        int, typer.Option(min=1, help="Pairs of frames from each clip.")
    ] = 60,
    directions: Annotated[
        int, typer.Option(min=1, help="Directions in which landmarks may change.")
    ] = 40,
    seed: Annotated[int, typer.Option(help="Seed of the pairs.")] = 0,
) -> None:
    """Fit the prior of `models/landmark_prior.py` on the train split, seconds on one core."""
    clips, random = FaceClips(data), np.random.default_rng(seed)
    meshes = [
        clips.meshes(row, SIZE_PX)
        for row in track(clips.rows("train"), "reading meshes", transient=True)
    ]
    changes = np.concatenate([sampled(clip, samples_per_clip, random) for clip in meshes])
    energy = (changes**2).mean(1)  # lost landmarks and cuts have the largest
    changes = changes[energy <= np.quantile(energy, 1 - OUTLIER_SHARE)]
    basis, variance = principal_directions(changes, directions)
    np.savez_compressed(
        output,
        basis=basis.astype(np.float16),
        variance=variance,
        left=np.float32((changes**2).mean() - variance.sum() / changes.shape[1]),
        trembling=trembling([clip[:TREMBLING_FRAMES] for clip in meshes[::2]], basis),
    )
    typer.echo(f"{output} written from {len(changes)} pairs of frames.")


def sampled(meshes: Float32Array, count: int, random: np.random.Generator) -> Float32Array:
    """Changes (about `count`,956) between frames of one clip's meshes (T,478,3) px."""
    found = []
    for index in range(count):
        now = int(random.integers(len(meshes)))
        near = max(0, now - int(random.integers(1, NEAR_FRAMES + 1)))
        then = int(random.integers(len(meshes))) if index % 2 else near
        if then != now:
            found.append(_change(ReferenceFrame.of(meshes[then]), meshes[now]))
    return np.stack(found)


def trembling(clips: list[Float32Array], basis: Float32Array) -> Float32Array:
    """Variance (K,) by which meshes of faces that hold still differ along each direction."""
    quiet = []
    for meshes in clips:
        frame = ReferenceFrame.of(meshes[0])
        along = np.stack([_change(frame, mesh) for mesh in meshes]) @ basis.T
        jerk = np.abs(along[2:] - 2 * along[1:-1] + along[:-2])
        quiet.append(np.quantile(jerk, STILL_SHARE, axis=0) / STILL_DEVIATIONS)
    # A second difference of white noise has six times its variance.
    still = np.median(np.stack(quiet), axis=0)
    return np.asarray(still**2 / 6, np.float32)


def _change(frame: ReferenceFrame, mesh: Float32Array) -> Float32Array:
    return frame.change(mesh[:, :2], frame.motion(mesh[:, :2]))
