"""`calibrate-reference`: makes the wearer's profile from a few seconds of their bare face."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from edge.bare_face_trackers import choose_face
from edge.camera import Source, open_source
from edge.eyes.measures import mesh_apertures
from edge.profile import SessionProfile, profile_path, save_profile
from edge.profile.unlock import lock_for
from edge.reference_choice import eye_sharpness, profile_from_frames
from edge.settings import CameraSettings
from edge.video_file import VideoFile
from models.face_mesh import FACE_OVAL
from models.mediapipe_mesh import FaceMesher
from streaming.errors import UserError
from streaming.records import Float32Array, ImageU8

log = logging.getLogger(__name__)

# Gates on single frames. Sharpness is the variance of the Laplacian around the eyes at 256 px: the
# demo's webcam clip gives 35 when sharp and 8 in its first, blurred frame.
MIN_SHARPNESS = 12.0
MIN_LIGHT, MAX_LIGHT = 45.0, 225.0  # mean grey of the face
MIN_APERTURE = 0.12  # lid gap per eye width: below it an eye is closed or nearly so
MIN_FACE_PX = 65.0  # width of the face in the frame: what it has in a 128 px crop
MIN_GOOD_FRAMES = 5

ADVICE = {
    "no face": "Sit in front of the camera, without the headset, and look into it.",
    "two faces": "Ask other people to leave the picture.",
    "too far": "Come closer to the camera: the face should fill a third of the picture's height.",
    "too dark": "Turn on a light in front of you.",
    "too bright": "Dim the light in front of you, or close the curtain.",
    "blurred": "Hold still, clean the lens, and let the camera focus.",
    "eyes closed": "Keep your eyes open and look at the camera.",
}


@dataclass(frozen=True)
class Take:
    """Frames with what was found in them."""

    frames: list[ImageU8]
    meshes: Float32Array  # (T,478,3) px, NaN without a face
    problems: list[str]  # per frame: a key of ADVICE, or empty


def calibrate_reference(
    profile: Annotated[str, typer.Option(help="Name (or folder) of the profile to make.")],
    video: Annotated[Path | None, typer.Option(help="Use this video of the bare face.")] = None,
    camera: Annotated[str | None, typer.Option(help="Camera id from `unvisor devices`.")] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="How much of it to look at.")] = 10.0,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Keep the profile under a passphrase.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the quality report.")] = False,
) -> None:
    """Make the wearer's profile: look at the camera for a few seconds, without the headset."""
    logging.basicConfig(level=logging.WARNING)
    cv2.setNumThreads(1)
    if (video is None) == (camera is None):
        raise UserError("Name either --video FILE or --camera ID.", "For a webcam try --camera 0.")
    source = open_source(CameraSettings(source=str(video) if video else f"webcam:{camera}"))
    folder = profile_path(profile)
    lock = lock_for(folder, encrypt)  # asks before anybody sits still for the camera
    made, take = make_profile(source, seconds)
    save_profile(dataclasses.replace(made, lock=lock), folder)
    counted = Counter(problem for problem in take.problems if problem)
    if as_json:
        tree = {"profile": str(folder), "quality": dict(made.quality), "problems": counted}
        Console(soft_wrap=True).print_json(json.dumps(tree))
        return
    console = Console(highlight=False)
    console.print(f"The profile is at {folder}; use it with --profile {profile}.", soft_wrap=True)
    for problem, count in counted.most_common(2):
        console.print(f"{count} of {len(take.frames)} frames: {problem}. {ADVICE[problem]}")


def make_profile(source: Source, seconds: float) -> tuple[SessionProfile, Take]:
    """Look at the first seconds of a source and make a profile of the good frames.

    Raises:
        UserError: too few frames are good; says what was wrong with most of them.
    """
    take = _look(source, seconds)
    good = [i for i, problem in enumerate(take.problems) if not problem]
    if len(good) < MIN_GOOD_FRAMES:
        worst, count = Counter(p for p in take.problems if p).most_common(1)[0]
        raise UserError(
            f"Only {len(good)} of {len(take.frames)} frames can be used: "
            f"{count} of them show this problem: {worst}.",
            ADVICE[worst],
        )
    # Blinks calibrate the lids, so frames with closed eyes stay in as far as they show one face.
    usable = [i for i, p in enumerate(take.problems) if p in ("", "eyes closed")]
    made = profile_from_frames([take.frames[i] for i in usable], take.meshes[usable])
    return made, take


def _look(source: Source, seconds: float) -> Take:
    count = round(seconds * source.fps)
    frames: list[ImageU8] = []
    meshes: list[Float32Array] = []
    problems: list[str] = []
    previous: Float32Array | None = None
    deadline_s = time.monotonic() + 3 * seconds + 5  # a webcam may deliver less than it promised
    with FaceMesher(max_faces=2) as mesher:
        images = itertools.islice(source.frames(), count)
        console = Console(stderr=True)
        for _, image in track(images, "looking at the face", total=count, console=console):
            found = mesher.meshes(image)
            previous = choose_face(found, previous)
            frames.append(image)
            meshes.append(np.full((478, 3), np.nan, np.float32) if previous is None else previous)
            problems.append(problem_of(image, found))
            if time.monotonic() > deadline_s and not isinstance(source, VideoFile):
                break
    if not frames:
        raise UserError("The camera gave no frames.", "Check its cable and try again.")
    return Take(frames, np.stack(meshes), problems)


def problem_of(image: ImageU8, meshes: list[Float32Array]) -> str:
    """What is wrong with one frame as reference: a key of `ADVICE`, or "" when it is good."""
    if len(meshes) != 1:
        return "two faces" if meshes else "no face"
    mesh = meshes[0]
    oval = mesh[list(FACE_OVAL), :2]
    (left, top), (right, bottom) = oval.min(axis=0), oval.max(axis=0)
    if right - left < MIN_FACE_PX:
        return "too far"
    face = image[max(0, int(top)) : int(bottom), max(0, int(left)) : int(right)]
    light = float(face.mean()) if face.size else 0.0
    if light < MIN_LIGHT:
        return "too dark"
    if light > MAX_LIGHT:
        return "too bright"
    if eye_sharpness(image, mesh) < MIN_SHARPNESS:
        return "blurred"
    return "eyes closed" if min(mesh_apertures(mesh)) < MIN_APERTURE else ""
