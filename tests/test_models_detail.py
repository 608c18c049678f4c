from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import MeshMaker
from test_models_preparation import SIZE, hole

from models.bank.references import ReferenceBank
from models.detail import SAME_LIGHT, Detail, enlarge
from models.filling import Reference, make_filler
from models.preparation import prepare

FRAME = 4 * SIZE
WHOLE = (slice(0, FRAME), slice(0, FRAME))


def fine_picture(mesh_span_px: float) -> np.ndarray:
    """Skin-like noise of 2 px and 40 px together, (FRAME,FRAME,3)."""
    random = np.random.default_rng(3)
    layers = []
    for cell in (2, 40):
        count = -(-FRAME // cell)
        noise = random.normal(0, 18, (count, count, 3)).astype(np.float32)
        layers.append(cv2.resize(noise, (FRAME, FRAME), interpolation=cv2.INTER_CUBIC))
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def small(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


@pytest.fixture
def face(posed_mesh: MeshMaker) -> tuple[np.ndarray, np.ndarray]:
    """A fine picture and its mesh, both at the frame's size."""
    centre = (FRAME / 2, FRAME / 2)
    return fine_picture(FRAME / 4), posed_mesh(centre=centre, span_px=FRAME / 3.2)


def detail_of(picture: np.ndarray, mesh: np.ndarray, crop: np.ndarray) -> tuple[np.ndarray, Detail]:
    bank = ReferenceBank([Reference(picture, mesh)], SIZE)
    on_crop = mesh * np.float32(SIZE / FRAME)
    prepared = prepare(crop, hole(), on_crop, bank.mixture(on_crop))
    return prepared.reference, Detail(prepared.drawn)


def gradient_energy(picture: np.ndarray) -> float:
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return float(np.square(np.diff(grey, axis=0)).mean() + np.square(np.diff(grey, axis=1)).mean())


def test_a_fill_gets_the_stored_views_own_detail(face: tuple[np.ndarray, np.ndarray]) -> None:
    picture, mesh = face
    fill, detail = detail_of(picture, mesh, small(picture))
    assert detail.is_finer
    large = detail.enlarged(fill, FRAME, WHOLE)
    rows, columns = slice(170, 290), slice(150, 360)  # inside the hole
    bicubic = cv2.resize(fill, (FRAME, FRAME), interpolation=cv2.INTER_CUBIC)
    truth = picture[rows, columns].astype(float)
    errors = [np.square(x[rows, columns] - truth).mean() for x in (large, bicubic)]
    assert errors[0] < 0.2 * errors[1]
    assert gradient_energy(large[rows, columns]) > 0.9 * gradient_energy(picture[rows, columns])
    assert gradient_energy(bicubic[rows, columns]) < 0.5 * gradient_energy(picture[rows, columns])


def test_what_the_fill_changed_is_kept(face: tuple[np.ndarray, np.ndarray]) -> None:
    """Light that differs between stored view and frame reaches the enlarged fill too."""
    picture, mesh = face
    dark = (picture * 0.8).astype(np.uint8)
    fill, detail = detail_of(picture, mesh, small(dark))
    large = detail.enlarged(fill, FRAME, WHOLE)
    difference = cv2.blur(small(large).astype(np.float32) - fill, (9, 9))
    assert np.abs(difference)[45:70, 35:95].max() < 3
    assert np.abs(cv2.blur(small(picture).astype(np.float32) - fill, (9, 9)))[57, 64].mean() > 10


def test_the_detail_is_as_strong_as_the_light(face: tuple[np.ndarray, np.ndarray]) -> None:
    """In a dark room a bright view's pores must not show at their full contrast."""
    picture, mesh = face
    dark = (picture * 0.4).astype(np.uint8)
    fill, detail = detail_of(picture, mesh, small(dark))
    rows, columns = slice(190, 270), slice(170, 340)  # inside the hole
    large = detail.enlarged(fill, FRAME, WHOLE)
    energy, wanted = (gradient_energy(image[rows, columns]) for image in (large, dark))
    # Light up to SAME_LIGHT is taken for what is shown: by so much the detail may be too strong.
    assert 0.6 * wanted < energy < 1.05 * SAME_LIGHT**2 * wanted
    assert gradient_energy(picture[rows, columns]) > 4 * wanted


def test_a_window_is_cut_out_of_the_whole(face: tuple[np.ndarray, np.ndarray]) -> None:
    picture, mesh = face
    fill, detail = detail_of(picture, mesh, small(picture))
    window = (slice(140, 260), slice(90, 401))
    difference = detail.enlarged(fill, FRAME, window) - detail.enlarged(fill, FRAME, WHOLE)[
        window
    ].astype(int)
    assert np.abs(difference).max() <= 2  # positions are rounded to 1/32 px
    assert np.abs(difference).mean() < 0.1


def test_enlarging_a_ramp_keeps_pixel_centres() -> None:
    ramp = np.broadcast_to(np.arange(SIZE, dtype=np.float32), (SIZE, SIZE))[..., None].copy()
    wide = enlarge(ramp, FRAME, WHOLE).reshape(FRAME, FRAME)
    inner = (np.arange(FRAME) + 0.5) / 4 - 0.5
    assert np.abs(wide[10, 8:-8] - inner[8:-8]).max() < 0.02


def test_a_view_no_larger_than_the_fill_has_nothing_to_add(
    face: tuple[np.ndarray, np.ndarray],
) -> None:
    picture, mesh = face
    on_crop = mesh * np.float32(SIZE / FRAME)
    filler = make_filler("warp-register", Reference(small(picture), on_crop))
    filler.fill(small(picture), hole(), on_crop)
    assert not filler.detail.is_finer
