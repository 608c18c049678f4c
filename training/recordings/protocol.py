"""The recordings protocol: the profile from one video, another one restored from it, and scored.

Another day, distance and pose: what a session is. A simulated headset goes in, the product's own
parts do the rest, once finding headset and face themselves, once told where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge.bare_face_trackers import choose_face
from edge.camera import Source
from edge.eyes.fusion import EyeFusion
from edge.eyes.lids import LidMover
from edge.filler_opening import open_filler
from edge.pipeline import NoClients, Pipeline
from edge.plate.backdrop import Backdrop
from edge.profile import SessionProfile
from edge.records import Capture, Truth
from edge.settings import SessionSettings, override
from edge.timing import StageTimes
from edge.tracker_opening import make_tracker
from hmd_capture.eye_source import EyeReader, OracleEyeReader
from hmd_capture.network_eyes import NetworkEyeReader
from hmd_capture.simulated import SimulatedHeadset, Worn
from models.face.alignment import crop_from_mesh, cut_crop
from models.face.mediapipe_mesh import FaceMesher
from streaming.errors import UserError
from streaming.records import Float32Array, Frame, ImageU8
from training.clips.faces import ImageU8 as Stack
from training.protocol import PUBLISHED_PX

WAYS = ("tracked", "told")
MAX_EYE_AGE_NS = 200_000_000


@dataclass(frozen=True)
class WornFrame:
    """One frame of the recording with a headset on, and the truth of it."""

    capture: Capture
    worn: Worn
    mesh: Float32Array  # (478,3) px of the bare frame


@dataclass(frozen=True)
class Crops:
    """Head crops of `PUBLISHED_PX`, all cut where the bare face is; uint8 BGR."""

    camera: Stack  # (T,S,S,3) with the headset
    truth: Stack  # (T,S,S,3)
    hidden: Stack  # (T,S,S) 1 = hidden by it
    restored: dict[str, Stack]  # (T,S,S,3) by filler and way


def worn_frames(
    source: Source, seconds: float, on_frame: Callable[[float], None]
) -> list[WornFrame]:
    """Put the built-in headset on the first seconds of a bare face's video.

    Frames without a face are left out; `on_frame` hears the second that was reached.

    Raises:
        UserError: no frame shows a face.
    """
    headset, found = SimulatedHeadset(None, 0), []
    previous: Float32Array | None = None
    with FaceMesher(max_faces=2) as mesher:
        for index, (_, image) in enumerate(source.frames()):
            time_s = index / source.fps
            if time_s >= seconds:
                break
            on_frame(time_s)
            previous = choose_face(mesher.meshes(image), previous)
            if previous is None:
                continue
            time_ns = round((index + 1) * 1e9 / source.fps)
            look = headset.wear(image, previous, time_ns)
            truth = Truth(look.truth, previous, look.hidden, look.eyes)
            found.append(
                WornFrame(Capture(Frame(index, time_ns, look.camera), truth), look, previous)
            )
    if not found:
        raise UserError("No face was found in the recording.", "Name a video of a bare face.")
    return found


def restored_crops(
    profile: SessionProfile,
    frames: Sequence[WornFrame],
    fillers: Sequence[str],
    on_frame: Callable[[], None],
) -> Crops:
    """Restore the recording with each filler, tracked and told, and cut out the heads."""
    restored = {}
    for filler in fillers:
        for way in WAYS:
            images = _restored(profile, frames, filler, way, on_frame)
            restored[f"{filler}, {way}"] = _heads(images, frames)
    hidden = [frame.worn.hidden * np.uint8(255) for frame in frames]
    return Crops(
        _heads([frame.worn.camera for frame in frames], frames),
        _heads([frame.worn.truth for frame in frames], frames),
        (_heads(hidden, frames) > 127).astype(np.uint8),
        restored,
    )


def _restored(
    profile: SessionProfile,
    frames: Sequence[WornFrame],
    filler: str,
    way: str,
    on_frame: Callable[[], None],
) -> list[ImageU8]:
    is_told = way == "told"
    landmarks = "oracle" if is_told else "tracker"
    settings = override(SessionSettings(), {"edge.landmarks": landmarks, "models.filler": filler})
    reader: EyeReader = OracleEyeReader() if is_told else NetworkEyeReader()
    eyes = EyeFusion(profile.eyes, MAX_EYE_AGE_NS)
    times = StageTimes()
    opened, _ = open_filler(settings.models, profile, times, lambda sentence: None)
    tracker = make_tracker(settings, profile)
    lids = None if is_told else LidMover(profile.references[0].mesh)
    size_px = settings.models.size_px
    pipeline = Pipeline(
        tracker,
        eyes,
        opened,
        NoClients(),
        (),
        times,
        lids=lids,
        backdrop=Backdrop(profile.plate),
        size_px=size_px,
    )
    images = []
    try:
        for frame in frames:
            for picture in frame.worn.eye_images(frame.capture.frame.frame_id):
                seen = reader.read(picture)
                if seen is not None:
                    eyes.observe(seen)
            images.append(pipeline.process(frame.capture).restored.image)
            on_frame()
    finally:
        tracker.close()
    return images


def _heads(images: Sequence[ImageU8], frames: Sequence[WornFrame]) -> Stack:
    return np.stack(
        [
            cut_crop(image, crop_from_mesh(frame.mesh, PUBLISHED_PX), PUBLISHED_PX)
            for image, frame in zip(images, frames, strict=True)
        ]
    )
