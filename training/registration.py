"""`unvisor fit-registration`: learn how shifts and tints go together over the face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from models import preparation, registration
from models.preparation import Reference
from training.clips.faces import FaceClips

Float32Array = NDArray[np.float32]

NEAR_FRAMES = 32  # half of the references are at most so far away, the rest anywhere in the clip
OUTLIER_SHARE = 0.03
RIDGE_SHARE = 0.3  # of the pose directions' own variance


def fit_registration(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    output: Annotated[Path, typer.Option(help="File to write.")] = registration.PRIOR_FILE,
    samples_per_clip: Annotated[
        int, typer.Option(min=1, help="Pairs of frames from each clip.")
    ] = 50,
    shift_directions: Annotated[
        int, typer.Option(min=1, help="Directions in which shifts may differ.")
    ] = 60,
    tint_directions: Annotated[
        int, typer.Option(min=1, help="Directions in which tints may differ.")
    ] = 30,
    pose_directions: Annotated[
        int, typer.Option(min=1, help="Directions of a pose's change that are told apart.")
    ] = 40,
    seed: Annotated[int, typer.Option(help="Seed of the pairs.")] = 0,
    size_px: Annotated[int, typer.Option(help="Side of the crop, px.")] = 128,
) -> None:
    """Fit the prior of `models/registration.py` on the train split, a minute on one core."""
    cv2.setNumThreads(1)
    clips, random = FaceClips(data), np.random.default_rng(seed)
    pairs = [
        pair
        for row in track(clips.rows("train"), "reading clips", transient=True)
        for pair in samples(
            clips.frames(row, size_px), clips.meshes(row, size_px), samples_per_clip, random
        )
    ]
    shifts, tints, changes = (np.stack(part) for part in zip(*pairs, strict=True))
    kept = without_outliers(shifts)
    pose_basis, pose_variance = principal_directions(changes[kept], pose_directions)
    pose_basis /= np.sqrt(pose_variance)[:, None]  # unit variance, so that one ridge fits all
    poses = changes[kept].reshape(-1, pose_basis.shape[1]) @ pose_basis.T
    fields: dict[str, NDArray[np.float16 | np.float32]] = {"pose_basis": pose_basis}
    for name, observed, count in (
        ("shift", shifts[kept], shift_directions),
        ("tint", tints[kept], tint_directions),
    ):
        by_pose = regress(poses, observed.reshape(len(poses), -1))
        left = observed - (poses @ by_pose).reshape(observed.shape)
        basis, variance = principal_directions(left, count)
        fields |= {
            f"{name}_by_pose": by_pose.astype(np.float16),
            f"{name}_basis": basis.astype(np.float16),
            f"{name}_variance": variance,
        }
    np.savez_compressed(output, **fields)
    typer.echo(f"{output} written from {kept.sum()} pairs of frames.")


def samples(
    images: preparation.ImageU8, meshes: Float32Array, count: int, random: np.random.Generator
) -> Iterator[tuple[Float32Array, Float32Array, Float32Array]]:
    """Shift (468,2), tint (468,3) and change of shape (468,3) between frames of one bare clip."""
    nothing_hidden = np.zeros(images.shape[1:3], np.uint8)
    for index in range(count):
        now = int(random.integers(len(images)))
        near = max(0, now - int(random.integers(1, NEAR_FRAMES + 1)))
        then = int(random.integers(len(images))) if index % 2 else near
        if then == now:
            continue
        reference = Reference(images[then], meshes[then])
        warped = preparation.warp_reference(reference, meshes[now])
        pair = (images[now], warped, nothing_hidden, meshes[now])
        change = registration.face_shape(meshes[now]) - registration.face_shape(meshes[then])
        yield registration.observed_shift(*pair), registration.observed_tint(*pair), change


def without_outliers(fields: Float32Array) -> NDArray[np.bool_]:
    """Which of (N,468,C) to keep: lost landmarks and cuts have the largest energy."""
    energy = (fields**2).mean((1, 2))
    return np.asarray(energy <= np.quantile(energy, 1 - OUTLIER_SHARE))


def regress(poses: Float32Array, fields: Float32Array) -> Float32Array:
    """Ridge regression of fields (N,D) on poses (N,P) of unit variance, (P,D) float32."""
    penalty = RIDGE_SHARE * len(poses) * np.eye(poses.shape[1])
    return np.asarray(np.linalg.solve(poses.T @ poses + penalty, poses.T @ fields), np.float32)


def principal_directions(fields: Float32Array, count: int) -> tuple[Float32Array, Float32Array]:
    """Directions (K,D) and variances (K,) of zero-mean fields (N,…) of D values."""
    flat = fields.reshape(len(fields), -1)
    _, scale, directions = np.linalg.svd(flat, full_matrices=False)
    return directions[:count], (scale[:count] ** 2 / len(flat)).astype(np.float32)
