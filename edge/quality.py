"""Scores of a live run against the truth that the simulated headset keeps.

Same definitions as the evaluation's: 8-bit aligned crops of 128 px; PSNR per frame, averaged;
masked PSNR from the mean squared error inside the hole, averaged over frames first; SSIM with a
Gaussian window of sigma 1.5 px (11 x 11) per colour channel, over the positions where the whole
window lies inside the crop.
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.records import PipelineView
from edge.settings import SessionSettings
from models.face.alignment import cut_crop
from streaming.records import Float32Array, ImageU8
from streaming.slot import Latest

SIZE_PX = 128
PSNR_CAP_DB = 100.0  # of equal images, so that means and JSON stay finite
SSIM_SIGMA_PX = 1.5
SSIM_RADIUS_PX = 5  # 3.5 sigma
SSIM_FLOORS = (0.01**2, 0.03**2)  # C1, C2 for images in 0..1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameQuality:
    """Scores of one crop; errors are of values scaled to 0..1."""

    psnr_db: float
    masked_mse: float  # NaN where nothing is hidden
    ssim: float


class Quality:
    """A `ViewSink` that scores restored frames on a thread of its own.

    Frames without truth or without a face are not scored. Memory does not grow with the run.
    """

    def __init__(self) -> None:
        """Start with no frame scored."""
        self._slot: Latest[PipelineView] = Latest()
        self._psnr_db, self._masked_mse, self._ssim = _Mean(), _Mean(), _Mean()
        self._thread = threading.Thread(target=self._run, name="quality", daemon=True)
        self._thread.start()

    def show(self, view: PipelineView) -> None:
        """Leave `view` for the scoring thread; returns at once."""
        if view.truth is not None and view.frame_from_crop is not None:
            self._slot.put(view)

    def close(self) -> None:
        """Score the frame that waits, then stop."""
        self._slot.close()
        self._thread.join()

    def results(self) -> dict[str, float]:
        """Means over the scored frames, and how many those are; no means without any."""
        scored = {"scored_frames": float(self._psnr_db.count)}
        if self._psnr_db.count:
            scored["psnr_db"] = self._psnr_db.value
            scored["ssim"] = self._ssim.value
        if self._masked_mse.count:
            scored["psnr_masked_db"] = psnr_db(self._masked_mse.value)
        return scored

    def _run(self) -> None:
        while (view := self._slot.take()) is not None:
            try:
                quality = score_view(view)
            except (ValueError, cv2.error) as error:
                log.warning("frame %d was not scored: %s", view.camera.frame_id, error)
                continue
            self._psnr_db.add(quality.psnr_db)
            self._ssim.add(quality.ssim)
            if not math.isnan(quality.masked_mse):
                self._masked_mse.add(quality.masked_mse)


def open_quality(settings: SessionSettings) -> Quality:
    """Open the scores that the settings ask for (a sink opener)."""
    return Quality()


def score_view(view: PipelineView) -> FrameQuality:
    """Score one view; it must have a truth, a face and the same frame size in all images."""
    if view.truth is None or view.frame_from_crop is None:
        raise ValueError(f"frame {view.camera.frame_id} has no truth or no face")
    if view.truth.shape != view.restored.image.shape:
        raise ValueError(f"truth {view.truth.shape}, restored {view.restored.image.shape}")
    # The pipeline's crop may have another size than the protocol's 128 px.
    frame_from_crop = _resized(view.frame_from_crop, view.restored.crop.shape[0])
    restored = cut_crop(view.restored.image, frame_from_crop, SIZE_PX)
    truth = cut_crop(view.truth, frame_from_crop, SIZE_PX)
    squared = np.square((restored.astype(np.float32) - truth.astype(np.float32)) / 255)
    masked = math.nan
    if view.hidden is not None:
        inside = cut_crop(view.hidden, frame_from_crop, SIZE_PX) > 0
        masked = float(squared[inside].mean()) if inside.any() else math.nan
    return FrameQuality(psnr_db(float(squared.mean())), masked, ssim(restored, truth))


def psnr_db(mse: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error of values in 0..1."""
    return min(PSNR_CAP_DB, -10 * math.log10(max(mse, 1e-30)))


def ssim(image: ImageU8, other: ImageU8) -> float:
    """Structural similarity of two (S,S,3) uint8 images, 1 = equal."""
    a, b = image.astype(np.float32) / 255, other.astype(np.float32) / 255
    mean_a, mean_b = _window(a), _window(b)
    variance_a = _window(a * a) - mean_a * mean_a
    variance_b = _window(b * b) - mean_b * mean_b
    covariance = _window(a * b) - mean_a * mean_b
    c1, c2 = SSIM_FLOORS
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return float((luminance * structure).mean(dtype=np.float64))


class _Mean:
    """A running mean: two numbers, however long the run."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0.0

    @property
    def value(self) -> float:
        return self._sum / self.count

    def add(self, value: float) -> None:
        self.count += 1
        self._sum += value


def _window(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gaussian mean around each position whose window lies inside the image."""
    side = 2 * SSIM_RADIUS_PX + 1
    blurred = cv2.GaussianBlur(image, (side, side), SSIM_SIGMA_PX)
    inside = slice(SSIM_RADIUS_PX, -SSIM_RADIUS_PX)
    return np.asarray(blurred[inside, inside], np.float32)


def _resized(frame_from_crop: Float32Array, size_px: int) -> Float32Array:
    """The transform of a 128 px crop of the same place as one of `size_px`."""
    scale = size_px / SIZE_PX
    resized = frame_from_crop.copy()
    resized[:, :2] *= scale
    # Pixel centres: the middle of the first pixel moves with the pixel's size.
    resized[:, 2] += frame_from_crop[:, :2] @ np.full(2, 0.5 * scale - 0.5, np.float32)
    return resized
