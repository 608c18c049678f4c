"""Calibrating the eyes by looking at bare faces with the simulated headset's eye cameras.

For a demo and for evaluations; the wearer of a real headset uses `unvisor calibrate-eyes`.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.eyes.fusion import SIDES, Calibrations
from edge.eyes.learning import Evidence, learned
from edge.profile.eyes import EyeCalibration
from hmd_capture.eye_camera import SimulatedEyeCamera
from hmd_capture.eye_source import EyeReader
from hmd_capture.head_pose import head_pose
from hmd_capture.network_eyes import NetworkEyeReader
from streaming.messages import EyeImage
from streaming.records import Float32Array, ImageU8

MIN_CONFIDENCE = 0.3


def calibrate_simulated_eyes(
    frames: Sequence[ImageU8], meshes: Float32Array, reader: EyeReader | None = None
) -> Calibrations:
    """Calibrate the (right, left) eye from bare faces: frames (H,W,3) BGR and meshes (T,478,3) px.

    Eye cameras look from below, so that their measures differ from those of the face mesh; and
    what `reader` makes of their images (by default the shipped network) differs again. An eye of
    which nothing is read keeps the usual values.
    """
    reader = reader or NetworkEyeReader()
    found = []
    for side in SIDES:
        camera, evidence = SimulatedEyeCamera(side, seed=0), Evidence()
        for index, (image, mesh) in enumerate(zip(frames, meshes, strict=True)):
            picture, truth = camera.look(image, mesh, head_pose(mesh), index)
            seen = reader.read(EyeImage(side, index, index, picture, truth))
            if seen is not None and seen.confidence >= MIN_CONFIDENCE:
                evidence.add(seen)
        found.append(learned(evidence).calibration if len(evidence) else EyeCalibration())
    return found[0], found[1]
