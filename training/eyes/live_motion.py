"""How well the restored face's eyes follow the wearer's, seen by eye cameras alone.

Eye images of the simulated headset go through the product's network, calibration and fusion. Truth
is the mesh of the bare face: its lid gap for openness, its irises for gaze.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.eyes.fusion import SIDES, Calibrations, EyeFusion
from edge.eyes.measures import aperture, gaze_from_offset, iris_offset, mesh_iris, mesh_lids
from hmd_capture.eye_camera import SimulatedEyeCamera
from hmd_capture.eye_source import EyeReader
from hmd_capture.head_pose import head_pose
from models.face.mesh import EYES
from streaming.messages import EyeImage
from streaming.records import Float32Array, ImageU8
from training.evaluation.metrics import psnr_from_mse

EYE_AGE_NS = 100_000_000
OPEN_QUANTILE = 0.9
CLOSED_SHARE = 0.12  # of the open eye's gap: what the mesh still shows of a closed one
BLINK = 0.5  # openness of both eyes together below which a frame shows a blink
REGION = (0.75, 0.55)  # half axes of what counts as an eye's surroundings, eye widths
MIN_DEVIATION = 1e-6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EyeMotion:
    """What both eyes did over a clip."""

    openness: Floats  # (T,2) right, left
    gaze: Floats  # (T,2,2) rad: right, left x yaw, pitch


@dataclass
class EyeScores:
    """Collects clips; `summary` is what the report shows."""

    openness_r: list[float] = field(default_factory=list)  # one per clip with a blink
    yaw_r: list[float] = field(default_factory=list)  # one per clip, frames with open eyes
    pitch_r: list[float] = field(default_factory=list)
    _pooled: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _gains: dict[str, list[float]] = field(default_factory=dict)
    blink_frames: int = 0

    def add(self, found: EyeMotion, truth: EyeMotion) -> None:
        """Score one clip's eyes."""
        openness, true_openness = found.openness.mean(1), truth.openness.mean(1)
        if (true_openness < BLINK).any():
            self.openness_r.append(_correlation(openness, true_openness))
        self._pool("openness", openness, true_openness)
        is_open = true_openness >= BLINK
        if is_open.sum() < 3:
            return
        for index, (name, scores) in enumerate((("yaw", self.yaw_r), ("pitch", self.pitch_r))):
            seen = found.gaze[is_open, :, index].mean(1)
            true = truth.gaze[is_open, :, index].mean(1)
            scores.append(_correlation(seen, true))
            self._pool(name, seen, true)

    def add_pictures(
        self, shown: ImageU8, still: ImageU8, truth: ImageU8, meshes: Float32Array, openness: Floats
    ) -> None:
        """Compare a clip restored with moving eyes and with fixed open ones, both (T,S,S,3).

        `meshes` (T,478,3) px of the pictures and `openness` (T,2) are the truth's. Clips without a
        blink do not count.
        """
        is_blink = openness.mean(1) < BLINK
        if not is_blink.any():
            return
        self.blink_frames += int(is_blink.sum())
        regions = np.stack([eye_region(mesh, shown.shape[1]) for mesh in meshes])
        whole = np.ones_like(regions)
        for name, mask in (("psnr", whole), ("eyes_psnr", regions)):
            gain = _psnr_in(shown, truth, mask) - _psnr_in(still, truth, mask)
            self._gains.setdefault(f"{name}_gain_db", []).append(float(gain.mean()))
            blink = float(gain[is_blink].mean())
            self._gains.setdefault(f"{name}_gain_blink_frames_db", []).append(blink)

    def summary(self) -> dict[str, float]:
        """Means over clips, correlations over all frames of all clips, and counts."""
        found: dict[str, float] = {}
        for name in ("openness", "yaw", "pitch"):
            values = [value for value in getattr(self, f"{name}_r") if np.isfinite(value)]
            if values:
                found[f"{name}_r"] = float(np.mean(values))
            pooled = np.array(self._pooled.get(name, [])).reshape(-1, 2)
            if len(pooled) > 2:
                found[f"{name}_r_pooled"] = _correlation(pooled[:, 0], pooled[:, 1])
        found |= {name: float(np.mean(values)) for name, values in self._gains.items()}
        counts = {"clips_with_blinks": len(self.openness_r), "blink_frames": self.blink_frames}
        return {name: value for name, value in found.items() if np.isfinite(value)} | counts

    def _pool(self, name: str, found: Floats, truth: Floats) -> None:
        pairs = zip(found.tolist(), truth.tolist(), strict=True)
        self._pooled.setdefault(name, []).extend(pairs)


