"""The simulated cover in front of the pipeline: a bare face in, what the product would see out.

For clips the meshes of the bare face (the oracle) come from a cache that is filled beforehand; for
webcams they are found live, and their cost is listed as a stage of its own.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from edge.bare_face_trackers import choose_face
from edge.camera import Dress, Source, is_live
from edge.oracle_cache import Progress, clip_meshes, default_cache
from edge.records import Capture, Truth
from edge.settings import SessionSettings
from edge.timing import StageTimes
from edge.video_file import VideoFile
from hmd_capture.face_masks.drawing import FaceMask
from hmd_capture.feed import EyeFeed
from hmd_capture.simulated import SimulatedHeadset, covered
from models.face.mediapipe_mesh import FaceMesher
from streaming.errors import UserError
from streaming.messages import EyeImage
from streaming.records import Float32Array, Frame, ImageU8, Side

log = logging.getLogger(__name__)

SIDES = (Side.RIGHT, Side.LEFT)


class Oracle(Protocol):
    """Knows the mesh of the bare face."""

    def mesh(self, index: int, image: ImageU8) -> Float32Array | None:
        """(478,3) px of the bare frame `index` of the source, or None without a face."""
        ...


class ClipOracle:
    """Meshes found beforehand, one per frame of the file."""

    def __init__(self, meshes: Float32Array) -> None:
        """Keep (T,478,3) px, NaN rows without a face."""
        self._meshes = meshes
        self._is_face = np.isfinite(meshes).all(axis=(1, 2))

    def mesh(self, index: int, image: ImageU8) -> Float32Array | None:
        """Look the frame up."""
        return self._meshes[index] if index < len(self._meshes) and self._is_face[index] else None


class LiveOracle:
    """Finds the mesh in each frame of a webcam."""

    def __init__(self, mesher: FaceMesher) -> None:
        """`mesher` is open."""
        self._mesher = mesher
        self._last: Float32Array | None = None

    def mesh(self, index: int, image: ImageU8) -> Float32Array | None:
        """Find the face that was followed so far, else the largest."""
        self._last = choose_face(self._mesher.meshes(image), self._last)
        return self._last


class SimulatedCamera:
    """Puts the headset on every frame of a source and feeds the eye cameras' images."""

    def __init__(
        self, headset: SimulatedHeadset, oracle: Oracle, feed: EyeFeed, times: StageTimes
    ) -> None:
        """Keep the parts."""
        self._headset = headset
        self._oracle = oracle
        self._feed = feed
        self._times = times

    def dress(self, index: int, frame: Frame) -> Capture:
        """The frame as the camera would see it with the headset on, and the truth."""
        with self._times.measure("oracle"):
            mesh = self._oracle.mesh(index, frame.image)
        if mesh is None:
            bare = np.zeros(frame.image.shape[:2], np.uint8)
            return Capture(frame, Truth(frame.image, None, bare, ()))
        with self._times.measure("simulate"):
            worn = self._headset.wear(frame.image, mesh, frame.capture_time_ns)
        with self._times.measure("feed"):
            for side, image, seen in zip(SIDES, worn.eyes, worn.observations, strict=True):
                time_ns = frame.capture_time_ns
                self._feed.send(EyeImage(side, frame.frame_id, time_ns, image, seen))
        dressed = dataclasses.replace(frame, image=worn.camera)
        return Capture(dressed, Truth(worn.truth, mesh, worn.hidden, worn.eyes))


class FaceMaskCamera:
    """Puts a face mask on every frame of a source; there are no eye cameras."""

    def __init__(self, mask: FaceMask, oracle: Oracle, times: StageTimes) -> None:
        """Keep the parts."""
        self._mask, self._oracle, self._times = mask, oracle, times

    def dress(self, index: int, frame: Frame) -> Capture:
        """The frame as the camera would see it with the mask on, and the truth."""
        with self._times.measure("oracle"):
            mesh = self._oracle.mesh(index, frame.image)
        with self._times.measure("simulate"):
            patch = None if mesh is None else self._mask.draw(mesh, frame.image)
            camera, hidden = covered(frame.image, patch)
        dressed = dataclasses.replace(frame, image=camera)
        return Capture(dressed, Truth(frame.image, mesh, hidden, ()))


def prepare_oracle(settings: SessionSettings, progress: Progress | None = None) -> None:
    """Find the meshes of a clip that will be simulated, unless they are cached already.

    Raises:
        UserError: the clip cannot be read.
    """
    camera = settings.edge.camera
    if settings.edge.simulation.enabled and not is_live(camera.source):
        _meshes(settings, Path(camera.source), progress)


@contextmanager
def open_simulation(
    settings: SessionSettings, source: Source, times: StageTimes
) -> Iterator[Dress | None]:
    """What turns bare frames into captures; None when the camera is real.

    Raises:
        UserError: the clip cannot be read, or the headset's pictures cannot.
    """
    simulation = settings.edge.simulation
    if not simulation.enabled:
        yield None
        return
    with ExitStack() as stack:
        oracle: Oracle
        if isinstance(source, VideoFile):
            oracle = ClipOracle(_meshes(settings, source.path, None))
        else:
            oracle = LiveOracle(stack.enter_context(FaceMesher(max_faces=2)))
        if simulation.cover == "face-mask":
            yield FaceMaskCamera(_face_mask(settings), oracle, times).dress
            return
        feed = stack.enter_context(EyeFeed(settings.hmd_capture.feed))
        yield SimulatedCamera(_headset(settings), oracle, feed, times).dress


def _meshes(settings: SessionSettings, path: Path, progress: Progress | None) -> Float32Array:
    folder = settings.edge.simulation.cache
    cache = Path(folder) if folder else default_cache()
    return clip_meshes(path, settings.edge.camera.max_width_px, cache, progress)


def _face_mask(settings: SessionSettings) -> FaceMask:
    simulation = settings.edge.simulation
    try:
        return FaceMask(simulation.headset or "surgical", simulation.seed)
    except ValueError as error:
        raise UserError(f"{error}.", "Leave the name out to get a surgical mask.") from error


def _headset(settings: SessionSettings) -> SimulatedHeadset:
    simulation = settings.edge.simulation
    try:
        return SimulatedHeadset(simulation.headset or None, simulation.seed)
    except (ValueError, FileNotFoundError) as error:
        raise UserError(
            f"{error}.", "Name another folder or headset, or leave it out for the usual one."
        ) from error
