"""FacePrintNet's tensor contract: a face chip in, one embedding per window out. No torch."""

from __future__ import annotations

from models.contract import TensorContract, TensorSpec
from models.identity.face_chip import BARE, LOWER, WIDTH_PX, Window

FACE_PRINT = "face-print"  # the kind in its manifest
VALUES = 128  # of an embedding: dlib's number, whose embeddings it was taught
CHIP = "chip"


def face_print_contract(window: Window, batch: int = 1) -> TensorContract:
    """Inputs and outputs of FacePrintNet for one window; it has no memory.

    `chip` holds RGB, 0 where not visible, and 1 where visible. `bare` and `lower` are unit vectors,
    the one named like the window is meant; equal persons have a product near 1.
    """
    return TensorContract(
        inputs=(TensorSpec(CHIP, (batch, 4, window.rows, WIDTH_PX), (0, 1)),),
        outputs=(
            TensorSpec(BARE.name, (batch, VALUES), (-1, 1)),
            TensorSpec(LOWER.name, (batch, VALUES), (-1, 1)),
        ),
        states=(),
    )
