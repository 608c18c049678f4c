from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import membrane, preparation, warp
from models.bank.references import ReferenceBank
from models.blending import blend
from models.contract import CONTOURS, KNOWN_RGB, MASK, REFERENCE_RGB
from models.face.raster import FaceRaster
from models.filling import FILLERS, make_filler
from models.preparation import Reference
from models.preparer import Preparer

SIZE = 128


def crop_mesh(canonical_mesh: np.ndarray, shift=(0.0, 0.0), scale: float = 1.0) -> np.ndarray:
    """The canonical mesh framed in a crop."""
    low, high = canonical_mesh[:468, :2].min(0), canonical_mesh[:468, :2].max(0)
    ratio = scale * 80 / (high - low).max()
    mesh = (canonical_mesh - np.array([*(low + high) / 2, 0])) * ratio
    mesh[:, :2] += SIZE / 2 + np.array(shift)
    return mesh.astype(np.float32)


def smooth_image(seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 12, 3)).astype(np.uint8)
    return preparation.cv2.resize(coarse, (SIZE, SIZE), interpolation=preparation.cv2.INTER_CUBIC)


def hole() -> np.ndarray:
    hidden = np.zeros((SIZE, SIZE), np.uint8)
    hidden[40:75, 25:105] = 1
    return hidden


