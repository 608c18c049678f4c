"""Which engine ran each network of a session, for its report."""

from __future__ import annotations

from edge.bare_face_trackers import MediaPipeTracker
from edge.covers.cover_trackers import AutoTracker, CoverTracker, MindingTracker
from edge.covers.face_mask_tracker import FaceMaskTracker
from edge.headset_tracker import HeadsetTracker
from edge.tracker import Tracker
from models.engine.onnx import cpu_name
from models.filling import Filler, NetworkFiller

NETWORK_EYES = "network"  # `[hmd_capture] eyes`; its network runs there, always on the CPU


def engine_names(filler: Filler, tracker: Tracker, eyes: str) -> dict[str, str]:
    """Engine by network: `network`, `tracker`, `eyes`; what runs no network is left out.

    Such as `onnxruntime CPU INT8` or `TensorRT 10.3.0 FP16`; after a fallback the last one.
    """
    found: dict[str, str] = {}
    if isinstance(filler, NetworkFiller):
        found["network"] = filler.engine.name
    at_work = _at_work(tracker)
    if isinstance(at_work, HeadsetTracker):
        found["tracker"] = at_work.engine_name
    elif isinstance(at_work, MediaPipeTracker | FaceMaskTracker):
        found["tracker"] = "MediaPipe CPU"
    if eyes == NETWORK_EYES:
        found["eyes"] = cpu_name("fp32")
    return found


def _at_work(tracker: CoverTracker) -> CoverTracker:
    """The tracker itself, under those that only mind what covers the face."""
    while isinstance(tracker, MindingTracker | AutoTracker):
        tracker = tracker.at_work
    return tracker
