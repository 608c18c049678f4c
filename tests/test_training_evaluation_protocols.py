"""Protocols with other holes, far-off references and erring landmarks, and who may be scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from face_clip_files import face_mesh, write_folder
from numpy.typing import NDArray

from models.filling import Reference
from streaming.errors import UserError
from training import protocol
from training.clips.faces import FaceClips
from training.evaluation import evaluate as evaluation
from training.evaluation import ghost, hard_cases, plan
from training.evaluation.worst import circumstances, worst_clips
from training.protocol import ScoredClip
from training.relighting import LIGHTS, relit

SHARED_FACES = Path(__file__).parents[2] / "shared" / "data" / "faces"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [("one", "test", "ann", 45, "free"), ("two", "test", "bob", 45, "research")]
    yaw = np.zeros(45, np.float16)
    yaw[20:41] = 15
    return write_folder(tmp_path_factory.mktemp("faces") / "set", rows, yaw)


def load(root: Path, name: str, segment: str = "one") -> ScoredClip:
    clips = FaceClips(root)
    kept, _ = plan.takes(clips, "test", name)
    return next(take for take in kept if take.row.segment == segment).load(clips, 128)


@pytest.mark.parametrize("name", [*protocol.BOXES, "face-mask"])
def test_other_holes_are_fixed_by_the_clips_place_and_differ_between_clips(
    root: Path, name: str
) -> None:
    first, again, second = load(root, name), load(root, name), load(root, name, "two")
    np.testing.assert_array_equal(first.hidden, again.hidden)
    assert (first.hidden != second.hidden).any()
    np.testing.assert_array_equal(first.truth, load(root, "hmd").truth)


def test_behind_a_face_mask_landmarks_are_the_references_where_nobody_sees(root: Path) -> None:
    clip, told = load(root, "face-mask-unseen"), load(root, "face-mask")
    np.testing.assert_array_equal(clip.hidden, told.hidden)
    np.testing.assert_array_equal(told.given, told.meshes)
    spots = np.rint(clip.meshes[..., :2]).astype(int).clip(0, 127)
    under = clip.hidden[np.arange(32)[:, None], spots[..., 1], spots[..., 0]] == 1
    assert under.any()
    assert np.abs(clip.given - clip.meshes)[~under].max() < 1e-3


def test_a_hidden_mouth_does_as_in_the_reference(canonical_mesh: NDArray[np.float32]) -> None:
    hidden = np.zeros((1, 256, 256), np.uint8)
    hidden[:, 140:] = 1
    under = canonical_mesh[:, 1] > 145
    spoken = canonical_mesh + np.array([5, 3, 0], np.float32)  # the head has moved
    spoken[under] += np.array([0, 9, 0], np.float32)  # and the mouth on its own
    own = protocol.with_own_lower_face(spoken[None], hidden, canonical_mesh)[0]
    moved = canonical_mesh + np.array([5, 3, 0], np.float32)
    np.testing.assert_allclose(own[under, :2], moved[under, :2], atol=1.0)


def test_a_static_box_stays_and_a_moving_box_moves(root: Path) -> None:
    static, moving = load(root, "static-box").hidden, load(root, "moving-box").hidden
    assert (static == static[0]).all()
    assert (moving != moving[0]).any()


def test_perturbed_landmarks_err_where_hidden_and_nowhere_else(root: Path) -> None:
    clip = load(root, "perturbed")
    assert clip.noisy_meshes is not None
    moved = np.abs(clip.given - clip.meshes)
    spots = np.rint(clip.meshes[..., :2]).astype(int)
    under = clip.hidden[np.arange(32)[:, None], spots[..., 1], spots[..., 0]] == 1
    assert not moved[~under].any()
    assert not moved[..., 2].any()
    width_px = 0.4 * 128  # of the face that the fixture makes
    assert moved[under][:, :2].std() > 0
    errors = (clip.given - clip.meshes)[under][:, :2]
    assert errors.std() == pytest.approx(0.02 * width_px, rel=0.05)
    np.testing.assert_array_equal(clip.given, load(root, "perturbed").given)


def test_relit_frames_are_those_of_hmd_in_another_light_and_the_reference_is_the_same(
    root: Path,
) -> None:
    plain, other = load(root, "hmd"), load(root, "relit")
    np.testing.assert_array_equal(other.reference_image, plain.reference_image)
    np.testing.assert_array_equal(other.hidden, plain.hidden)
    assert np.abs(other.truth.astype(int) - plain.truth).mean() > 5
    grey = np.full((2, 4, 5, 3), 100, np.uint8)
    dim, warm, side = (relit(grey, light) for light in LIGHTS)
    assert np.unique(dim).tolist() == [round(100 * 0.6 ** (1 / 2.2))]
    assert warm[0, 0, 0, 0] < 100 == warm[0, 0, 0, 1] < warm[0, 0, 0, 2]
    assert (np.diff(side[0, 0, :, 0].astype(int)) > 0).all()
    assert side[0, 0, 2, 0] == 100


class Mirror:
    """Paints the mesh's mean into the hole: what a filler makes of erring landmarks shows."""

    name = "mirror"

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    def reset(self) -> None:
        pass

    def fill(
        self, crop: NDArray[np.uint8], hidden: NDArray[np.uint8], mesh: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        told = np.abs(mesh - self.reference.mesh).max() < 0.5
        colour = self.reference.image if told else np.zeros_like(crop)
        return np.where(hidden[..., None] != 0, colour, crop)


def test_the_loss_by_erring_landmarks_is_told_in_decibels(root: Path) -> None:
    result = evaluation.evaluate_fillers(
        FaceClips(root),
        {"mirror": lambda reference, _: Mirror(reference)},  # type: ignore[arg-type]
        protocol="perturbed",
        limit_clips=1,
    )
    document = evaluation.report(result)
    scores = document["methods"]["mirror"]
    assert scores["loss_db"] > 3
    assert scores["told_psnr_db"] - scores["loss_db"] == pytest.approx(scores["psnr_db"])
    assert document["landmarks"] == "erring where hidden"


def test_turned_frames_are_those_twelve_degrees_off_the_first(root: Path) -> None:
    yaw = np.zeros(60)
    yaw[30:52], yaw[10] = 13.0, -12.5
    (case,) = hard_cases.turned_cases("clip", yaw)
    assert (case.reference, case.first, case.last) == (0, 1, 51)
    assert case.counted == (10, *range(30, 52))
    assert hard_cases.turned_cases("clip", yaw[:48]) == []
    clip = load(root, "turned")
    assert clip.segment == "one-turned"
    assert clip.scored.sum() == 21
    assert len(clip.truth) == 40 - 3 + 1  # 17 frames lead up to frame 20


def test_eye_cases_restore_closed_eyes_from_open_ones_and_the_reverse() -> None:
    openness, yaw = np.ones(120), np.zeros(120)
    openness[[5, 6]] = 0.1
    openness[80:86] = 0.1
    yaw[6], yaw[80:86] = 3.0, 3.0
    closed, opened = hard_cases.eye_cases("clip", openness, yaw)
    assert closed.kind == "closed"
    assert closed.counted == tuple(range(80, 86))
    assert openness[closed.reference] == 1
    assert not closed.first <= closed.reference <= closed.last
    assert opened.kind == "open"
    assert opened.reference == 5  # a blink outside the window, the one turned as the open frames
    assert not set(range(80, 86)) & set(opened.counted)


def test_a_clip_with_open_eyes_only_has_no_eye_case() -> None:
    assert hard_cases.eye_cases("clip", np.ones(60), np.zeros(60)) == []


def test_a_split_without_hard_frames_is_explained(root: Path) -> None:
    with pytest.raises(UserError, match=r"No clip of split 'test'.*eye-state"):
        plan.takes(FaceClips(root), "test", "eye-state")


def test_only_clips_of_the_licence_classes_are_scored(root: Path) -> None:
    kept, _ = plan.takes(FaceClips(root), "test", "hmd", ("free",))
    assert [take.row.segment for take in kept] == ["one"]
    with pytest.raises(UserError, match=r"class paid.*free, research"):
        plan.takes(FaceClips(root), "test", "hmd", ("paid",))


def test_holes_do_not_move_to_other_clips_when_a_class_is_left_out(root: Path) -> None:
    clips = FaceClips(root)
    kept, _ = plan.takes(clips, "test", "static-box", ("research",))
    np.testing.assert_array_equal(
        kept[0].load(clips, 128).hidden, load(root, "static-box", "two").hidden
    )


def eye_clip() -> ScoredClip:
    """A clip whose truth is dark and whose reference has bright stripes."""
    mesh, random = face_mesh(128), np.random.default_rng(0)
    truth = random.integers(0, 30, (4, 128, 128, 3), np.uint8)
    reference = random.integers(100, 255, (128, 128, 3), np.uint8)
    meshes = np.repeat(mesh[None], 4, axis=0)
    return ScoredClip("s", "who", reference, mesh, truth, meshes, np.ones((4, 128, 128), np.uint8))


def test_a_ghost_is_whole_in_the_reference_half_in_a_mixture_and_none_in_the_truth() -> None:
    clip = eye_clip()
    pasted = np.repeat(clip.reference_image[None], 4, axis=0)
    mixture = ((pasted.astype(int) + clip.truth) // 2).astype(np.uint8)
    assert ghost.ghost_share(clip.truth, clip) == 0
    assert ghost.ghost_share(pasted, clip) == pytest.approx(1, abs=0.02)
    assert ghost.ghost_share(mixture, clip) == pytest.approx(0.5, abs=0.02)
    lighter = np.clip(clip.truth.astype(int) + 40, 0, 255).astype(np.uint8)
    assert abs(ghost.ghost_share(lighter, clip)) < 0.01


def test_the_worst_clips_come_first_with_what_is_special_about_them() -> None:
    clip = eye_clip()
    told = {"good": circumstances(clip), "bad": circumstances(clip) | {"turn_deg": 25.0}}
    assert told["good"]["turn_deg"] == pytest.approx(0, abs=1e-3)
    assert told["good"]["movement"] == 0
    told["bare"] = told["good"]  # nothing was hidden in it
    scores = {"good": {"psnr_masked_db": 30.0}, "bad": {"psnr_masked_db": 12.0}, "bare": {}}
    worst = worst_clips({"methods": {"m": {"per_clip": scores}}}, told)["m"]
    assert [each["segment"] for each in worst] == ["bad", "good"]
    assert worst[0]["circumstances"]["turn_deg"] == 25.0
    assert worst[0]["median"]["turn_deg"] == pytest.approx(0, abs=1e-3)


@pytest.mark.skipif(not SHARED_FACES.is_dir(), reason="needs ../shared/data/faces")
def test_the_written_list_of_hard_frames_is_what_the_rule_finds() -> None:
    clips, listed = FaceClips(SHARED_FACES), hard_cases.listed_cases()
    assert set(listed) == {"val", "test"}
    for split, protocols in listed.items():
        for name, cases in protocols.items():
            found = [
                case for row in clips.rows(split) for case in hard_cases.find(clips, row, name)
            ]
            assert found == cases
