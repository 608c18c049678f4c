"""The live protocol: a simulated headset goes in, everything else is the product's own doing.

The clip's first frame makes the profile, as the bare face before a session would. The next frames
get a headset and go through the product's pipeline, eyes seen by the simulated eye cameras. The
same is run once more with the true outline and landmarks: the difference is what tracking costs;
and once more without eye cameras, the eyes fixed and open: the difference is what they bring.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from torch import nn

from edge.bare_face_trackers import OracleTracker
from edge.eyes.fusion import EyeFusion
from edge.eyes.lids import LidMover
from edge.headset_tracker import HeadsetTracker
from edge.pipeline import NoClients, Pipeline
from edge.profile import SessionProfile
from edge.records import Capture, FaceTrack, Truth
from edge.reference_choice import profile_from_frames
from edge.settings import Landmarks, Outline
from edge.timing import StageTimes
from edge.tracker import Tracker
from edge.wearer import wearer_fit
from hmd_capture.eye_source import EyeReader, OracleEyeReader
from hmd_capture.network_eyes import NetworkEyeReader
from hmd_capture.simulated import SimulatedHeadset, Worn
from models.face.alignment import head_box
from models.face_fit import WearerFit
from models.filling import Filler, Reference
from models.headset.reader import HeadsetReader
from models.mesh_register import MeshRegister
from models.outlines.reader import OutlineReader, WearersOutline
from streaming.records import Float32Array, Frame, ImageU8
from training.clips.faces import CLIP_PX, FaceClip, FaceClips
from training.evaluation.metrics import FrameScores, score_frames
from training.eyes.live_motion import EYE_AGE_NS, EyeMotion, EyeScores, motion_found, motion_true
from training.headset.scores import TrackerScores, jitter_px
from training.protocol import PUBLISHED_PX, SCORED_FRAMES, read

FRAME_NS = 40_000_000
NOISE_STEPS = 2.0  # standard deviation of sensor noise, 8-bit steps
STILL_FRAMES = 100
ORACLE = "-oracle"  # suffix of the method that was told outline and landmarks
OPEN_EYES = "-open-eyes"  # and of the one without eye cameras


@dataclass
class LiveScores:
    """What one way of tracking scored, clip by clip."""

    segments: list[str] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    clips: list[FrameScores] = field(default_factory=list)
    track_ms: list[float] = field(default_factory=list)


@dataclass
class LiveEvaluation:
    """Everything a report needs."""

    methods: dict[str, LiveScores]
    tracker: TrackerScores
    eyes: EyeScores  # of the first filler, where pictures are compared


@dataclass(frozen=True)
class WornClip:
    """One clip with a headset on, and the wearer's profile."""

    segment: str
    identity: str
    profile: SessionProfile
    captures: tuple[Capture, ...]
    worn: tuple[Worn, ...]
    found_eyes: EyeMotion  # of all frames but the first, with or without a headset
    true_eyes: EyeMotion


FillerOf = Callable[[Reference], Filler]
OnClip = Callable[[int, int, WornClip, dict[str, ImageU8]], None]


