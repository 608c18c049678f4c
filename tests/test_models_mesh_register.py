from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.mesh_register import HIDDEN_SHARE, MeshRegister, OwnView, load_errors
from models.reference import Reference
from models.weights_error import WeightsError

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
FRAME_NS = 40_000_000
OFF = np.array([-2.0, 2.5, 0.0], np.float32)  # px


@pytest.fixture
def person(textured_image: ImageU8, canonical_mesh: Float32Array) -> Reference:
    image = cv2.GaussianBlur(textured_image, (0, 0), 1.0)
    return Reference(np.asarray(image, np.uint8), canonical_mesh)


@pytest.fixture
def mask() -> NDArray[np.uint8]:
    """A headset over eyes and brows."""
    hidden = np.zeros((256, 256), np.uint8)
    hidden[70:140, 60:200] = 1
    return hidden


def visible_in(mask: NDArray[np.uint8], mesh: Float32Array) -> NDArray[np.bool_]:
    column, row = np.rint(mesh[:, :2]).astype(int).clip(0, 255).T
    return np.asarray(mask[row, column] == 0)


def test_a_mesh_that_lies_beside_the_face_is_pulled_back(
    person: Reference, mask: NDArray[np.uint8]
) -> None:
    mesh = person.mesh + OFF
    visible = visible_in(mask, mesh)
    moved = MeshRegister(person).registered(mesh, visible, person.image, mask, 0)
    seen, hidden = (
        np.linalg.norm((moved - person.mesh)[part, :2], axis=1).mean()
        for part in (visible, ~visible)
    )
    before = float(np.linalg.norm(OFF))
    assert seen < 0.7 * before
    assert seen < hidden < before
    assert np.array_equal(moved[:, 2], mesh[:, 2])


def test_hidden_points_follow_by_a_part(person: Reference, mask: NDArray[np.uint8]) -> None:
    mesh = person.mesh + OFF
    everything, nothing = np.ones(len(mesh), bool), np.zeros(len(mesh), bool)
    whole, part = (
        MeshRegister(person).registered(mesh, visible, person.image, mask, 0) - mesh
        for visible in (everything, nothing)
    )
    assert np.allclose(part, HIDDEN_SHARE * whole, atol=1e-4)
    assert np.abs(whole).max() > 0.5


def test_only_some_frames_are_looked_at_until_it_starts_afresh(
    person: Reference, mask: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    shift = OwnView.shift

    def counted(*given: object) -> object:
        looks.append(given)
        return shift(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(OwnView, "shift", counted)
    register, visible = MeshRegister(person), visible_in(mask, person.mesh)
    for index in range(9):
        register.registered(person.mesh, visible, person.image, mask, index * FRAME_NS)
    assert len(looks) == 5
    register.reset()
    register.registered(person.mesh, visible, person.image, mask, 9 * FRAME_NS)
    assert len(looks) == 6


def test_what_a_look_tells_is_taken_over_without_a_jump(
    person: Reference, mask: NDArray[np.uint8]
) -> None:
    register, visible = MeshRegister(person), visible_in(mask, person.mesh)
    register.registered(person.mesh, visible, person.image, mask, 0)
    mesh = person.mesh + OFF
    steps = [
        register.registered(mesh, visible, person.image, mask, (2 + index) * FRAME_NS)
        for index in range(3)
    ]
    first, second = (float(np.abs(b - a).max()) for a, b in pairwise(steps))
    assert 0 < second < first < 1.0


def test_a_face_that_is_not_seen_is_left_as_it_is(person: Reference) -> None:
    everywhere = np.ones((256, 256), np.uint8)
    nothing = np.zeros(len(person.mesh), bool)
    register = MeshRegister(person)
    moved = register.registered(person.mesh, nothing, person.image, everywhere, 0)
    assert np.array_equal(moved, person.mesh)


def test_damaged_statistics_are_said_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "mesh_errors.npz"
    np.savez(file, usual=np.zeros((3, 2)), by_shift=np.zeros((60, 956)))
    with pytest.raises(WeightsError, match="git checkout"):
        load_errors(file)
