"""The demo's profile from a camera: made, or given up in a sentence when the camera is gone."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from edge import demo_profile
from edge.demo_profile import profile_of_source
from edge.settings import CameraSettings
from edge.webcam import Webcam
from streaming.errors import UserError


class Unplugged:
    """A camera that gives some pictures and is never seen again."""

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures

    def isOpened(self) -> bool:
        return self.pictures > 0

    def read(self) -> tuple[bool, NDArray[Any]]:
        self.pictures -= 1
        return self.pictures >= 0, np.zeros((48, 64, 3), np.uint8)

    def release(self) -> None:
        self.pictures = 0


class Blind:
    """Sees no face, quickly."""

    def __init__(self, max_faces: int) -> None:
        """As `FaceMesher`."""

    def __enter__(self) -> Blind:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to free."""

    def meshes(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        return []


@pytest.mark.parametrize("pictures", [1, 7])
def test_a_camera_that_is_lost_meanwhile_is_not_waited_for_for_ever(
    pictures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Unplugged(pictures)
    camera = Webcam("0", fps=10.0, open_device=lambda *_: device)
    monkeypatch.setattr(demo_profile, "open_source", lambda settings: camera)
    monkeypatch.setattr(demo_profile, "FaceMesher", Blind)
    monkeypatch.setattr(demo_profile, "PATIENCE_S", 0.4)
    began = time.monotonic()
    with pytest.raises(UserError, match="camera was lost"):
        profile_of_source(CameraSettings(source="webcam:0", seconds=2.0), Console())
    assert time.monotonic() - began < 10


def test_a_camera_that_shows_nobody_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Unplugged(100)
    camera = Webcam("0", fps=10.0, open_device=lambda *_: device)
    monkeypatch.setattr(demo_profile, "open_source", lambda settings: camera)
    monkeypatch.setattr(demo_profile, "FaceMesher", Blind)
    with pytest.raises(UserError, match="face"):
        profile_of_source(CameraSettings(source="webcam:0", seconds=2.0), Console())
    assert not device.pictures  # given back
