"""CoverNet's tensor contract: a face's crop in, what of it is covered out. No torch."""

from __future__ import annotations

from models.contract import TensorContract, TensorSpec
from models.face.mesh import (
    LEFT_EYE,
    LIPS_OUTER_LOWER,
    LIPS_OUTER_UPPER,
    NOSE_BASE,
    RIGHT_EYE,
    Line,
)

COVER_NET = "cover-net"  # the kind in its manifest
SIZE_PX = 64  # side of the crop, framed by `models.face.alignment`
CROP, COVERED = "crop", "covered"

# Parts of a face, each the convex hull of some mesh points.
REGIONS: dict[str, Line] = {
    "right eye": (*RIGHT_EYE.upper_lid, *RIGHT_EYE.lower_lid),
    "left eye": (*LEFT_EYE.upper_lid, *LEFT_EYE.lower_lid),
    "nose": (*NOSE_BASE, 197),
    "mouth": (*LIPS_OUTER_UPPER, *LIPS_OUTER_LOWER),
    "right cheek": (50, 101, 36, 205, 187, 123, 117),
    "left cheek": (280, 330, 266, 425, 411, 352, 346),
    "chin": (152, 176, 400, 200, 148, 377),
    "forehead": (109, 338, 337, 9, 108),
}
EYE_REGIONS = ("right eye", "left eye")


def cover_net_contract(batch: int = 1) -> TensorContract:
    """Inputs and outputs of CoverNet: per region the probability that something lies over it."""
    return TensorContract(
        inputs=(TensorSpec(CROP, (batch, 3, SIZE_PX, SIZE_PX), (0, 1)),),
        outputs=(TensorSpec(COVERED, (batch, len(REGIONS)), (0, 1)),),
        states=(),
    )