def evaluate_live(
    clips: FaceClips,
    rows: Sequence[FaceClip],
    headsets: Sequence[str],
    fillers: dict[str, FillerOf],
    *,
    outline: Outline = "fine",
    size_px: int = PUBLISHED_PX,
    distance: nn.Module | None = None,
    on_clip: OnClip | None = None,
) -> LiveEvaluation:
    """Run every filler over the rows, tracked and told; clip i wears `headsets[i % len]`.

    `headsets` are models of `SimulatedHeadset`; `outline` is as in the settings; `distance` is an
    LPIPS module or None; `on_clip` hears index, count, the clip, and the restored crops (N,S,S,3)
    by method.

    Raises:
        UserError: a clip cannot be used, or a headset or network is missing.
    """
    names = [name + suffix for name in fillers for suffix in ("", ORACLE, OPEN_EYES)]
    result = LiveEvaluation({name: LiveScores() for name in names}, TrackerScores(), EyeScores())
    reader, eye_reader = HeadsetReader(), NetworkEyeReader()
    drawer = OutlineReader() if outline == "fine" else None
    for index, row in enumerate(rows):
        clip = worn_clip(clips, row, headsets[index % len(headsets)], eye_reader)
        wearer = _Wearer.of(clip.profile.references[0], reader, drawer)
        shown: dict[str, ImageU8] = {}
        tracks: Sequence[FaceTrack | None] = ()
        for name, filler in fillers.items():
            ways = _ways(name, size_px, wearer, eye_reader)
            for method, (witness, eyes) in ways.items():
                ready = filler(clip.profile.reference(size_px))
                shown[method] = restored(witness, ready, clip, size_px, eyes)
                _note(result.methods[method], clip, shown[method], witness, distance)
            tracks = ways[name][0].tracks
        _score_tracks(result.tracker, tracks, clip)
        _score_eyes(result.eyes, clip, shown, next(iter(fillers)))
        still = wearer.tracker(size_px)
        result.tracker.jitter_px.append(_trembling(still, clip, seed=index))
        if on_clip is not None:
            on_clip(index, len(rows), clip, shown)
    return result


@dataclass(frozen=True)
class _Wearer:
    """Makes trackers that know one wearer."""

    reader: HeadsetReader
    reference: Reference
    fit: WearerFit
    outline: WearersOutline

    @classmethod
    def of(
        cls, reference: Reference, reader: HeadsetReader, drawer: OutlineReader | None
    ) -> _Wearer:
        """Learn the wearer from the profile's first view."""
        fit, outline = wearer_fit(reference, reader), WearersOutline(reference, drawer)
        return cls(reader, reference, fit, outline)

    def tracker(self, size_px: int) -> HeadsetTracker:
        """One that follows nobody yet."""
        register = MeshRegister(self.reference)
        return HeadsetTracker(
            size_px, self.reader, self.fit, outline=self.outline, register=register
        )


def _ways(
    name: str, size_px: int, wearer: _Wearer, eye_reader: EyeReader
) -> dict[str, tuple[_Witness, EyeReader | None]]:
    """Method: its tracker, and who reads the eyes."""
    return {
        name: (_Witness(wearer.tracker(size_px)), eye_reader),
        name + ORACLE: (_Witness(OracleTracker(size_px)), OracleEyeReader()),
        name + OPEN_EYES: (_Witness(wearer.tracker(size_px)), None),
    }


def worn_clip(clips: FaceClips, row: FaceClip, model: str, reader: EyeReader) -> WornClip:
    """The profile from a clip's first frame, and the next frames with a headset on.

    `reader` reads the eye images, for the profile and after it.

    Raises:
        FaceDataError: if the clip is damaged, or not what its manifest row says.
    """
    images, meshes = read(clips, row, CLIP_PX)
    headset = SimulatedHeadset(model, seed=0)
    captures, worn = [], []
    for index in range(1, min(1 + SCORED_FRAMES, len(images))):
        look = headset.wear(images[index], meshes[index], index * FRAME_NS)
        truth = Truth(look.truth, meshes[index], look.hidden, look.eyes)
        captures.append(Capture(Frame(index, look.capture_time_ns, look.camera), truth))
        worn.append(look)
    profile = profile_from_frames([images[0]], meshes[:1], with_plate=False)
    found = motion_found(images[1:], meshes[1:], profile.eyes, reader, FRAME_NS)
    true = motion_true(meshes[1:], meshes[0])
    return WornClip(row.segment, row.identity, profile, tuple(captures), tuple(worn), found, true)


