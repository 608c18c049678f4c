from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.statistics import read_arrays
from models.weights_error import WeightsError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fitted.npz"
    np.savez(path, basis=np.ones((5, 4), np.float16), left=np.float64(0.25))
    return path


def test_arrays_come_in_the_order_asked_for_as_floats(file: Path) -> None:
    left, basis = read_arrays(file, left=(), basis=(None, 4)).values()
    assert (float(left), basis.shape, basis.dtype) == (0.25, (5, 4), np.float32)


def test_a_damaged_file_is_said_with_the_way_out(file: Path) -> None:
    whole = file.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"no arrays at all"):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match=r"fitted\.npz is missing or damaged.*git checkout"):
            read_arrays(file, basis=(None, 4))
    file.unlink()
    with pytest.raises(WeightsError, match="missing or damaged"):
        read_arrays(file, basis=(None, 4))


@pytest.mark.parametrize("shape", [(4, 4), (None,), (None, 3), (5, 4, 1)])
def test_an_array_of_another_shape_is_refused(file: Path, shape: tuple[int | None, ...]) -> None:
    with pytest.raises(WeightsError, match=r"basis has the shape \(5, 4\)"):
        read_arrays(file, basis=shape)


def test_an_array_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(WeightsError, match="variance"):
        read_arrays(file, variance=(None,))
