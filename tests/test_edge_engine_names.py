"""What a session's report says about who found the face and what ran the networks."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from conftest import MeshMaker

from edge.covers.cover_trackers import AutoTracker, MindingTracker
from edge.covers.face_mask_tracker import FaceMaskTracker
from edge.engine_names import engine_names
from edge.filler_opening import open_filler
from edge.headset_tracker import HeadsetTracker
from edge.settings import ModelsSettings, SessionSettings, override
from models.filling import PasteFiller, Reference
from models.lower_face import LowerFace
from streaming.errors import UserError

ENGINE = "onnxruntime CPU INT8"
TOLD = override(SessionSettings(), {"hmd_capture.eyes": "oracle"})  # no network reads the eyes


class Reader:
    """A headset network that was opened."""

    engine_name = ENGINE


@pytest.fixture
def filler(posed_mesh: MeshMaker) -> PasteFiller:
    return PasteFiller(Reference(np.zeros((128, 128, 3), np.uint8), posed_mesh()))


def test_the_trackers_engine_is_named_although_another_tracker_minds_the_cover(
    filler: PasteFiller,
) -> None:
    """Reports of every ordinary session once left the tracker out."""
    tracker = HeadsetTracker(128, cast(Any, Reader()), None)
    minding = MindingTracker(tracker, "headset", cast(Any, None))
    assert engine_names(filler, minding, TOLD) == {"tracker": ENGINE}


def test_an_automatic_choice_begins_with_the_headsets_tracker(
    filler: PasteFiller, posed_mesh: MeshMaker
) -> None:
    headset = HeadsetTracker(128, cast(Any, Reader()), None)
    mask = FaceMaskTracker(128, cast(Any, None), cast(Any, None), LowerFace(posed_mesh()))
    auto = AutoTracker({"headset": headset, "face-mask": mask}, {})
    assert engine_names(filler, auto, TOLD) == {"tracker": ENGINE}
    assert auto.name == "tracker"


def test_an_unknown_filler_is_one_sentence_and_the_choice() -> None:
    with pytest.raises(UserError) as told:
        open_filler(ModelsSettings(filler="best"), cast(Any, None), cast(Any, None), print)
    assert told.value.message == "There is no filler 'best'."
    assert "auto, paste" in told.value.next_step