def motion_found(
    images: ImageU8,
    meshes: Float32Array,
    calibration: Calibrations,
    reader: EyeReader,
    frame_ns: int,
) -> EyeMotion:
    """The eyes of bare frames (T,H,W,3) BGR as the eye cameras, network and fusion see them."""
    cameras = [SimulatedEyeCamera(side, seed=0) for side in SIDES]
    fusion = EyeFusion(calibration, EYE_AGE_NS)
    openness, gaze = [], []
    for index, (image, mesh) in enumerate(zip(images, meshes, strict=True)):
        time_ns = index * frame_ns
        for camera in cameras:
            picture, truth = camera.look(image, mesh, head_pose(mesh), time_ns)
            seen = reader.read(EyeImage(camera.side, index, time_ns, picture, truth))
            if seen is not None:
                fusion.observe(seen)
        eyes = fusion.at(time_ns)
        openness.append([eye.openness for eye in eyes])
        gaze.append([eye.gaze for eye in eyes])
    return EyeMotion(np.array(openness, np.float64), np.array(gaze, np.float64))


def motion_true(meshes: Float32Array, reference_mesh: Float32Array) -> EyeMotion:
    """The eyes of meshes (T,478,3) px of bare faces; gaze is relative to the reference's."""
    openness, gaze = [], []
    for eye in EYES:
        rest = iris_offset(mesh_lids(reference_mesh, eye), mesh_iris(reference_mesh, eye))
        gaps = np.array([aperture(mesh_lids(mesh, eye)) for mesh in meshes])
        opened = max(float(np.quantile(gaps, OPEN_QUANTILE)), 1e-3)
        closed = CLOSED_SHARE * opened
        openness.append(np.clip((gaps - closed) / (opened - closed), 0, 1))
        offsets = [iris_offset(mesh_lids(mesh, eye), mesh_iris(mesh, eye)) for mesh in meshes]
        gaze.append([gaze_from_offset(offset, (rest[0], rest[1])) for offset in offsets])
    return EyeMotion(np.array(openness, np.float64).T, np.array(gaze, np.float64).swapaxes(0, 1))


def eye_region(mesh: Float32Array, size_px: int) -> NDArray[np.uint8]:
    """(S,S) 1 = around the eyes of a mesh (478,3) px."""
    region = np.zeros((size_px, size_px), np.uint8)
    for eye in EYES:
        lids = mesh_lids(mesh, eye)
        width = float(np.linalg.norm(lids[0, -1] - lids[0, 0]))
        x, y = (float(v) for v in lids.mean(axis=(0, 1)))
        axes = (2 * REGION[0] * width, 2 * REGION[1] * width)
        cv2.ellipse(region, ((x, y), axes, 0.0), (1,), -1)
    return region


def _psnr_in(image: ImageU8, truth: ImageU8, mask: NDArray[np.uint8]) -> Floats:
    squared = ((image.astype(np.float64) - truth) / 255) ** 2
    weight = np.maximum(mask.sum((1, 2)), 1)
    return psnr_from_mse((squared.mean(3) * mask).sum((1, 2)) / weight)


def _correlation(found: Floats, truth: Floats) -> float:
    """Pearson's r; NaN where the truth stands still, 0 where only what was found does."""
    if float(truth.std()) < MIN_DEVIATION:
        return float("nan")
    if float(found.std()) < MIN_DEVIATION:
        return 0.0  # follows nothing: left out, it would lift the mean
    return float(np.corrcoef(found, truth)[0, 1])
