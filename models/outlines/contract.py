"""OutlineNet's tensor contract: what is seen of a head in, the headset's outline out. No torch."""

from __future__ import annotations

from models.contract import TensorContract, TensorSpec
from models.headset.contract import SIZE_PX as SIZE_PX  # HeadsetNet's crop serves both networks

OUTLINE_NET = "outline-net"  # the kind in its manifest
LOOK, MASK = "look", "mask"
# The part of the crop that is seen, where the coarse outline lies. In nine of ten frames outlines
# are no larger than 114 x 156 px on val clips, 128 x 152 px on test clips.
HEIGHT_PX, WIDTH_PX = 128, 176
# Channels of LOOK: the crop, the wearer's bare picture moved to where the head is, in the crop's
# light, the soft outline after `BareLook` was asked, where the bare picture shows anything, and how
# far a pixel's colour lies outside those that the bare picture has there and just beside.
SEEN, BARE = slice(0, 3), slice(3, 6)
SOFT, KNOWN, STRANGE = slice(6, 7), slice(7, 8), slice(8, 9)
CHANNELS = 9


def outline_net_contract(batch: int = 1) -> TensorContract:
    """Input and output of OutlineNet: pictures are RGB, the outline the probability of headset."""
    return TensorContract(
        inputs=(TensorSpec(LOOK, (batch, CHANNELS, HEIGHT_PX, WIDTH_PX), (0, 1)),),
        outputs=(TensorSpec(MASK, (batch, 1, HEIGHT_PX, WIDTH_PX), (0, 1)),),
        states=(),
    )
