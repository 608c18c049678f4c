"""EyeNet's tensor contract: a grey eye image in; lids, iris, pupil and verdicts out. No torch."""

from __future__ import annotations

from models.contract import TensorContract, TensorSpec

EYE_NET = "eye-net"  # the kind in its manifest
SIZE_PX = 112  # side of the square input; other shapes are fitted in, with an even grey around
LID_POINTS = 9

EYE, LIDS, PUPIL, IRIS, VERDICTS = "eye", "lids", "pupil", "iris", "verdicts"
BLINK, CONFIDENCE = 0, 1  # entries of VERDICTS


def eye_net_contract(batch: int = 1) -> TensorContract:
    """Inputs and outputs of EyeNet; it has no memory.

    `eye` is grey, 0..1. `lids` are x, y in shares of its side (0,0 = its upper left corner), the
    upper then the lower lid, from the image's left to its right. `pupil` and `iris` are ellipses
    as centre x, y and second moments xx, xy, yy about it (an axis of length d alone has d²/16), in
    the same unit and its square. `verdicts` are the probabilities that the eye is closed and that
    there is an eye at all.
    """
    return TensorContract(
        inputs=(TensorSpec(EYE, (batch, 1, SIZE_PX, SIZE_PX), (0, 1)),),
        outputs=(
            TensorSpec(LIDS, (batch, 2, LID_POINTS, 2)),
            TensorSpec(PUPIL, (batch, 5)),
            TensorSpec(IRIS, (batch, 5)),
            TensorSpec(VERDICTS, (batch, 2), (0, 1)),
        ),
        states=(),
    )
