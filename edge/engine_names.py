"""Which engine ran each network of a session, for its report."""

from __future__ import annotations

from edge.settings import SessionSettings
from edge.tracker import Tracker
from models.engine.onnx import cpu_name
from models.filling import Filler, NetworkFiller

NETWORK_EYES = "network"  # `[hmd_capture] eyes`; its network runs there, always on the CPU


def engine_names(filler: Filler, tracker: Tracker, settings: SessionSettings) -> dict[str, str]:
    """Engine by network: `network`, `tracker`, `eyes`; what runs no network is left out.

    Such as `onnxruntime CPU INT8` or `TensorRT 10.3.0 FP16`; after a fallback the last one,
    and of trackers that took turns all.
    """
    found: dict[str, str] = {}
    if isinstance(filler, NetworkFiller):
        found["network"] = filler.engine.name
    if tracker.engine_name:
        found["tracker"] = tracker.engine_name
    if settings.hmd_capture.eyes == NETWORK_EYES and settings.edge.cover != "face-mask":
        found["eyes"] = cpu_name("fp32")
    return found
