"""Which networks a session's tracker opens, by the settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge import tracker_opening
from edge.lens.store import lens_path
from edge.reference_choice import profile_from_frames
from edge.settings import Outline, SessionSettings, override
from edge.tracker_opening import make_tracker
from models.weights_error import WeightsError
from streaming.errors import UserError


class Missing:
    """An OutlineNet that is not there."""

    def __init__(self, threads: int) -> None:
        raise WeightsError("The network file outline_net.onnx is missing.")


@pytest.mark.parametrize("outline", ["quick", "fine"])
def test_only_a_fine_outline_needs_its_network(
    outline: Outline,
    textured_image: NDArray[np.uint8],
    canonical_mesh: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profile = profile_from_frames([textured_image], canonical_mesh[None], with_plate=False)
    monkeypatch.setattr(tracker_opening, "OutlineReader", Missing)
    # The wearer's own corrections take a second to learn, and are not what this is about.
    monkeypatch.setattr(tracker_opening, "wearer_fit", lambda reference, reader: None)
    settings = override(SessionSettings(), {"edge.outline": outline})
    if outline == "fine":
        with pytest.raises(UserError, match="outline_net"):
            make_tracker(settings, profile)
    else:
        tracker = make_tracker(settings, profile)
        assert tracker.name == "tracker"
        tracker.close()


@pytest.mark.parametrize("marker", ["", "aruco:7"])
def test_a_damaged_lens_refuses_only_a_session_that_needs_it(
    marker: str,
    textured_image: NDArray[np.uint8],
    canonical_mesh: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """It refused every session with that camera; a lens is used for a marker's pose alone."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    path = lens_path("webcam:0")
    path.parent.mkdir(parents=True)
    path.write_text("{")
    monkeypatch.setattr(tracker_opening, "wearer_fit", lambda reference, reader: None)
    profile = profile_from_frames([textured_image], canonical_mesh[None], with_plate=False)
    changes = {"edge.outline": "quick", "edge.marker": marker}
    settings = override(SessionSettings(), changes)
    if marker:
        with pytest.raises(UserError, match=r"lens .* is damaged.*calibrate-camera"):
            make_tracker(settings, profile)
    else:
        make_tracker(settings, profile).close()
