"""The bare picture beside a crop, and OutlineNet's reading of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.headset.bare_look import BareLook
from models.headset.contract import MASK_PX, SIZE_PX
from models.headset.head_crop import HeadCrop, crop_of_mesh
from models.outlines.contract import (
    BARE,
    HEIGHT_PX,
    KNOWN,
    SEEN,
    SOFT,
    STRANGE,
    WIDTH_PX,
    outline_net_contract,
)
from models.outlines.look import outline_look
from models.outlines.reader import SHIPPED_OUTLINE_NET, OutlineReader, WearersOutline
from models.outlines.window import Window, enlarged, window_around
from models.reference import Reference
from models.weights_error import WeightsError

MeshMaker = Callable[..., NDArray[np.float32]]
ImageU8 = NDArray[np.uint8]
HEADSET = np.s_[75:160, 60:200]
WHOLE = (slice(0, SIZE_PX), slice(0, SIZE_PX))


@pytest.fixture
def person(textured_image: ImageU8, canonical_mesh: NDArray[np.float32]) -> Reference:
    return Reference(np.asarray(textured_image // 3 + 100, np.uint8), canonical_mesh)


def soft_outline(crop: HeadCrop) -> NDArray[np.float32]:
    mask = np.zeros((256, 256, 3), np.uint8)
    mask[HEADSET] = 255
    cut = cv2.resize(crop.cut(mask), (MASK_PX, MASK_PX), interpolation=cv2.INTER_AREA)
    return (cut[..., 0] / 255).astype(np.float32)


def worn(image: ImageU8) -> ImageU8:
    camera = image.copy()
    camera[HEADSET] = (38, 36, 35)
    return camera


def difference(beside: ImageU8, cut: ImageU8, soft: NDArray[np.float32]) -> float:
    """Mean difference of the bare picture from the crop where no headset is, 8-bit steps."""
    hidden = cv2.resize(soft, (SIZE_PX, SIZE_PX)) > 0
    compared = (beside[..., 3] == 255) & ~hidden
    return float(np.abs(beside[..., :3].astype(int) - cut)[compared].mean())


def test_the_picture_lies_where_the_head_is_now(person: Reference) -> None:
    motion = np.array([[1.1, 0.15, -20.0], [-0.15, 1.1, 25.0]], np.float32)
    image = cv2.warpAffine(person.image, motion, (256, 256), borderMode=cv2.BORDER_REPLICATE)
    mesh = person.mesh.copy()
    mesh[:, :2] = mesh[:, :2] @ motion[:, :2].T + motion[:, 2]
    crop = crop_of_mesh(mesh)
    cut = crop.cut(np.asarray(image, np.uint8))
    nothing = np.zeros((MASK_PX, MASK_PX), np.float32)
    beside = BareLook(person).beside(crop.points_in_crop(mesh), None, WHOLE)
    assert (beside[..., 3] == 255).mean() > 0.5
    assert difference(beside, cut, nothing) < 4
    astray = crop_of_mesh(person.mesh).points_in_crop(mesh)
    still = BareLook(person).beside(astray, None, WHOLE)
    assert difference(still, cut, nothing) > 8


def test_the_picture_is_shown_in_the_light_of_the_crop(person: Reference) -> None:
    dimmer = np.clip(worn(person.image) * np.array([0.5, 0.6, 0.7]) + 9, 0, 255).astype(np.uint8)
    crop = crop_of_mesh(person.mesh)
    soft, cut = soft_outline(crop), crop.cut(dimmer)
    look, points = BareLook(person), crop.points_in_crop(person.mesh)
    light = look.evidence(soft, cut, points).light
    assert difference(look.beside(points, light, WHOLE), cut, soft) < 3
    unlit = crop.cut(person.image)
    assert difference(np.dstack([unlit, np.full_like(unlit[..., 0], 255)]), cut, soft) > 30


def test_a_look_has_the_channels_of_the_contract(person: Reference) -> None:
    crop = crop_of_mesh(person.mesh)
    soft, cut = soft_outline(crop), crop.cut(worn(person.image))
    window = window_around(soft)
    beside = BareLook(person).beside(crop.points_in_crop(person.mesh), None, window.area)
    look = outline_look(cut, soft, beside, window)
    assert look.shape == outline_net_contract().inputs[0].shape[1:]
    np.testing.assert_array_equal(look[SEEN], cut[window.area][..., ::-1].transpose(2, 0, 1))
    np.testing.assert_array_equal(look[BARE], beside[..., 2::-1].transpose(2, 0, 1))
    np.testing.assert_array_equal(look[KNOWN][0], beside[..., 3])
    hidden = cv2.resize(soft, (SIZE_PX, SIZE_PX))[window.area]
    assert np.abs(look[SOFT][0] / 255 - hidden).max() < 0.01
    strange = look[STRANGE][0]
    assert np.median(strange[hidden > 0.99]) > 200  # bright skin, and a dark headset there
    assert np.median(strange[(hidden == 0) & (look[KNOWN][0] == 255)]) < 8


def test_the_bare_picture_of_a_window_is_a_part_of_the_whole_one(person: Reference) -> None:
    points = HeadCrop(np.array([120, 125], np.float32), 190, 0.2).points_in_crop(person.mesh)
    whole = BareLook(person).beside(points, None, WHOLE).astype(int)
    for window in (Window(0, 0), Window(31, 9)):
        part = BareLook(person).beside(points, None, window.area)
        assert np.abs(part - whole[window.area]).max() <= 2  # warps round differently


@pytest.mark.parametrize(("rows", "columns"), [((20, 60), (10, 80)), ((50, 96), (40, 96))])
def test_the_window_holds_the_outline_and_some_of_its_surroundings(
    rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    soft = np.full((MASK_PX, MASK_PX), 1e-4, np.float32)
    soft[slice(*rows), slice(*columns)] = 0.9
    soft[90:, :4] = 0.6  # a speck
    window = window_around(soft)
    shown = enlarged(soft)[window.area]
    assert shown.shape == (HEIGHT_PX, WIDTH_PX)
    assert (shown > 0.8).sum() > 0.99 * (enlarged(soft) > 0.8).sum()
    above, below = 2 * rows[0] - window.top, window.top + HEIGHT_PX - 2 * rows[1]
    assert min(above, below) >= 16 or window.top in (0, SIZE_PX - HEIGHT_PX)


def test_a_window_stays_in_the_crop() -> None:
    assert Window(30, 8).moved(99, -99) == Window(SIZE_PX - HEIGHT_PX, 0)
    assert window_around(np.zeros((MASK_PX, MASK_PX), np.float32)) == Window(32, 8)


@pytest.mark.parametrize("reader", [None, OutlineReader])
def test_the_outline_of_a_plain_headset_is_drawn(
    reader: type[OutlineReader] | None, person: Reference
) -> None:
    crop = crop_of_mesh(person.mesh)
    soft, cut = soft_outline(crop), crop.cut(worn(person.image))
    outline = WearersOutline(person, reader() if reader else None)
    points = crop.points_in_crop(person.mesh)
    found = outline.drawn(soft, crop, cut, points, worn(person.image)) > 0
    wanted = np.zeros(found.shape, bool)
    wanted[HEADSET] = True
    assert (found & wanted).sum() / (found | wanted).sum() > 0.95


def test_only_looks_of_its_size_are_read(tmp_path: Path) -> None:
    reader = OutlineReader(SHIPPED_OUTLINE_NET)
    with pytest.raises(ValueError, match="look"):
        reader.read(np.zeros((3, SIZE_PX, SIZE_PX), np.uint8))
    with pytest.raises(WeightsError):
        OutlineReader(tmp_path / "none.onnx")
