"""EyeNet's input and output in px, and the shipped network on pictures of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.eyes.contract import SIZE_PX, eye_net_contract
from models.eyes.ellipse import ellipse_of, moments_of, moved_moments
from models.eyes.fit import fitted, input_from_image, reading_of
from models.eyes.reader import SHIPPED_EYE_NET, EyeReader
from models.shipped import check_manifest, load_network
from models.weights_error import WeightsError


@pytest.fixture(scope="module")
def reader() -> EyeReader:
    return EyeReader()


def pictures_of_nothing() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (6, 8), np.uint8)
    return {
        "black": np.zeros((96, 128), np.uint8),
        "white": np.full((192, 192), 255, np.uint8),
        "grey": np.full((240, 240), 128, np.uint8),
        "noise": random.integers(0, 255, (120, 160), np.uint8),
        "blobs": cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_CUBIC),
        "slope": np.tile(np.linspace(40, 220, 128, dtype=np.uint8), (96, 1)),
    }


@pytest.mark.parametrize("name", pictures_of_nothing())
def test_pictures_of_nothing_show_no_eye(reader: EyeReader, name: str) -> None:
    assert reader.read(pictures_of_nothing()[name]).confidence < 0.3


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 400), height=st.integers(1, 400), level=st.integers(0, 255))
def test_any_size_is_read_as_finite_numbers(width: int, height: int, level: int) -> None:
    image = np.full((height, width), level, np.uint8)
    image[height // 3 :, width // 2 :] = 255 - level
    reading = READER.read(image)
    assert reading.lids.shape == (2, 9, 2)
    for values in (reading.lids, reading.pupil, reading.iris):
        assert np.isfinite(values).all()
    assert min(*reading.pupil[2:4], *reading.iris[2:4]) >= 0
    assert 0 <= reading.blink <= 1
    assert 0 <= reading.confidence <= 1


READER = EyeReader()  # hypothesis and fixtures do not mix well


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((96, 128, 3), np.uint8),
        np.zeros((96, 128), np.uint16),
        np.zeros((96, 128), np.float32),
        np.zeros((0, 128), np.uint8),
    ],
)
def test_what_is_no_grey_8_bit_image_is_refused(reader: EyeReader, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        reader.read(image)


@pytest.mark.parametrize("size", [(128, 96), (192, 192), (320, 238), (400, 640), (60, 45)])
def test_a_spot_lands_in_the_input_where_the_map_says(size: tuple[int, int]) -> None:
    width, height = size
    image = np.full((height, width), 100, np.uint8)
    place = np.array([width * 0.7, height * 0.3])
    x, y = (int(v) for v in place)
    spot = max(2, width // 40)
    image[y - spot : y + spot + 1, x - spot : x + spot + 1] = 255
    canvas = fitted(image).astype(float)
    assert canvas.shape == (SIZE_PX, SIZE_PX)
    weights = np.clip(canvas - 130, 0, None)
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX]
    found = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
    wanted = input_from_image(width, height) @ [x, y, 1]
    assert np.abs(found - wanted).max() < 0.35


def test_answers_come_back_in_px_of_the_image() -> None:
    """What is said at a place of the input is read at that place of the image."""
    width, height = 320, 238
    lids = np.linspace(20, 200, 36).reshape(2, 9, 2)
    ellipse = np.array([150.0, 110.0, 30.0, 50.0, 20.0])
    forth = input_from_image(width, height)
    into_shares = np.array([[1 / SIZE_PX, 0, 0.5 / SIZE_PX], [0, 1 / SIZE_PX, 0.5 / SIZE_PX]])
    there = into_shares @ np.vstack([forth, [0, 0, 1]])
    said_lids = (lids.reshape(-1, 2) @ there[:, :2].T + there[:, 2]).reshape(2, 9, 2)
    said = moved_moments(moments_of(ellipse), there)
    reading = reading_of((said_lids, said, said, np.array([0.25, 2.0])), width, height)
    np.testing.assert_allclose(reading.lids, lids, atol=1e-3)
    np.testing.assert_allclose(reading.pupil, ellipse, atol=1e-2)
    assert (reading.blink, reading.confidence) == (0.25, 1.0)


@settings(max_examples=60, deadline=None)
@given(
    short=st.floats(2, 40),
    more=st.floats(0.5, 40),
    angle=st.floats(0, 179),
    turn=st.floats(-90, 90),
)
def test_an_ellipse_survives_its_moments_and_turns_with_them(
    short: float, more: float, angle: float, turn: float
) -> None:
    ellipse = np.array([30.0, 40.0, short, short + more, angle])
    back = ellipse_of(moments_of(ellipse))
    np.testing.assert_allclose(back[:4], ellipse[:4], rtol=1e-3)
    assert abs((back[4] - angle + 90) % 180 - 90) < 0.5
    rotation = cv2.getRotationMatrix2D((0, 0), -turn, 2.0)
    turned = ellipse_of(moved_moments(moments_of(ellipse), rotation))
    np.testing.assert_allclose(turned[2:4], 2 * ellipse[2:4], rtol=1e-3)
    assert abs((turned[4] - angle - turn + 90) % 180 - 90) < 0.5


def test_moments_are_those_of_the_pixels_that_opencv_draws() -> None:
    ellipse = ((100.0, 90.0), (40.0, 80.0), 30.0)
    drawn = np.zeros((200, 200), np.uint8)
    cv2.ellipse(drawn, ellipse, (1.0,), -1)
    found = cv2.moments(drawn, binaryImage=True)
    pixels = [found[name] / found["m00"] for name in ("mu20", "mu11", "mu02")]
    wanted = moments_of(np.array([100, 90, 40, 80, 30.0]))
    np.testing.assert_allclose(pixels, wanted[2:], rtol=0.04)


def test_the_shipped_network_keeps_to_the_contract_and_the_promised_size() -> None:
    check_manifest(SHIPPED_EYE_NET, "eye-net")
    assert SHIPPED_EYE_NET.stat().st_size < 500_000 * 4 * 1.05  # half a million parameters
    assert [len(spec.shape) for spec in eye_net_contract().outputs] == [4, 2, 2, 2]


def test_a_damaged_network_or_one_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="eye-net"):
        load_network(SHIPPED_EYE_NET)
    changed = tmp_path / "eye_net.onnx"
    changed.write_bytes(SHIPPED_EYE_NET.read_bytes()[:-1])
    manifest = json.loads(SHIPPED_EYE_NET.with_suffix(".json").read_text())
    changed.with_suffix(".json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="sha256"):
        EyeReader(changed)


def test_the_shipped_network_uses_only_plain_operators() -> None:
    """All of them are in TensorRT's list of operators for fixed shapes, in 8.6 and later."""
    plain = {"Add", "Cast", "Concat", "Constant", "Conv", "Div", "Exp", "Flatten", "Gather", "Gemm"}
    plain |= {"MatMul", "Mul", "Pow", "ReduceMean", "Relu", "Reshape", "Resize", "Shape", "Sigmoid"}
    plain |= {"Slice", "Softmax", "Sqrt", "Sub", "Transpose", "Unsqueeze"}
    used = {node.op_type for node in onnx.load(SHIPPED_EYE_NET).graph.node}
    assert used <= plain
