"""Fillers: what is put into the hole the headset leaves, one crop at a time.

`paste` and `warp` are reference points, `warp-blend` needs no network, `unvisor` is the shipped
network on top of it. Training, evaluation and the live pipeline all call these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Reference:
    """One view of the bare face, in crop coordinates."""

    image: ImageU8  # (S,S,3) uint8 BGR
    mesh: Float32Array  # (478,3) px of `image`


class Filler(Protocol):
    """Fills the hole of one aligned crop; recurrent fillers remember earlier frames."""

    name: str

    def fill(self, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array) -> ImageU8:
        """Return the (S,S,3) crop with the pixels where `hidden` (S,S) is 1 filled in.

        Pixels where `hidden` is 0 are returned unchanged. `mesh` is (478,3) in px of the crop.
        """
        ...

    def reset(self) -> None:
        """Forget earlier frames."""
        ...
