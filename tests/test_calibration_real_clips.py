"""Good and bad captures of real people: test clips, as they are and spoilt.

The gates' limits were chosen on train and val clips only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from bad_captures import BAD_CAPTURES, BadCapture

from calibration.capture.take import Take, Taker
from calibration.gates.gates import FRONTAL_DEG
from calibration.guide.prompters import Chorus
from edge.eyes.measures import mesh_apertures
from hmd_capture.head_pose import head_pose
from models.covers.reader import CoverReader
from models.face.mediapipe_mesh import FaceMesher
from streaming.records import Float32Array, ImageU8
from training.clips.faces import FaceClip, FaceClips

DATA = Path(__file__).resolve().parents[1] / "../shared/data/faces"
PEOPLE = 20
GOOD_FRAMES, FRAMES = 16, 8  # of each capture; who talks blinks now and then
# Measured at the third look at this split: a cap's shadow over narrowed eyes, and a pale face in
# pink light; the same two as before the gates were chosen anew on train and val.
MOST_REFUSED = 2
LEAST_SHOWN = 0.5  # of a good capture's frames look to the front with open eyes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="no face clips in ../shared/data/faces"),
]


@pytest.fixture(scope="module")
def clips() -> FaceClips:
    return FaceClips(DATA)


@pytest.fixture(scope="module")
def people(clips: FaceClips) -> list[FaceClip]:
    """The first fitting clip of each of the first people of the test split."""
    found: dict[str, FaceClip] = {}
    for row in clips.rows("test"):
        if row.identity not in found and _faces_the_camera(clips.meshes(row)[::5]):
            found[row.identity] = row
    return list(found.values())[:PEOPLE]


def _faces_the_camera(meshes: Float32Array) -> bool:
    return bool(
        np.mean(
            [
                abs(head_pose(mesh).yaw_deg) < FRONTAL_DEG and min(mesh_apertures(mesh)) > 0.12
                for mesh in meshes
            ]
        )
        > LEAST_SHOWN
    )


def frames_of(clips: FaceClips, row: FaceClip, indices: Sequence[int]) -> list[ImageU8]:
    wanted = set(indices)
    return [image for index, image in enumerate(clips.stream(row)) if index in wanted]


def taken(images: Sequence[ImageU8]) -> Take:
    """What a capture of these frames finds, faces searched in each."""
    with FaceMesher(tracking=False, max_faces=2) as mesher:
        taker = Taker(CoverReader(), Chorus([]), in_any_order=True)
        for index, image in enumerate(images):
            taker.add(index / 10, image, mesher.meshes(image))
    return taker.take


def evenly(count: int, wanted: int = FRAMES) -> list[int]:
    return np.unique(np.linspace(0, count - 1, wanted).astype(int)).tolist()


def test_nearly_all_good_captures_are_accepted(clips: FaceClips, people: list[FaceClip]) -> None:
    assert len(people) == PEOPLE
    refused = {}
    for row in people:
        take = taken(frames_of(clips, row, evenly(len(clips.meshes(row)), GOOD_FRAMES)))
        if take.refusal():
            refused[row.segment] = take.problems
    assert len(refused) <= MOST_REFUSED, refused


@pytest.mark.parametrize("bad", BAD_CAPTURES, ids=lambda bad: bad.name)
def test_bad_captures_are_refused_with_the_right_advice(
    bad: BadCapture, clips: FaceClips, people: list[FaceClip]
) -> None:
    row = people[BAD_CAPTURES.index(bad) % len(people)]
    meshes = clips.meshes(row)
    indices = evenly(len(meshes))
    if bad.choose is not None:  # of all test clips the one that shows it most often
        row = max(clips.rows("test"), key=lambda each: sum(map(bad.choose, clips.meshes(each))))
        meshes = clips.meshes(row)
        shown = [index for index, mesh in enumerate(meshes) if bad.choose(mesh)]
        indices = [shown[i] for i in evenly(len(shown))]
    spoilt = [
        bad.degrade(image, meshes[index])
        for index, image in zip(indices, frames_of(clips, row, indices), strict=True)
    ]
    take = taken(spoilt)
    assert take.refusal() in bad.right, take.problems
