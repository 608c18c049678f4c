"""Every measure beside the frames' PSNR, SSIM and LPIPS, collected clip by clip.

Frame scores are means over clips of each clip's mean over its scored frames. Measures that need
frames in a row (warping error, blinks, I3D) look at all played ones. Identity, expression and the
frame Fréchet distance look at every eighth frame: neighbours hardly differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.clips.faces import Float32Array, ImageU8
from training.evaluation import images
from training.evaluation.efficientnet import EfficientNetLite0, load_efficientnet
from training.evaluation.eyes_seen import EyeFinder, add_blinks
from training.evaluation.faces_seen import (
    FaceReader,
    expression_differences,
    identity_distances,
    load_face_reader,
)
from training.evaluation.frechet import frechet_distance
from training.evaluation.ghost import ghost_share
from training.evaluation.hard_cases import EYE_STATE
from training.evaluation.i3d import SHORTEST_FRAMES, I3d, load_i3d
from training.evaluation.metrics import rgb_tensor
from training.evaluation.motion import ClipMotion, clip_motion, warping_errors
from training.eyes.live_motion import EyeScores
from training.protocol import SCORED_FRAMES, ScoredClip
from training.reports.scores import deviations

FloatArray = NDArray[np.float64]
Scores = dict[str, float]

FRAME_STEP = 8  # of identity, expression and the frame Fréchet distance
ORIENTATION_CLIPS = 100  # a Fréchet distance of fewer clips than that is for orientation only
TRUTH = "truth"  # the clips themselves, measured like a method


@dataclass(frozen=True)
class Networks:
    """What measures look through; what is None leaves its measures out."""

    i3d: I3d | None  # of the video-FID, which costs more than all others together
    frames: EfficientNetLite0
    faces: FaceReader | None  # of identity and expression
    distance: nn.Module | None  # LPIPS


@dataclass(frozen=True)
class _Seen:
    """What networks see in one clip."""

    faces: dict[str, FloatArray]  # identities, expressions; may be empty
    frame_features: FloatArray
    clip_features: dict[bool, FloatArray]  # by whether it is normalised by itself; may be empty


@dataclass
class _Collected:
    """One method's measures, clip by clip."""

    clips: list[dict[str, FloatArray]] = field(default_factory=list)  # by name, over frames
    frame_features: list[FloatArray] = field(default_factory=list)
    clip_features: dict[bool, list[FloatArray]] = field(
        default_factory=lambda: {False: [], True: []}
    )
    eyes: EyeScores = field(default_factory=EyeScores)


