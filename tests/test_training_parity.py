"""How far an INT8 network is from the original: on clips, and over a long loop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.shipped import SHIPPED_INT8, SHIPPED_NETWORK
from training.quantisation import parity
from training.quantisation.long_check import long_scores

FRAMES = 5


class DrawnClips:
    """Stands in for a folder of clips: a textured face that turns."""

    def __init__(self, image: NDArray[np.uint8], meshes: NDArray[np.float32]) -> None:
        self._images = np.stack([np.roll(image[:128, :128], 2 * i, 1) for i in range(FRAMES)])
        self._meshes = meshes

    def rows(self, split: str) -> list[Any]:
        return [ROW]

    def frames(self, row: Any, size_px: int) -> NDArray[np.uint8]:
        return self._images

    def meshes(self, row: Any, size_px: int) -> NDArray[np.float32]:
        return self._meshes


@pytest.fixture
def clips(textured_image: NDArray[np.uint8], posed_mesh: Any) -> Any:
    turned = [posed_mesh(yaw_deg=3 * i, centre=(64, 58), span_px=40) for i in range(FRAMES)]
    return DrawnClips(textured_image, np.stack(turned))


ROW: Any = SimpleNamespace(segment="drawn", identity="nobody", split="val", frames=FRAMES)


def test_a_network_agrees_with_itself(clips: Any) -> None:
    found = parity.check_parity(SHIPPED_NETWORK, SHIPPED_NETWORK, clips, [ROW], 128)
    assert (found.clips, found.frames, found.worst_drop_db) == (1, FRAMES - 1, 0.0)
    assert found.agreement_db == parity.LARGEST_DB
    assert found.psnr_db == found.int8_psnr_db


def test_the_int8_network_is_near_and_does_not_drift(
    clips: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = parity.check_parity(SHIPPED_NETWORK, SHIPPED_INT8, clips, [ROW], 128)
    assert 40 < found.agreement_db < parity.LARGEST_DB
    assert abs(found.worst_drop_db) < 0.3
    monkeypatch.setattr(parity, "WINDOW", 4)
    assert parity.check_drift(SHIPPED_NETWORK, SHIPPED_INT8, clips, ROW, 128, 7) == {}
    drift = parity.check_drift(SHIPPED_NETWORK, SHIPPED_INT8, clips, ROW, 128, 12)
    assert drift["frames"] == 12
    assert drift["least_db"] <= min(drift["first_db"], drift["last_db"])
    assert drift["last_db"] > drift["first_db"] - 6


def test_long_runs_go_back_and_forth_without_a_reset(clips: Any) -> None:
    pair = (SHIPPED_NETWORK, SHIPPED_INT8)
    found = long_scores(pair, clips, [ROW], 128, 2 * FRAMES, None)
    assert (found.clips, found.frames_each) == (1, 2 * FRAMES)
    assert abs(found.psnr_db - found.int8_psnr_db) < 0.3
    assert found.worst_drop_db == pytest.approx(found.psnr_db - found.int8_psnr_db)
    assert 40 < found.agreement_db < parity.LARGEST_DB
    assert np.isnan(found.lpips)  # no network for it was given
