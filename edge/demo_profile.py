"""The demo's profile: made from the first seconds of a video or webcam, without an interview.

A person who is really there uses `calibrate-reference`, which guides them to a good picture.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from rich.console import Console
from rich.progress import track

from edge.bare_face_trackers import choose_face
from edge.camera import Source, open_source
from edge.profile import SessionProfile
from edge.reference_choice import profile_from_frames
from edge.settings import CameraSettings
from edge.webcam import Webcam
from models.face.mediapipe_mesh import FaceMesher
from models.face.mesh import POINT_COUNT
from streaming.errors import UserError
from streaming.records import Float32Array, ImageU8

PATIENCE_S = 8.0  # without a picture: a camera that was only jolted is back by then
LOOK_S = 0.2


def profile_of_source(settings: CameraSettings, console: Console) -> SessionProfile:
    """Look at the first `settings.seconds` of a source, with a progress bar on `console`.

    Raises:
        UserError: the source cannot be read, is lost on the way, or shows no face.
    """
    source = open_source(settings)
    wanted = max(1, round(settings.seconds * source.fps))
    frames: list[ImageU8] = []
    meshes: list[Float32Array] = []
    absent = np.full((POINT_COUNT, 3), np.nan, np.float32)
    with FaceMesher(max_faces=2) as mesher, _not_waiting_for_ever(source):
        bar = track(
            # Every second frame is enough to choose from, and halves the wait.
            itertools.islice(source.frames(), 0, wanted, 2),
            "making the wearer's profile",
            total=(wanted + 1) // 2,
            console=console,
            transient=True,
        )
        previous: Float32Array | None = None
        for _, image in bar:
            previous = choose_face(mesher.meshes(image), previous)
            frames.append(image)
            meshes.append(absent if previous is None else previous)
    if isinstance(source, Webcam):
        source.close()  # the edge process opens it next
        if len(frames) < (wanted + 1) // 2:
            raise UserError(
                "The camera was lost while the profile was made.", "Check its cable, and try again."
            )
    return profile_from_frames(frames, np.stack(meshes))


@contextmanager
def _not_waiting_for_ever(source: Source) -> Iterator[None]:
    """Meanwhile, a camera that stays away ends the pictures; a session would wait for it."""
    if not isinstance(source, Webcam):
        yield
        return
    is_over = threading.Event()
    watch = threading.Thread(target=_stop_when_lost, args=(source, is_over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        is_over.set()
        watch.join()


def _stop_when_lost(source: Webcam, is_over: threading.Event) -> None:
    away_s = 0.0
    while away_s < PATIENCE_S and not is_over.wait(LOOK_S):
        away_s = away_s + LOOK_S if source.trouble else 0.0
    if not is_over.is_set():
        source.stop()
