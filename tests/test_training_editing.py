"""Landmarks are edited where nothing is seen, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from test_models_preparation import crop_mesh, smooth_image
from test_training_faces import write_landmarks, write_manifest, write_video

from edge.__main__ import main
from models import registration
from models.export import export_network
from models.face.mesh import IRIS_START
from models.inpainting import architectures
from training.clips.faces import FaceClips
from training.editing.distances import (
    IdentityMeasure,
    of_other_people,
    of_the_same_person,
)
from training.editing.landmarks import perturbed, swapped
from training.masks.coverings import headset_mask

SIZE = 128


@pytest.fixture
def worn(canonical_mesh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Meshes of a head that drifts, and the headset's mask over each."""
    meshes = np.stack([crop_mesh(canonical_mesh, (shift, 0)) for shift in (0, 2, 4)])
    return meshes, np.stack([headset_mask(mesh, SIZE) for mesh in meshes])


def moved_by(meshes: np.ndarray, edited: np.ndarray) -> np.ndarray:
    distance: np.ndarray = np.linalg.norm((edited - meshes)[..., :2], axis=-1)
    return distance


def test_visible_points_stay_and_hidden_ones_move_smoothly(
    worn: tuple[np.ndarray, np.ndarray],
) -> None:
    meshes, hidden = worn
    edited = perturbed(meshes, hidden, sigma=0.1, seed=1)
    distance = moved_by(meshes, edited)[0, :IRIS_START]
    seen = registration.visible_points(meshes[0], hidden[0])
    assert distance[seen].max() < 1e-4
    span = np.linalg.norm(meshes[0, 33, :2] - meshes[0, 263, :2])
    assert 0.01 < np.sqrt((distance[~seen] ** 2).mean()) / span < 0.2
    points = meshes[0, :IRIS_START, :2]
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) < 0.05 * span
    move = (edited - meshes)[0, :IRIS_START, :2]
    jumps = np.linalg.norm(move[:, None] - move[None], axis=-1)[near]
    assert jumps.max() < 0.5 * distance.max()


def test_a_perturbation_goes_with_the_face_and_is_repeatable(
    worn: tuple[np.ndarray, np.ndarray],
) -> None:
    meshes, hidden = worn
    edited = perturbed(meshes, hidden, 0.1, seed=1)
    assert np.array_equal(edited, perturbed(meshes, hidden, 0.1, seed=1))
    assert not np.allclose(edited, perturbed(meshes, hidden, 0.1, seed=2))
    assert np.abs((edited - meshes)[0] - (edited - meshes)[2]).max() < 0.6
    assert np.array_equal(perturbed(meshes, hidden, 0.0), meshes)


def test_swapping_takes_the_other_faces_points_under_the_covering(
    worn: tuple[np.ndarray, np.ndarray],
) -> None:
    meshes, hidden = worn
    raised = meshes[0].copy()
    brow = 66
    around = np.linalg.norm(raised[:, :2] - raised[brow, :2], axis=1) < 12
    raised[around, 1] -= 5
    # The other one stands elsewhere, nearer and tilted: only the shape is to be taken.
    turn = 1.3 * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]], np.float32)
    other = raised.copy()
    other[:, :2] = raised[:, :2] @ turn.T + 7
    other[:, 2] *= 1.3
    edited = swapped(meshes, hidden, other[None])
    # Part of the raised brow goes for the other head's place and size.
    assert -5.5 < edited[0, brow, 1] - meshes[0, brow, 1] < -3.5
    assert np.abs(edited - swapped(meshes, hidden, raised[None])).max() < 0.05
    seen = registration.visible_points(meshes[0], hidden[0])
    assert moved_by(meshes, edited)[0, :IRIS_START][seen].max() < 1e-4
    assert np.abs(swapped(meshes, hidden, meshes) - meshes).max() < 1e-3


@pytest.fixture
def faces(tmp_path: Path, canonical_mesh: np.ndarray) -> Path:
    """Three drawn clips: two of one person, one of another."""
    for folder in ("video", "landmarks"):
        (tmp_path / folder).mkdir()
    rows = []
    for number, (segment, who) in enumerate((("a1", "ann"), ("a2", "ann"), ("b1", "bob"))):
        picture = cv2.resize(smooth_image(number), (256, 256))
        mesh = 2 * crop_mesh(canonical_mesh, (number, 0))
        mesh[:, 1] += 0.1 * (who == "bob") * (mesh[:, 1] - mesh[:, 1].mean())
        write_video(tmp_path / "video" / f"{segment}.mp4", np.stack([picture] * 6))
        write_landmarks(
            tmp_path / "landmarks" / f"{segment}.npz", np.stack([mesh] * 6), np.zeros(6, np.float32)
        )
        rows.append({"segment": segment, "split": "test", "identity": who, "frames": "6"})
    write_manifest(tmp_path, rows)
    return tmp_path