class FullScores:
    """Collects the measures of every method; call `add` for each clip, then `document`."""

    def __init__(self, networks: Networks, finder: EyeFinder | None, protocol: str) -> None:
        """Measure through `networks`, with an open `finder`, or without blinks if it is None."""
        self._networks, self._finder, self._protocol = networks, finder, protocol
        self._methods: dict[str, _Collected] = {}
        self._segments: list[str] = []
        self._identities: list[str] = []

    def add(self, clip: ScoredClip, filled: Mapping[str, ImageU8]) -> None:
        """Measure what each method made of a clip, and the clip itself."""
        self._segments.append(clip.segment)
        self._identities.append(clip.identity)
        motion, truth = clip_motion(clip.truth), self._look(clip, clip.truth)
        for name, frames in {TRUTH: clip.truth, **filled}.items():
            collected = self._methods.setdefault(name, _Collected())
            seen = truth if name == TRUTH else self._look(clip, frames)
            if self._finder is not None:
                found = self._finder.meshes(frames)
                add_blinks(collected.eyes, found, clip.meshes, clip.reference_mesh)
            collected.frame_features.append(seen.frame_features)
            for mode, features in seen.clip_features.items():
                collected.clip_features[mode].append(features)
            collected.clips.append(
                self._over_frames(clip, frames, motion) | _face_measures(seen.faces, truth.faces)
            )

    @property
    def video_clips(self) -> int:
        """How many clips are in the video-FID; where nothing looks at clips, all of them."""
        if self._networks.i3d is None:
            return len(self._segments)
        seen = self._methods.get(TRUTH, _Collected()).clip_features
        return len(seen[False])

    def document(self) -> dict[str, Any]:
        """Method: its scores, laid out as `score_report.method_scores` does; `TRUTH` among them."""
        found = {name: self._scores(collected) for name, collected in self._methods.items()}
        for scores in found.values():
            for name in ("warping_error", "warping_error_masked"):
                if scores.get(name) is not None and found[TRUTH].get(name):
                    scores[name.replace("error", "ratio")] = scores[name] / found[TRUTH][name]
        return found

    def _look(self, clip: ScoredClip, frames: ImageU8) -> _Seen:
        some = np.flatnonzero(clip.scored)[::FRAME_STEP]
        whole = rgb_tensor(frames[:SCORED_FRAMES])
        in_a_row = whole.permute(1, 0, 2, 3)[None]
        clip_features: dict[bool, FloatArray] = {}
        video = self._networks.i3d
        if video is not None and len(whole) >= SHORTEST_FRAMES:
            clip_features = {
                mode: _array(video.features(in_a_row, per_clip_statistics=mode))[0]
                for mode in (False, True)
            }
        return _Seen(
            faces=self._faces(frames[some], clip.meshes[some]),
            frame_features=_array(self._networks.frames.features(rgb_tensor(frames[some]))),
            clip_features=clip_features,
        )

    def _faces(self, frames: ImageU8, meshes: Float32Array) -> dict[str, FloatArray]:
        reader = self._networks.faces
        if reader is None:
            return {}
        return {
            "identities": reader.identities(frames, meshes),
            "expressions": reader.expressions(frames, meshes),
        }

    def _over_frames(
        self, clip: ScoredClip, frames: ImageU8, motion: ClipMotion
    ) -> dict[str, FloatArray]:
        counted = clip.scored
        shown, truth, hidden = frames[counted], clip.truth[counted], clip.hidden[counted]
        found = {
            "l1": images.l1(shown, truth),
            "l1_masked": images.masked_l1(shown, truth, hidden),
            "ssim_masked": images.masked_ssim(shown, truth, hidden),
            "ms_ssim": images.ms_ssim(shown, truth),
            "warping_error": warping_errors(frames, motion),
            "warping_error_masked": warping_errors(frames, motion, clip.hidden),
        }
        if self._networks.distance is not None:
            distance = self._networks.distance
            found["lpips_masked"] = images.masked_lpips(distance, shown, truth, hidden)
        if self._protocol == EYE_STATE:
            found["ghost"] = np.array([ghost_share(frames, clip)])
        return found

    def _scores(self, collected: _Collected) -> dict[str, Any]:
        people = {
            who: _means([c for c, owner in self._owned(collected) if owner == who])
            for who in dict.fromkeys(self._identities)
        }
        segments = zip(self._segments, collected.clips, strict=True)
        return {
            **_means(collected.clips),
            **self._distances(collected),
            **({} if self._finder is None else {"eyes": collected.eyes.summary()}),
            "people_mean": _mean_of(list(people.values())),
            "people_deviation": deviations(list(people.values())),
            "per_person": people,
            "per_clip": {segment: _means([clip]) for segment, clip in segments},
        }

    def _owned(self, collected: _Collected) -> list[tuple[dict[str, FloatArray], str]]:
        return list(zip(collected.clips, self._identities, strict=True))

    def _distances(self, collected: _Collected) -> Scores:
        truth = self._methods[TRUTH]
        found = {}
        pairs = {
            "vfid": (collected.clip_features[False], truth.clip_features[False]),
            "vfid_per_clip_statistics": (collected.clip_features[True], truth.clip_features[True]),
        }
        for name, (own, true) in pairs.items():
            if len(own) > 1:
                found[name] = frechet_distance(np.stack(own), np.stack(true))
        own_frames = np.concatenate(collected.frame_features)
        if len(own_frames) > 1:
            true_frames = np.concatenate(truth.frame_features)
            found["fd_efficientnet_lite0"] = frechet_distance(own_frames, true_frames)
        return found


def load_networks(
    folder: Path, distance: nn.Module | None, *, video: bool = True, faces: bool = True
) -> Networks:
    """Read what the measures look through; `distance` is LPIPS, or None to leave it out.

    Without `video` the video-FID is left out, without `faces` identity and expression.

    Raises:
        HelperWeightsError: the folder lacks one of them.
    """
    i3d = load_i3d(folder) if video else None
    reader = load_face_reader(folder) if faces else None
    return Networks(i3d, load_efficientnet(folder), reader, distance)


def merge(document: dict[str, Any], full: Mapping[str, Any], video_clips: int) -> dict[str, Any]:
    """A report of `evaluation.evaluate` with the measures of `FullScores.document` added.

    `video_clips` are in the video-FID: those too short for it are in the other measures only.
    """
    methods = {name: _merged(scores, full[name]) for name, scores in document["methods"].items()}
    return document | {
        "methods": methods,
        "truth": {name: value for name, value in full[TRUTH].items() if not name.startswith("p")},
        "frechet_samples": {
            "clips": video_clips,
            "orientation_only": video_clips < ORIENTATION_CLIPS,
        },
    }


def _merged(scores: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(scores)
    for name, value in more.items():
        under = both.get(name)
        nested = isinstance(under, Mapping) and isinstance(value, Mapping)
        both[name] = _merged(under or {}, value) if nested else value
    return both


def _face_measures(
    faces: Mapping[str, FloatArray], truth: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    if not faces:
        return {}
    return {
        "identity": identity_distances(faces["identities"], truth["identities"]),
        "expression_l1": expression_differences(faces["expressions"], truth["expressions"]),
    }


def _means(clips: Sequence[Mapping[str, FloatArray]]) -> Scores:
    """Mean over clips of each clip's mean over frames, where there is any value."""
    found = {}
    for name in clips[0]:
        kept = [clip[name][np.isfinite(clip[name])] for clip in clips]
        values = [float(frames.mean()) for frames in kept if frames.size]
        if values:
            found[name] = float(np.mean(values))
    return found


def _mean_of(people: Sequence[Scores]) -> Scores:
    shared = [name for name in people[0] if all(name in person for person in people)]
    return {name: float(np.mean([person[name] for person in people])) for name in shared}


def _array(values: torch.Tensor) -> FloatArray:
    return np.asarray(values.double().numpy(), np.float64)
