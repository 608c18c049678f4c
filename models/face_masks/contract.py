"""FaceMaskNet's tensor contract: a head's crop in, what of it a face mask covers out. No torch."""

from __future__ import annotations

from models.contract import TensorContract, TensorSpec
from models.headset.contract import SIZE_PX as SIZE_PX  # one crop serves both networks

FACE_MASK_NET = "face-mask-net"  # the kind in its manifest
CROP, MASK = "crop", "mask"


def face_mask_net_contract(batch: int = 1) -> TensorContract:
    """Input and output of FaceMaskNet: per pixel the probability of face mask, scarf or strap."""
    return TensorContract(
        inputs=(TensorSpec(CROP, (batch, 3, SIZE_PX, SIZE_PX), (0, 1)),),
        outputs=(TensorSpec(MASK, (batch, 1, SIZE_PX, SIZE_PX), (0, 1)),),
        states=(),
    )
