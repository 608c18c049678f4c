"""A wearer's own network: the shipped one with other numbers in some of its layers.

Only numbers are kept, never a graph: what an imported profile brings cannot run anything but the
network that was shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from models.shipped import Network
from models.weights_error import WeightsError

LARGEST = 100.0  # of a parameter; the shipped ones stay below 1, and finite fills need a bound
PREFIX = "network."  # of the names that export gives the parameters


@dataclass(frozen=True, eq=False)
class PersonalWeights:
    """What a wearer's network has of its own."""

    base_sha256: str  # of the ONNX file that it was learned on
    values: Mapping[str, NDArray[np.float32]]  # by parameter, such as conv11.feature.weight

    def applied(self, base: Network) -> Network:
        """`base` with these values in it, in memory.

        Raises:
            WeightsError: they were learned on another network, or do not fit.
        """
        if base.manifest["sha256"] != self.base_sha256:
            raise WeightsError(f"it was learned on another version of {base.path.name}")
        model = onnx.load(str(base.path))
        stored = {each.name: each for each in model.graph.initializer}
        for name, value in self.values.items():
            tensor = stored.get(PREFIX + name)
            if tensor is None or tuple(tensor.dims) != value.shape:
                raise WeightsError(f"{base.path.name} has no {name} of {value.shape}")
            if value.dtype != np.float32 or not (np.abs(value) <= LARGEST).all():  # nor NaN
                raise WeightsError(f"{name} is not of numbers that learning gives")
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        return replace(base, content=model.SerializeToString())


def parameters_of(base: Network) -> dict[str, NDArray[np.float32]]:
    """Every parameter of a network file by its name in the network that was exported.

    Raises:
        WeightsError: its parameters have lost their names, as INT8 files' have.
    """
    graph = onnx.load(str(base.path)).graph
    found = {
        each.name.removeprefix(PREFIX): numpy_helper.to_array(each).copy()
        for each in graph.initializer
        if each.name.startswith(PREFIX)
    }
    if not found:
        raise WeightsError(f"{base.path.name} does not name its parameters")
    return found