def test_a_linear_ramp_is_continued_exactly_enough() -> None:
    rows, columns = np.mgrid[0:64, 0:96].astype(np.float32)
    ramp = np.stack([rows, columns, 2 * rows - columns], -1)
    known = np.ones((64, 96), bool)
    known[20:44, 30:70] = False
    extended = membrane.extend(ramp * known[..., None], known)
    assert np.array_equal(extended[known], ramp[known])
    assert np.abs(extended - ramp).max() < 4  # of a range of 220: harmonic up to the sweeps made


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.02, 0.98))
def test_a_membrane_of_noise_hardly_leaves_the_range_of_what_is_known(
    seed: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    values = random.uniform(-50, 50, (33, 47, 2)).astype(np.float32)
    known = random.random((33, 47)) < share
    known[3, 4] = True
    extended = membrane.extend(np.where(known[..., None], values, 1e9), known)
    # Not at all once harmonic; the few sweeps made leave 7 of 100 at most (6,000 random tries).
    assert extended.min() >= values[known].min() - 10
    assert extended.max() <= values[known].max() + 10


def test_a_membrane_of_few_sweeps_is_near_to_the_harmonic_one() -> None:
    random = np.random.default_rng(3)
    known = np.ones((60, 90), bool)
    known[15:45, 20:70] = False
    values = preparation.cv2.GaussianBlur(random.normal(0, 300, (60, 90, 3)), (0, 0), 4)
    given = (values * known[..., None]).astype(np.float32)
    harmonic = given.copy()
    for _ in range(4000):
        rolled = [np.roll(harmonic, step, axis) for step in (-1, 1) for axis in (0, 1)]
        harmonic[~known] = np.mean(rolled, 0)[~known]
    off = (membrane.extend(given, known) - harmonic)[~known]
    assert np.sqrt((off**2).mean()) < 0.1 * values[known].std()


def test_nothing_known_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one known pixel"):
        membrane.extend(np.zeros((8, 8, 1), np.float32), np.zeros((8, 8), bool))


def test_the_same_mesh_maps_every_pixel_to_itself(canonical_mesh: np.ndarray) -> None:
    mesh = crop_mesh(canonical_mesh)
    backward = warp.backward_map(mesh, mesh, FaceRaster(mesh, SIZE))
    assert np.abs(backward - warp.identity_map(SIZE)).max() < 1e-2


def test_a_moved_face_is_looked_up_where_it_was(canonical_mesh: np.ndarray) -> None:
    reference = crop_mesh(canonical_mesh)
    moved = crop_mesh(canonical_mesh, shift=(6, -4))
    backward = warp.backward_map(moved, reference, FaceRaster(moved, SIZE))
    inside = np.rint(moved[[1, 4, 9, 50, 280, 151]]).astype(int)
    found = backward[inside[:, 1], inside[:, 0]] - inside[:, :2]
    assert np.abs(found - (-6, 4)).max() < 0.6


def test_the_reference_iris_lands_on_the_current_iris(canonical_mesh: np.ndarray) -> None:
    reference, looking = crop_mesh(canonical_mesh), crop_mesh(canonical_mesh)
    looking[468:473, 0] += 1.5
    backward = warp.backward_map(looking, reference, FaceRaster(looking, SIZE))
    column, row = np.rint(looking[468, :2]).astype(int)
    expected = reference[468, :2] + ((column, row) - looking[468, :2])
    assert np.abs(backward[row, column] - expected).max() < 0.75  # the map is smooth: half-way


def test_a_mesh_outside_the_crop_is_refused(canonical_mesh: np.ndarray) -> None:
    mesh = crop_mesh(canonical_mesh)
    with pytest.raises(ValueError, match="outside the crop"):
        FaceRaster(mesh + 1000, SIZE)


@pytest.mark.parametrize("size", [SIZE // 2, SIZE])
def test_what_lies_under_the_headset_is_never_read(size: int, canonical_mesh: np.ndarray) -> None:
    step = SIZE // size
    mesh, image = crop_mesh(canonical_mesh) / step, smooth_image()[::step, ::step].copy()
    hidden = hole()[::step, ::step].copy()
    reference = Reference(smooth_image(1)[::step, ::step].copy(), mesh)
    for filling in (0, 255):
        image[hidden == 1] = filling
        inputs = preparation.network_input(
            Preparer(ReferenceBank([reference], size)).step(image, hidden, mesh)
        )
        if filling == 0:
            expected = inputs
    assert np.array_equal(inputs, expected)


def test_the_input_channels_are_what_the_contract_says(canonical_mesh: np.ndarray) -> None:
    mesh, hidden, image = crop_mesh(canonical_mesh), hole(), smooth_image()
    prepared = Preparer(ReferenceBank([Reference(image, mesh)], SIZE)).step(image, hidden, mesh)
    inputs = preparation.network_input(prepared)
    assert inputs.shape == (8, SIZE, SIZE)
    assert inputs.dtype == np.float32
    assert inputs.min() >= 0
    assert inputs.max() <= 1
    assert np.array_equal(inputs[MASK][0], hidden)
    assert set(np.unique(inputs[CONTOURS])) == {0, 1}
    assert not inputs[KNOWN_RGB][:, hidden == 1].any()
    outside = preparation.image_from_planes(inputs[KNOWN_RGB])[hidden == 0]
    assert np.array_equal(outside, image[hidden == 0])
    # The frame is its own reference here, so that the hole must come out as it was.
    start = preparation.image_from_planes(inputs[REFERENCE_RGB])
    assert np.abs(start.astype(int) - image).mean() < 2


def test_a_brighter_frame_gets_a_brighter_fill(canonical_mesh: np.ndarray) -> None:
    mesh, hidden = crop_mesh(canonical_mesh), hole()
    reference = Reference(smooth_image() // 2, mesh)
    image = reference.image + 40
    blended = blend(reference.image, image, hidden)
    assert np.abs(blended.astype(int) - image)[hidden == 1].max() <= 2


def test_hair_where_the_view_has_wall_darkens_no_temple(canonical_mesh: np.ndarray) -> None:
    mesh, hidden = crop_mesh(canonical_mesh), hole()
    reference = Reference(smooth_image(), mesh)
    rows, columns = np.nonzero(hidden)
    image = reference.image.copy()
    beside = int(columns.max()) + 1
    image[:, beside:] = (image[:, beside:] * 0.3).astype(np.uint8)
    blended = blend(reference.image, image, hidden).astype(int)
    row = int(rows.mean())
    middle = int(columns.mean())
    assert np.abs(blended[row, middle] - reference.image[row, middle]).max() <= 3
    step = np.abs(blended[row, beside - 1] - image[row, beside])
    unblended = np.abs(reference.image[row, beside - 1].astype(int) - image[row, beside])
    assert step.max() < 0.4 * unblended.max()  # no seam


@pytest.mark.parametrize("name", [name for name in FILLERS if name != "unvisor"])
def test_fillers_leave_known_pixels_alone(name: str, canonical_mesh: np.ndarray) -> None:
    mesh, hidden, image = crop_mesh(canonical_mesh), hole(), smooth_image()
    filler = make_filler(name, Reference(smooth_image(1), crop_mesh(canonical_mesh, (2, 1))))
    filled = filler.fill(image, hidden, mesh)
    assert np.array_equal(filled[hidden == 0], image[hidden == 0])
    assert not np.array_equal(filled[hidden == 1], image[hidden == 1])


def test_a_whole_crop_hidden_still_gives_the_warped_reference(canonical_mesh: np.ndarray) -> None:
    mesh = crop_mesh(canonical_mesh)
    hidden = np.ones((SIZE, SIZE), np.uint8)
    reference = Reference(smooth_image(), mesh)
    mixture = ReferenceBank([reference], SIZE).mixture(mesh)
    prepared = preparation.prepare(np.zeros((SIZE, SIZE, 3), np.uint8), hidden, mesh, mixture)
    assert np.abs(prepared.reference.astype(int) - reference.image).mean() < 2


def test_sizes_that_disagree_and_unknown_fillers_are_refused(canonical_mesh: np.ndarray) -> None:
    mesh = crop_mesh(canonical_mesh)
    reference = Reference(smooth_image(), mesh)
    with pytest.raises(ValueError, match="do not fit"):
        Preparer(ReferenceBank([reference], SIZE)).step(smooth_image()[:64], hole(), mesh)
    with pytest.raises(ValueError, match="unknown filler"):
        make_filler("magic", reference)


def test_the_networks_colours_are_clipped_and_rounded() -> None:
    random = np.random.default_rng(5)
    planes = random.uniform(-0.2, 1.2, (3, 16, 16)).astype(np.float32)
    image = preparation.image_from_planes(planes)
    expected = np.clip(planes.transpose(1, 2, 0)[..., ::-1] * 255 + 0.5, 0, 255).astype(np.uint8)
    assert (image.shape, image.dtype, image.flags.c_contiguous) == ((16, 16, 3), np.uint8, True)
    assert np.abs(image.astype(int) - expected).max() <= 1
    assert (image != expected).mean() < 0.01


def test_one_membrane_continues_several_fields_as_it_would_each() -> None:
    random = np.random.default_rng(6)
    known = random.random((24, 31)) < 0.2
    prepared = membrane.Membrane(known)
    for channels in (1, 2, 4):
        values = random.random((24, 31, channels)).astype(np.float32)
        alone = membrane.extend(values, known)
        assert np.array_equal(prepared.extend(values), alone)
        assert np.array_equal(alone[known], values[known])