@pytest.fixture
def blind(tmp_path: Path) -> Path:
    """An untrained network that is shown landmarks, but never a reference."""
    settings = {"width": 8, "size_px": 128, "seen": 8}
    network = architectures.build("lgtsm", settings)
    export_network(network, tmp_path / "blind.onnx", {"inputs": {"reference": "none"}})
    return tmp_path / "blind.onnx"


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["edit", *map(str, words)])
    return int(ended.value.code or 0)


def test_the_command_writes_a_strip_of_every_edit(faces: Path) -> None:
    strip = faces / "out" / "strip.png"
    edits = ["--landmarks", "b1", "--perturb", "0.2", "--variants", "2"]
    assert run("a1", "--data", faces, *edits, "--no-identity", "--strip", strip) == 0
    picture = cv2.imread(str(strip))
    # Reference, hole, restored, one swap, two moves, bare face; five frames.
    assert picture.shape == (5 * 128, 7 * 128, 3)
    restored, swap, move = (picture[:128, 128 * k : 128 * (k + 1)].astype(int) for k in (2, 3, 4))
    assert np.abs(restored - move).max() > 20
    assert not np.array_equal(restored, swap)


def test_privacy_insists_on_a_network_without_a_reference(
    faces: Path, blind: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", faces, "--privacy", "--no-identity", "--strip", faces / "strip.png"]
    assert run("a1", *options) == 1
    assert "fills from the owner's reference" in capsys.readouterr().err
    assert run("a1", *options, "--weights", blind) == 0
    assert (faces / "strip.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody"], "no clip 'nobody'"),
        (["a1", "--landmarks", "nobody"], "no clip 'nobody'"),
        (["a1", "--perturb", "0.9"], "--perturb takes up to 0.5"),
        (["a1", "--strip", "edit.jpg"], "edit.jpg is no .png file"),
        (["still"], "None of the 1 clips has the 3 frames"),
    ],
)
def test_what_cannot_be_edited_is_told(
    faces: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(faces / "manifest.csv", "a", encoding="utf-8") as file:
        file.write("still,test,cid,1\n")
    place = [] if "--strip" in words else ["--strip", faces / "strip.png"]
    assert run(*words, "--data", faces, "--no-identity", *place) == 1
    assert message in capsys.readouterr().err


def test_without_the_network_that_compares_faces_an_older_strip_stays(
    faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strip = faces / "strip.png"
    strip.write_bytes(b"older")
    assert run("a1", "--data", faces, "--strip", strip, "--helper-weights", faces) == 1
    assert "--helper-weights" in capsys.readouterr().err
    assert strip.read_bytes() == b"older"


class ColourReader:
    """Stands for the face recognition network: a face is its mean colour."""

    def identities(self, images: np.ndarray, meshes: np.ndarray) -> np.ndarray:
        colours: np.ndarray = images.mean((1, 2)) / 255
        return colours


def test_identity_is_compared_with_other_pictures_and_other_people(faces: Path) -> None:
    clips = FaceClips(faces)
    row = clips.rows("test")[0]
    truth, meshes = clips.frames(row, 128), clips.meshes(row, 128)
    measure = IdentityMeasure(ColourReader(), truth, meshes)
    assert measure.filled(truth, meshes) == 0
    assert measure.filled(truth // 2, meshes) > 0.1
    same, others = of_the_same_person(clips, row, 3, 128), of_other_people(clips, row, 128)
    assert same is not None
    assert others is not None
    assert (
        np.abs(same.images[0].astype(int) - clips.frames(clips.rows("test")[1], 128)[0]).max() < 2
    )
    assert len(others.images) == 1  # bob alone
    apart = np.abs(truth[0].mean((0, 1)) - others.images[0].mean((0, 1))) / 255
    assert measure.pictures(others) == pytest.approx(float(np.linalg.norm(apart)), rel=0.02)
    alone = clips.rows("test")[2]
    later = of_the_same_person(clips, alone, 4, 128)
    assert later is not None
    assert len(later.images) == 1  # of frames 4 and 5, every fourth
    assert of_the_same_person(clips, alone, 6, 128) is None
