"""The tracker for what covers the face, with everything it needs."""

from __future__ import annotations

from collections.abc import Callable

from edge.covers.cover_trackers import AutoTracker, MindingTracker
from edge.covers.face_mask_tracker import FaceMaskTracker
from edge.covers.witnesses import FaceMaskWitness, HeadsetWitness
from edge.profile import SessionProfile
from edge.settings import SessionSettings
from edge.tracker import Tracker
from models.face.mediapipe_mesh import FaceMesher
from models.face_masks.reader import FaceMaskReader
from models.headset.reader import HeadsetReader
from models.lower_face import LowerFace, resting_mesh

HeadsetOpener = Callable[[SessionSettings, SessionProfile, HeadsetReader], Tracker]


def cover_tracker(
    settings: SessionSettings, profile: SessionProfile, open_headset: HeadsetOpener
) -> MindingTracker | AutoTracker:
    """The tracker of the configured cover, which minds the other kind, or goes over to it.

    `open_headset` makes the headset's tracker. Raises WeightsError if a network cannot be used.
    """
    cover, models = settings.edge.cover, settings.models
    headsets = HeadsetReader(threads=models.threads, precision=models.precision)
    masks = FaceMaskReader(threads=models.threads)
    if cover == "headset":
        tracker = open_headset(settings, profile, headsets)
        return MindingTracker(tracker, "headset", FaceMaskWitness(masks))
    mesher = FaceMesher().__enter__()  # closed by the tracker
    lower_face = LowerFace(resting_mesh([view.mesh for view in profile.references]))
    behind_mask = FaceMaskTracker(settings.models.size_px, mesher, masks, lower_face)
    if cover == "face-mask":
        own = FaceMaskWitness(masks)
        return MindingTracker(behind_mask, "face-mask", HeadsetWitness(headsets), own)
    return AutoTracker(
        {"headset": open_headset(settings, profile, headsets), "face-mask": behind_mask},
        {"headset": HeadsetWitness(headsets), "face-mask": FaceMaskWitness(masks)},
    )
