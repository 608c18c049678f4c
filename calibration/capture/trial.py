"""Trying a profile on: the captured person under a simulated headset, restored by the product.

The frames were not given to the profile. The very parts of the running product are used: tracker,
eye fusion, filler, backdrop, composite; nothing but the headset is simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.capture.shelf import KeptFrame
from edge.eyes.fusion import EyeFusion
from edge.eyes.lids import LidMover
from edge.pipeline import NoClients, Pipeline
from edge.plate.backdrop import Backdrop
from edge.profile import SessionProfile
from edge.quality import psnr_db, score_view
from edge.records import Capture, PipelineView, Truth
from edge.settings import SessionSettings
from edge.timing import StageTimes
from edge.tracker_opening import make_tracker
from hmd_capture.simulated import SimulatedHeadset
from models.face.alignment import crop_from_mesh, cut_crop
from models.filling import DEFAULT_FILLER, make_filler
from streaming.records import Frame, ImageU8

PERIOD_NS = 40_000_000
HEADSET_SEED = 0
PICTURE_PX = 320  # side of each of the pictures side by side
# PSNR inside the mask, dB: people of the test clips reach 20.1 on average when everything is
# found by the tracker (docs/RESULTS.md), and 16 when the reference is pasted as it lies.
WORDS = (
    (21.0, "Others will see you nearly as you are."),
    (18.5, "Others will see you well, with small differences around the eyes."),
    (16.0, "Others will recognise you, with visible differences around the eyes."),
    (-np.inf, "Others will see visible mistakes: take it again, in even light and facing front."),
)


@dataclass(frozen=True)
class Trial:
    """How well the captured clip was restored."""

    frames: int  # restored and scored; 0 = the tracker never found the headset
    psnr_db: float  # of the 128 px crop
    psnr_masked_db: float  # inside what was hidden
    ssim: float
    picture: ImageU8  # (S,3S,3) BGR: with the headset, restored, bare

    @property
    def words(self) -> str:
        """The score in one plain sentence."""
        if not self.frames:
            return "The headset was not found over your face: take it again, facing the camera."
        return next(words for least, words in WORDS if self.psnr_masked_db >= least)

    @property
    def scores(self) -> dict[str, float]:
        """For the quality report."""
        return {
            "trial_frames": float(self.frames),
            "trial_psnr_db": round(self.psnr_db, 3),
            "trial_psnr_masked_db": round(self.psnr_masked_db, 3),
            "trial_ssim": round(self.ssim, 4),
        }


def try_on(profile: SessionProfile, frames: Sequence[KeptFrame]) -> Trial:
    """Put the simulated headset on `frames` and restore them with `profile`.

    Raises:
        ValueError: no frames.
    """
    if not frames:
        raise ValueError("a trial needs frames")
    settings = SessionSettings()
    headset = SimulatedHeadset(None, HEADSET_SEED)
    eyes = EyeFusion(profile.eyes, 1_000 * PERIOD_NS)
    tracker = make_tracker(settings, profile)
    filler = make_filler(DEFAULT_FILLER, profile.views, size_px=settings.models.size_px)
    lids = LidMover(profile.references[0].mesh)
    pipeline = Pipeline(
        tracker,
        eyes,
        filler,
        NoClients(),
        (),
        StageTimes(),
        lids=lids,
        backdrop=Backdrop(profile.plate),
    )
    views: list[tuple[PipelineView, KeptFrame]] = []
    try:
        for number, kept in enumerate(frames):
            time_ns = (number + 1) * PERIOD_NS
            worn = headset.wear(kept.image, kept.mesh, time_ns)
            for seen in worn.observations:
                eyes.observe(seen)
            frame = Frame(number, time_ns, worn.camera)
            truth = Truth(worn.truth, kept.mesh, worn.hidden, worn.eyes)
            views.append((pipeline.process(Capture(frame, truth)), kept))
    finally:
        tracker.close()
    return _scored(views)


def _scored(views: list[tuple[PipelineView, KeptFrame]]) -> Trial:
    scored = [
        (score_view(view), view, kept) for view, kept in views if view.frame_from_crop is not None
    ]
    if not scored:
        view, kept = views[len(views) // 2]
        return Trial(0, 0.0, 0.0, 0.0, _side_by_side(view, kept))
    errors = np.array([score.masked_mse for score, _, _ in scored])
    middle = int(np.argsort(errors)[len(errors) // 2])  # what is shown is neither luck nor mishap
    return Trial(
        frames=len(scored),
        psnr_db=float(np.mean([score.psnr_db for score, _, _ in scored])),
        psnr_masked_db=psnr_db(float(np.nanmean(errors))),
        ssim=float(np.mean([score.ssim for score, _, _ in scored])),
        picture=_side_by_side(*scored[middle][1:]),
    )


def _side_by_side(view: PipelineView, kept: KeptFrame) -> ImageU8:
    place = crop_from_mesh(kept.mesh, PICTURE_PX)
    images = (view.camera.image, view.restored.image, kept.image)
    return np.hstack([cut_crop(image, place, PICTURE_PX) for image in images])
