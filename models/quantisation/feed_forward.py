"""INT8 forms of networks without states: Q/DQ pairs, with sensitive nodes left in float32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from models.quantisation.online import Feed
from models.quantisation.quantise import PAIRS, write_pairs

# Fully connected layers stay float32: they say where points are, and cost little.
OPERATORS = ("Conv", "Relu", "Add", "Resize")


def quantise_feed_forward(
    network: Path, out: Path, feeds: Sequence[Feed], kept: Sequence[str] = ()
) -> list[str]:
    """Write `network` as INT8 to `out`; nodes whose names hold one of `kept` stay float32.

    Ranges are the extremes that `feeds` cause. Gives the names of the nodes that were kept.

    Raises:
        ValueError: there are no feeds, or a word of `kept` is in no node's name.
    """
    names = [node.name for node in onnx.load(network).graph.node]
    for word in kept:
        if not any(word in name for name in names):
            raise ValueError(f"{network.name} has no node named {word}")
    spared = [name for name in names if any(word in name for word in kept)]
    write_pairs(network, out, feeds, {**PAIRS, "nodes_to_exclude": spared}, OPERATORS)
    return spared
