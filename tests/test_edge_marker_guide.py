"""A rigid head with a marker, and a network that sees visible points and guesses hidden ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from marker_views import View, draw, turn, view

from edge.marker.detector import read_marker
from edge.marker.guide import MarkerGuide
from models.headset.contract import MASK_PX
from models.headset.head_crop import crop_of_mesh
from models.headset.reader import HeadsetReading

FRAME_NS = 66_000_000
HIDDEN_ROWS = (-0.45, 0.35)  # spans above and below the eye line
LEARNING = 30  # frames


class Session:
    """Shows one head after the other to a guide."""

    def __init__(self, face: np.ndarray, moving: float = 1.0) -> None:
        choice = read_marker("aruco:7")
        assert choice is not None
        self.choice = choice
        self.guide = MarkerGuide(choice)
        self.face = face
        self.hidden = (face[:, 1] > HIDDEN_ROWS[0]) & (face[:, 1] < HIDDEN_ROWS[1])
        self.moving = moving
        self.index = 0
        self.random = np.random.default_rng(4)
        self.guess = np.zeros(3)

    def pose(self) -> View:
        t, m = self.index * FRAME_NS / 1e9, self.moving
        place = (0.06 * m * np.sin(2 * t), 0.02 * m * np.sin(t), 0.55 + 0.04 * m * np.sin(t))
        return view(18 * m * np.sin(1.7 * t), 9 * m * np.sin(1.1 * t + 1), 5 * m * np.sin(t), place)

    def see(
        self,
        marker: str = "aruco:7",
        worn: float = 0.95,
        slipped: float = 0.0,
        covered: bool = False,
    ) -> tuple[float, float]:
        """One frame; errors of the hidden points in spans, of the network and of the guide."""
        self.index += 1
        seen = self.pose()
        true = seen.mesh(self.face + np.array([0, slipped, 0]))
        network = self.network(true)
        image = np.full((480, 640, 3), 60, np.uint8)
        choice = read_marker(marker)
        if choice is not None:
            draw(image, seen, choice, 0.5)
        if covered:
            x, y = seen.corners().mean(axis=0).astype(int)
            image[y - 60 : y + 60, x : x + 80] = 120
        crop = crop_of_mesh(network)
        reading = self.reading(seen, network, worn)
        guided = self.guide.guided(image, network, reading, crop, self.index * FRAME_NS)
        self.network_mesh, self.guided_mesh, self.true = network, guided, true
        return self.error(network), self.error(guided)

    def network(self, true: np.ndarray) -> np.ndarray:
        """The truth with a little noise, hidden points off together by what changes slowly."""
        span = np.linalg.norm(true[33] - true[263])
        self.guess = 0.6 * self.guess + self.random.normal(0, 0.035, 3)
        off = self.random.normal(0, 0.006, true.shape) + self.hidden[:, None] * self.guess
        return np.asarray(true + off * span, np.float32)

    def reading(self, seen: View, network: np.ndarray, worn: float) -> HeadsetReading:
        crop = crop_of_mesh(network)
        matrix = crop.frame_from_share
        linear = np.linalg.inv(matrix[:, :2]).T
        top, bottom = HIDDEN_ROWS
        outline = [(-1, top, -0.1), (1, top, -0.1), (1, bottom, -0.1), (-1, bottom, -0.1)]
        on_crop = (seen.seen(np.array(outline, np.float64)) - matrix[:, 2]) @ linear
        mask = np.zeros((MASK_PX, MASK_PX), np.float32)
        cv2.fillPoly(mask, [np.round(on_crop * MASK_PX).astype(np.int32)], 1.0)
        xy = (network[:, :2] - matrix[:, 2]) @ linear
        mesh = np.column_stack([xy, network[:, 2] / crop.side_px]).astype(np.float32)
        return HeadsetReading(mask * worn, mesh, np.full(478, 0.01, np.float32), 0.95, worn, ())

    def error(self, mesh: np.ndarray) -> float:
        span = np.linalg.norm(self.true[33] - self.true[263])
        miss = np.linalg.norm((mesh - self.true)[self.hidden, :2], axis=1)
        return float(miss.mean() / span)

    def errors(self, frames: int, **how: object) -> np.ndarray:
        """Mean errors (2,): the network's and the guide's."""
        return np.mean([self.see(**how) for _ in range(frames)], axis=0)  # type: ignore[arg-type]

    @property
    def is_network_only(self) -> bool:
        return bool(np.array_equal(self.guided_mesh, self.network_mesh))


@pytest.fixture
def session(face_in_spans) -> Session:  # type: ignore[no-untyped-def]
    return Session(face_in_spans)


@pytest.mark.parametrize("moving", [1.0, 0.2])
def test_hidden_points_are_far_nearer_to_the_truth_with_the_marker(face_in_spans, moving) -> None:  # type: ignore[no-untyped-def]
    session = Session(face_in_spans, moving)
    session.errors(LEARNING)
    network, guided = session.errors(30)
    assert network > 0.035
    assert guided < 0.5 * network


def test_visible_points_stay_the_networks(session: Session) -> None:
    session.errors(LEARNING)
    chin = 152
    assert session.guide.is_guiding
    assert np.array_equal(session.guided_mesh[chin], session.network_mesh[chin])


def test_until_enough_was_learned_the_network_has_it(session: Session) -> None:
    session.errors(3)
    assert session.is_network_only


@pytest.mark.parametrize("other", ["aruco:8", "apriltag:7", ""])
def test_another_marker_changes_nothing(session: Session, other: str) -> None:
    session.errors(25, marker=other)
    assert session.is_network_only


def test_a_covered_marker_hands_over_softly_and_takes_over_again(session: Session) -> None:
    session.errors(LEARNING)
    shares = []
    for _ in range(6):
        session.see(covered=True)
        moved = np.abs(session.guided_mesh - session.network_mesh).max()
        shares.append(float(moved))
    assert shares[0] > shares[1] > shares[2] > 0
    assert shares[-1] == 0
    session.errors(6)
    network, guided = session.errors(15)
    assert guided < 0.75 * network


def test_taking_the_headset_off_forgets_how_the_marker_sat(session: Session) -> None:
    session.errors(LEARNING)
    session.errors(10, worn=0.05)
    assert session.is_network_only
    session.see()
    assert not session.guide.is_guiding


def test_a_headset_that_slipped_is_noticed_and_learned_anew(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.errors(LEARNING)
    with caplog.at_level("INFO"):
        session.errors(2 * LEARNING, slipped=0.3)
    assert "learning its place anew" in caplog.text
    network, guided = session.errors(15, slipped=0.3)
    assert guided < network


def test_a_lost_head_is_found_where_the_marker_is(session: Session) -> None:
    session.errors(LEARNING)
    session.guide.lose()
    away = view(-10, 5, 8, place=(0.1, -0.05, 0.75))
    image = np.full((480, 640, 3), 60, np.uint8)
    assert session.guide.crop_again(image, session.index * FRAME_NS) is None
    draw(image, away, session.choice, 0.5)
    crop = session.guide.crop_again(image, (session.index + 30) * FRAME_NS)
    wanted = crop_of_mesh(away.mesh(session.face))
    assert crop is not None
    assert np.linalg.norm(crop.centre - wanted.centre) < 0.08 * wanted.side_px
    assert crop.side_px == pytest.approx(wanted.side_px, rel=0.1)


def test_long_after_a_loss_another_person_may_wear_it(session: Session) -> None:
    session.errors(LEARNING)
    session.guide.lose()
    image = np.full((480, 640, 3), 60, np.uint8)
    draw(image, session.pose(), session.choice, 0.5)
    later_ns = session.index * FRAME_NS + 20_000_000_000
    assert session.guide.crop_again(image, later_ns) is None
    session.index += round(20e9 / FRAME_NS)
    session.see()
    assert session.is_network_only


def test_of_two_copies_the_one_on_this_head_counts(session: Session) -> None:
    session.errors(LEARNING)
    seen = session.pose()
    far = View(turn(), np.array([0.3, 0.15, 1.2]), seen.marker_turn)
    image = np.full((480, 640, 3), 60, np.uint8)
    for drawn in (far, seen):
        draw(image, drawn, session.choice, 0.5)
    network = session.network(seen.mesh(session.face))
    session.true = seen.mesh(session.face)
    reading = session.reading(seen, network, 0.95)
    time_ns = (session.index + 1) * FRAME_NS
    guided = session.guide.guided(image, network, reading, crop_of_mesh(network), time_ns)
    assert session.error(guided) < 0.03  # by the far copy it would be many spans off
