from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from conftest import MeshMaker
from hypothesis import given, settings
from hypothesis import strategies as st
from test_models_preparation import SIZE, crop_mesh, hole, smooth_image

from models import preparation, registration, warp
from models.bank.choice import choose_views
from models.bank.layers import Layer, Mixture, draw
from models.bank.look import Look, look_of
from models.bank.mixing import LARGEST_EYE_STEP, LARGEST_STEP, ViewMixer
from models.bank.references import ReferenceBank
from models.eyes.posing import with_eyes_of
from models.face.mesh import EYES, NOSE_TIP
from models.filling import NetworkFiller, make_filler
from models.memory.session import SessionMemory
from models.preparation import Reference

NOTHING = np.zeros((SIZE, SIZE), np.uint8)


def at(pose: float, lids: float = 0.0) -> Look:
    """A look of one-dimensional pose and lids, as if measured."""
    line = np.array([pose, 0.0], np.float32)
    return Look(line, line, line, np.full((2, 36), lids, np.float32))


def flat(mesh: np.ndarray, value: int) -> Reference:
    return Reference(np.full((SIZE, SIZE, 3), value, np.uint8), mesh)


def test_a_bank_of_one_view_prepares_what_that_view_alone_does(posed_mesh: MeshMaker) -> None:
    reference = Reference(smooth_image(1), crop_mesh(posed_mesh()))
    mesh, crop = crop_mesh(posed_mesh(yaw_deg=15.0)), smooth_image(2)
    filled = make_filler("warp-register", [reference]).fill(crop, hole(), mesh)
    memory = SessionMemory(reference.mesh)
    steady = memory.landmarks.step(mesh, hole())
    posed = with_eyes_of(reference, steady)
    change = registration.load_prior().pose_change(steady, reference.mesh)
    mixture = Mixture((Layer(posed, posed.image, posed.image),), change)
    prepared = preparation.prepare(crop, hole(), steady, mixture, None, memory)
    alone = preparation.compose(prepared.reference, crop, hole())
    assert np.abs(filled.astype(int) - alone).max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-9, 9), min_size=1, max_size=6, unique=True),
    st.lists(st.floats(-12, 12), min_size=2, max_size=40),
)
def test_weights_sum_to_one_and_change_by_a_bounded_amount(
    views: list[float], poses: list[float]
) -> None:
    mixer = ViewMixer([at(view) for view in views])
    before: dict[int, float] = {}
    for number, pose in enumerate(poses):
        weights = dict(mixer.step(at(pose)).weights)
        assert 1 <= len(weights) <= 2
        assert sum(weights.values()) == pytest.approx(1)
        assert min(weights.values()) > 0
        for view in {*weights, *before} if number else ():
            change = abs(weights.get(view, 0.0) - before.get(view, 0.0))
            assert change <= LARGEST_STEP + 1e-6
        before = weights


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-0.05, 0.05), min_size=2, max_size=40))
def test_an_eyes_share_changes_by_a_bounded_amount_and_its_view_only_when_unseen(
    lids: list[float],
) -> None:
    mixer = ViewMixer([at(0.0), at(9.0, 0.03), at(9.0, -0.03)])
    before = mixer.step(at(0.0, lids[0])).eyes[0]
    for value in lids[1:]:
        after = mixer.step(at(0.0, value)).eyes[0]
        if after.view == before.view:
            assert abs(after.share - before.share) <= LARGEST_EYE_STEP + 1e-6
        else:
            assert before.share == 0
            assert after.share <= LARGEST_EYE_STEP + 1e-6
        before = after


def test_every_view_gets_all_the_weight_when_the_head_stays_in_its_pose() -> None:
    mixer = ViewMixer([at(view) for view in (0.0, 5.0, 10.0)])
    for pose, view in ((0.0, 0), (10.0, 2), (5.0, 1), (0.0, 0)):
        for _ in range(15):
            mix = mixer.step(at(pose))
        assert mix.weights == ((view, 1.0),)


def test_the_first_frame_and_one_after_a_reset_get_what_suits_them_at_once() -> None:
    mixer = ViewMixer([at(0.0, 0.0), at(10.0, 0.03)])
    assert mixer.step(at(10.0)).weights == ((1, 1.0),)
    assert mixer.step(at(0.0)).weights != ((0, 1.0),)
    mixer.reset()
    mix = mixer.step(at(0.0, 0.03))
    assert mix.weights == ((0, 1.0),)
    assert mix.eyes[0].view == mix.eyes[1].view == 1
    assert mix.eyes[0].share == 1.0


def test_a_head_trembling_between_two_poses_keeps_its_views() -> None:
    """At the border of who is second, the pair in use is not given up at every frame."""
    random = np.random.default_rng(5)
    mixer, pairs = ViewMixer([at(view) for view in (0.0, 4.0, -4.0)]), set()
    mixer.step(at(0.4))
    for jitter in random.normal(0, 0.02, 50):
        pairs.add(frozenset(dict(mixer.step(at(jitter)).weights)) - {0})
    assert not {frozenset({1}), frozenset({2})} <= pairs


