"""HeadsetNet's tensor contract: a crop in; outline, mesh, confidences and heads out. No torch."""

from __future__ import annotations

from models.contract import TensorContract, TensorSpec
from models.face.mesh import POINT_COUNT

HEADSET_NET = "headset-net"  # the kind in its manifest
SIZE_PX = 192  # side of the crop
MASK_PX = SIZE_PX // 2  # the outline is given at half the crop's resolution, as soft coverage
MAP_PX = SIZE_PX // 8  # grid of the maps that say where heads are
# A followed head's box (`models.face.alignment.head_box`) has this share of the crop's side.
CROP_SHARE = 0.9

CROP, MASK, MESH, SPREAD, PRESENCE, HEADS = "crop", "mask", "mesh", "spread", "presence", "heads"
FACE, HEADSET = 0, 1  # entries of PRESENCE and the first two channels of HEADS
HEAD_CHANNELS = 5  # a head is centred here · one with a headset is · x, y offset · log side


def headset_net_contract(batch: int = 1) -> TensorContract:
    """Inputs and outputs of HeadsetNet; it has no memory.

    `mask` is the probability of headset; `mesh` x, y, z in shares of the crop's side (0,0 = its
    upper left corner); `spread` the expected error of each point in the same unit; `presence` the
    probabilities that the crop is about a face and about a headset; `heads` per grid cell the two
    probabilities, the head's centre from the cell's middle in cells, and log(box side / crop side).
    """
    return TensorContract(
        inputs=(TensorSpec(CROP, (batch, 3, SIZE_PX, SIZE_PX), (0, 1)),),
        outputs=(
            TensorSpec(MASK, (batch, 1, MASK_PX, MASK_PX), (0, 1)),
            TensorSpec(MESH, (batch, POINT_COUNT, 3)),
            TensorSpec(SPREAD, (batch, POINT_COUNT)),
            TensorSpec(PRESENCE, (batch, 2), (0, 1)),
            TensorSpec(HEADS, (batch, HEAD_CHANNELS, MAP_PX, MAP_PX)),
        ),
        states=(),
    )
