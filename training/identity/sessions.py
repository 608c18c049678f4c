"""Face clips as sessions of the product: tracked frames, bare and with a headset on.

A clip is tracked once for nobody in particular; the correction that the tracker learns from a
profile is added afterwards, so that every profile can be tried on every person at little cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.headset_tracker import HeadsetTracker
from edge.identity.face_print import IdentityPrint
from edge.identity.print_making import print_of_faces
from edge.records import Capture, FaceTrack
from edge.reference_choice import profile_from_frames
from edge.wearer import wearer_fit
from hmd_capture.headset_render import Headset
from hmd_capture.simulated import covered
from models.face_fit import WearerFit
from models.headset.reader import HeadsetReader, HeadsetReading
from models.identity.reader import FacePrintReader
from streaming.records import Float32Array, Frame, ImageU8
from training.clips.faces import FaceClip, FaceClips
from training.scenes.camera_faults import camera_faults

FRAME_NS = 40_000_000  # clips have 25 frames a second
EVERY = 3  # frames of a clip that are tracked: 8 a second, more than are looked at
PROFILE_SHARE, PROFILE_FRAMES = 0.4, 75  # of a clip: its beginning, 3 s at most, is the profile


@dataclass(frozen=True)
class Tracked:
    """One frame as the tracker saw it before the wearer's own face was taken into account."""

    image: ImageU8  # (H,W,3)
    track: FaceTrack
    spread: Float32Array  # (478,) expected error of each point


@dataclass(frozen=True)
class PersonClip:
    """One clip: a profile made of its beginning, and what came after, bare and covered."""

    segment: str
    person: str
    profile: IdentityPrint
    fit: WearerFit
    bare: tuple[Tracked, ...]
    covered: tuple[Tracked, ...]
    profile_frames: int  # the first so many of `bare` and `covered` are the profile's own


def person_clip(
    clips: FaceClips,
    row: FaceClip,
    headset: Headset,
    reader: HeadsetReader,
    prints: FacePrintReader,
    light_seed: int | None = None,
) -> PersonClip:
    """Track one clip twice. With `light_seed` what is tracked is lit and filmed otherwise.

    The profile always sees the clip as it is.
    """
    images, meshes = clips.frames(row), clips.meshes(row)
    count = min(len(images), len(meshes))
    ends = min(int(PROFILE_SHARE * count), PROFILE_FRAMES)
    chosen = [i for i in range(0, ends, 2) if np.isfinite(meshes[i]).all()]
    own = print_of_faces([images[i] for i in chosen], [meshes[i] for i in chosen], prints)
    profile = profile_from_frames([images[i] for i in chosen], meshes[chosen], with_plate=False)
    reference = profile.references[0]
    scenes: dict[str, list[tuple[int, ImageU8]]] = {"bare": [], "covered": []}
    for index in range(0, count, EVERY):
        worn, _ = covered(images[index], headset.draw(meshes[index], images[index]))
        for name, image in (("bare", images[index]), ("covered", worn)):
            scenes[name].append((index, _refilmed(image, light_seed)))
    bare, worn_frames = (tracked(scenes[name], reader) for name in ("bare", "covered"))
    return PersonClip(
        row.segment,
        row.identity,
        own,
        wearer_fit(reference, reader),
        bare,
        worn_frames,
        -(-ends // EVERY),
    )


def tracked(frames: Sequence[tuple[int, ImageU8]], reader: HeadsetReader) -> tuple[Tracked, ...]:
    """Follow the head through (index, image) frames; those without a face are left out."""
    witness = _Witness(reader)
    tracker = HeadsetTracker(128, witness, None)  # type: ignore[arg-type]
    found: list[Tracked] = []
    for index, image in frames:
        witness.first = None
        track = tracker.track(Capture(Frame(index, index * FRAME_NS, image)))
        if track is not None and witness.first is not None:
            found.append(Tracked(image, track, witness.first.spread))
    return tuple(found)


def as_seen_by(fit: WearerFit, frames: Sequence[Tracked]) -> Iterator[tuple[ImageU8, FaceTrack]]:
    """Frames as the tracker gives them with somebody's profile."""
    for frame in frames:
        mesh = fit.fitted(frame.track.mesh, frame.spread)
        yield frame.image, replace(frame.track, mesh=mesh)


def played(frames: Sequence[Tracked], seconds: float) -> tuple[Tracked, ...]:
    """The frames back and forth until so many seconds are full."""
    wanted = round(seconds * 1e9 / (FRAME_NS * EVERY))
    if not frames:
        return ()
    there_and_back: NDArray[np.int64] = np.concatenate(
        [np.arange(len(frames)), np.arange(len(frames) - 2, 0, -1)]
    )
    return tuple(frames[there_and_back[k % len(there_and_back)]] for k in range(wanted))


class _Witness:
    """A reader that keeps the first reading of a frame: the one the mesh comes from."""

    def __init__(self, reader: HeadsetReader) -> None:
        self._reader = reader
        self.first: HeadsetReading | None = None

    def read(self, crop: ImageU8) -> HeadsetReading:
        reading = self._reader.read(crop)
        if self.first is None:
            self.first = reading
        return reading


def _refilmed(image: ImageU8, seed: int | None) -> ImageU8:
    """Another lamp and camera: the same ones for all frames of a clip."""
    return image if seed is None else camera_faults(image, np.random.default_rng(seed))
