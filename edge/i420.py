"""How the three planes of a picture in I420 lie in a stream of bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 4  # bytes, to which GStreamer fills up the rows of each plane


@dataclass(frozen=True)
class PlaneLayout:
    """Y, then U and V of half the size; of even width and height."""

    width: int  # px
    height: int
    y_row: int  # bytes from one row of a plane to the next
    uv_row: int

    @classmethod
    def packed(cls, width: int, height: int) -> PlaneLayout:
        """Row after row."""
        return cls(width, height, width, width // 2)

    @classmethod
    def padded(cls, width: int, height: int) -> PlaneLayout:
        """Rows filled up as GStreamer keeps them in memory."""
        return cls(width, height, _filled_up(width), _filled_up(width // 2))

    @property
    def size_bytes(self) -> int:
        """Of one picture."""
        return (self.y_row + self.uv_row) * self.height

    def planes(self, content: bytes) -> NDArray[np.uint8]:
        """(H * 3 // 2, W) uint8 without what fills up the rows, as OpenCV takes it."""
        values: NDArray[np.uint8] = np.frombuffer(content, np.uint8)
        shape = (self.height * 3 // 2, self.width)
        if self == PlaneLayout.packed(self.width, self.height):
            return values.reshape(shape)  # the usual one, without a copy
        y, uv = np.split(values, [self.y_row * self.height])
        rows = y.reshape(self.height, self.y_row)[:, : self.width]
        half_rows = uv.reshape(self.height, self.uv_row)[:, : self.width // 2]  # U, then V
        joined: NDArray[np.uint8] = np.concatenate([rows.ravel(), half_rows.ravel()])
        return joined.reshape(shape)


def _filled_up(row_bytes: int) -> int:
    return -(-row_bytes // ALIGNMENT) * ALIGNMENT
