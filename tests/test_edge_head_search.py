from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.head_search import Candidate, distinct, search_crops
from edge.person_choice import check_person, choose_person
from streaming.errors import UserError


def head(x: float, side: float = 100.0, face: float = 0.9, headset: float = 0.0) -> Candidate:
    return Candidate(np.array([x, 200.0], np.float32), side, face, headset)


@given(st.integers(48, 2000), st.integers(48, 2000))
def test_the_crops_of_a_search_cover_the_frame(width: int, height: int) -> None:
    crops = search_crops((height, width, 3))
    assert len(crops) <= 5
    whole = crops[0]
    assert whole.side_px >= max(width, height)
    along = 0 if width >= height else 1
    parts = sorted((float(c.centre[along]), c.side_px) for c in crops[1:])
    if parts:
        assert parts[0][0] - parts[0][1] / 2 <= 0.5
        assert parts[-1][0] + parts[-1][1] / 2 >= max(width, height) - 0.5
        gaps = [b[0] - a[0] - a[1] for a, b in pairwise(parts)]
        assert all(gap <= 0.5 for gap in gaps)


def test_a_head_seen_in_two_crops_counts_once_by_its_better_view() -> None:
    kept = distinct([head(100, face=0.6), head(110, face=0.9), head(400)])
    assert [(float(h.centre[0]), h.face) for h in kept] == [(110, 0.9), (400, 0.9)]


def test_a_small_head_before_a_large_one_is_a_person_of_its_own() -> None:
    assert len(distinct([head(100, side=300), head(110, side=60)])) == 2


@pytest.mark.parametrize(
    ("person", "x"), [("nearest", 300), ("left", 100), ("right", 500), ("2", 300), ("4", 700)]
)
def test_the_person_to_follow_is_chosen_among_the_wearers(person: str, x: float) -> None:
    people = [head(500, 110, headset=0.9), head(100, headset=0.8), head(300, 150, headset=0.9)]
    bare = head(700, 400)
    chosen = choose_person([*people, bare], person)
    assert chosen is not None
    assert chosen.centre[0] == x


def test_without_any_headset_in_view_the_nearest_face_is_followed() -> None:
    chosen = choose_person([head(100, 90), head(200, 120)], "nearest")
    assert chosen is not None
    assert chosen.side_px == 120


def test_nobody_is_followed_when_that_person_is_not_there() -> None:
    assert choose_person([head(100)], "3") is None
    assert choose_person([], "nearest") is None


@pytest.mark.parametrize("person", ["", "0", "-1", "somebody", "1.5", "²"])
def test_a_choice_that_is_none_is_refused_with_the_choices(person: str) -> None:
    with pytest.raises(UserError, match="nearest"):
        check_person(person)