def test_switching_views_never_makes_the_picture_jump(posed_mesh: MeshMaker) -> None:
    """Two views 100 grey levels apart, and a head that turns from one to the other and back."""
    ahead, turned = crop_mesh(posed_mesh()), crop_mesh(posed_mesh(yaw_deg=25.0))
    bank = ReferenceBank([flat(ahead, 60), flat(turned, 160)], SIZE)
    there = [crop_mesh(posed_mesh(yaw_deg=float(yaw))) for yaw in np.arange(0, 25, 2.5)]
    shown = []
    for mesh in [*there, *[turned] * 6, *there[::-1], *[ahead] * 6]:
        prepared = preparation.prepare(
            np.full((SIZE, SIZE, 3), 60, np.uint8),
            np.ones((SIZE, SIZE), np.uint8),
            mesh,
            bank.mixture(mesh),
        )
        shown.append(prepared.drawn.image.astype(int))
    assert shown[0].max() < 65
    assert shown[len(there) + 5].min() > 155
    assert shown[-1].max() < 65
    jumps = [np.abs(after - before).max() for before, after in itertools.pairwise(shown)]
    assert max(jumps) <= 100 * LARGEST_STEP + 2


def test_closing_eyes_come_from_the_closed_view_and_the_rest_does_not(
    posed_mesh: MeshMaker,
) -> None:
    opened, closed = posed_mesh(), posed_mesh(yaw_deg=20.0, closed=1.0)
    turned = posed_mesh(yaw_deg=20.0)
    views = [
        flat(crop_mesh(mesh), level)
        for mesh, level in zip((opened, closed, turned), (60, 160, 60), strict=True)
    ]
    bank = ReferenceBank(views, SIZE)
    eyes, noses = [], []
    for shut in (0.0, 1.0, 1.0, 1.0, 1.0):
        mesh = crop_mesh(posed_mesh(closed=shut))
        crop = np.full((SIZE, SIZE, 3), 60, np.uint8)
        picture = preparation.prepare(crop, NOTHING, mesh, bank.mixture(mesh)).drawn.image
        lids = [mesh[[*eye.upper_lid, *eye.lower_lid], :2].mean(0) for eye in EYES]
        eyes.append([int(picture[y, x, 0]) for x, y in np.rint(lids).astype(int)])
        noses.append(int(picture[tuple(np.rint(mesh[NOSE_TIP, 1::-1]).astype(int))][0]))
    assert max(eyes[0]) < 65
    assert min(eyes[-1]) > 120
    assert max(noses) < 65


def test_what_will_be_seen_of_a_view_stays_as_sharp_as_it_is(posed_mesh: MeshMaker) -> None:
    random, mesh = np.random.default_rng(0), crop_mesh(posed_mesh())
    rough = cv2.GaussianBlur(random.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8), (0, 0), 0.8)
    layers = ReferenceBank([Reference(rough, mesh)], SIZE).mixture(mesh).layers
    halfway = [warp.identity_map(SIZE) + np.float32(0.5)]
    window = (slice(30, 60), slice(20, 90))
    plain, sharp = draw(layers, halfway), draw(layers, halfway, sharp=window)
    assert plain[window].std() < 0.85 * rough[window].std()
    assert sharp[window].std() == pytest.approx(rough[window].std(), rel=0.05)
    elsewhere = np.ones((SIZE, SIZE), bool)
    elsewhere[window] = False
    assert np.array_equal(plain[elsewhere], sharp[elsewhere])


def test_views_differ_by_pose_and_lids_but_not_by_place_and_size(posed_mesh: MeshMaker) -> None:
    here = look_of(posed_mesh())
    moved = look_of(posed_mesh(centre=(90.0, 140.0), span_px=55.0, roll_deg=12.0))
    turned, shut = look_of(posed_mesh(yaw_deg=20.0)), look_of(posed_mesh(closed=1.0))
    assert np.abs(moved.pose - here.pose).max() < 0.1
    assert np.abs(moved.lids - here.lids).max() < 0.01
    assert np.linalg.norm(turned.pose - here.pose) > 1
    assert np.abs(shut.pose - here.pose).max() < 1e-3
    assert np.abs(shut.lids - here.lids).max() > 0.03


def test_views_are_spread_over_the_poses_with_the_first_and_the_closed_one_among_them() -> None:
    looks = [at(pose) for pose in (0.0, 0.1, 8.0, 8.5, -8.1, 0.2, 30.0)]
    usable = np.array([True] * 6 + [False])
    assert choose_views(looks, usable, first=1, closed=5, count=4) == [1, 5, 3, 4]


def test_views_that_show_nothing_new_are_left_out() -> None:
    looks = [at(pose) for pose in np.linspace(0, 1, 20)] + [at(5.0)]
    assert choose_views(looks, np.ones(21, bool), first=0) == [0, 20]


def test_a_bank_needs_a_view() -> None:
    with pytest.raises(ValueError, match="at least one view"):
        ReferenceBank([], SIZE)


class CountingEngine:
    """A network that leaves its input's reference as it is and counts its resets."""

    size_px = SIZE

    def __init__(self) -> None:
        self.resets = 0

    def step(self, inputs: np.ndarray) -> np.ndarray:
        return inputs[:, -3:]

    def reset(self) -> None:
        self.resets += 1


def test_a_switch_of_views_leaves_the_networks_states_alone(posed_mesh: MeshMaker) -> None:
    ahead, turned = crop_mesh(posed_mesh()), crop_mesh(posed_mesh(yaw_deg=25.0))
    engine = CountingEngine()
    filler = NetworkFiller(ReferenceBank([flat(ahead, 60), flat(turned, 160)], SIZE), engine)
    for mesh in (ahead, turned, turned, ahead):
        filler.fill(smooth_image(), hole(), mesh)
    assert engine.resets == 0
    assert filler.detail is not None
    on_its_way = filler.begin(smooth_image(), hole(), ahead)
    filler.reset()
    assert filler.detail is None
    on_its_way()  # a frame from before the reset, which another thread ends after it
    assert engine.resets == 0
    for _ in range(2):
        filler.fill(smooth_image(), hole(), ahead)
    assert engine.resets == 1