def restored(
    tracker: Tracker, filler: Filler, clip: WornClip, size_px: int, reader: EyeReader | None
) -> ImageU8:
    """Run the product's pipeline over a clip: its frames at the protocols' size, (N,S,S,3).

    The eye images are read by `reader`; None = there are no eye cameras.
    """
    eyes = EyeFusion(clip.profile.eyes, EYE_AGE_NS)
    is_told = tracker.name == "oracle"
    lids = None if is_told else LidMover(clip.profile.references[0].mesh)
    pipeline = Pipeline(
        tracker, eyes, filler, NoClients(), (), StageTimes(), lids=lids, size_px=size_px
    )
    frames = []
    for capture, look in zip(clip.captures, clip.worn, strict=True):
        for image in look.eye_images(capture.frame.frame_id):
            seen = reader.read(image) if reader is not None else None
            if seen is not None:
                eyes.observe(seen)
        frames.append(_small(pipeline.process(capture).restored.image))
    return np.stack(frames)


class _Witness:
    """A tracker whose answers and times are kept."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.tracks: list[FaceTrack | None] = []
        self.track_ms: list[float] = []
        self.name: Landmarks = tracker.name
        self.engine_name = tracker.engine_name
        self.note = ""

    def track(self, capture: Capture) -> FaceTrack | None:
        started_ns = time.perf_counter_ns()
        track = self._tracker.track(capture)
        self.track_ms.append((time.perf_counter_ns() - started_ns) / 1e6)
        self.tracks.append(track)
        return track

    def reset(self) -> None:
        self._tracker.reset()

    def close(self) -> None:
        self._tracker.close()


def _note(
    scores: LiveScores,
    clip: WornClip,
    shown: ImageU8,
    witness: _Witness,
    distance: nn.Module | None,
) -> None:
    truth = np.stack([_small(look.truth) for look in clip.worn])
    masks = [_small(look.hidden * np.uint8(255)) > 0 for look in clip.worn]
    hidden = np.stack(masks).astype(np.uint8)
    scores.segments.append(clip.segment)
    scores.identities.append(clip.identity)
    scores.clips.append(score_frames(shown, truth, hidden, distance))
    scores.track_ms += witness.track_ms


def _score_tracks(
    scores: TrackerScores, tracks: Sequence[FaceTrack | None], clip: WornClip
) -> None:
    for track, capture in zip(tracks, clip.captures, strict=True):
        truth = capture.truth
        if truth is not None and truth.mesh is not None:
            scores.add(track, truth, head_box(truth.mesh).side_px)


def _score_eyes(scores: EyeScores, clip: WornClip, shown: dict[str, ImageU8], name: str) -> None:
    scores.add(clip.found_eyes, clip.true_eyes)
    truth = np.stack([_small(look.truth) for look in clip.worn])
    scale = np.float32(PUBLISHED_PX / clip.worn[0].truth.shape[0])
    meshes = [c.truth.mesh for c in clip.captures if c.truth and c.truth.mesh is not None]
    scores.add_pictures(
        shown[name],
        shown[name + OPEN_EYES],
        truth,
        np.stack(meshes) * scale,
        clip.true_eyes.openness[: len(truth)],
    )


def _trembling(tracker: HeadsetTracker, clip: WornClip, seed: int) -> float:
    """How much the mesh of one still frame moves under fresh sensor noise, px at 256."""
    random = np.random.default_rng(seed)
    still = clip.captures[0]
    meshes: list[Float32Array] = []
    for index in range(STILL_FRAMES):
        noise = random.normal(0, NOISE_STEPS, still.frame.image.shape)
        image = np.clip(still.frame.image + noise.round(), 0, 255).astype(np.uint8)
        track = tracker.track(Capture(Frame(index, index * FRAME_NS, image)))
        if track is not None:
            meshes.append(track.mesh)
    side_px = head_box(clip.profile.references[0].mesh).side_px
    scale = len(still.frame.image) / len(clip.profile.references[0].image)
    return jitter_px(np.stack(meshes), side_px * scale) if meshes else float("nan")


def _small(image: ImageU8) -> ImageU8:
    """A head crop as the protocols score it."""
    size = (PUBLISHED_PX, PUBLISHED_PX)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
