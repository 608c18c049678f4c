"""Where the headset and the face under it are: one interface, several ways to know.

`tracker` is the product's own network, `mediapipe` MediaPipe on the camera's frame, `oracle` the
simulation's truth. Results say which one ran; they are never mixed in one number.
"""

from __future__ import annotations

from typing import Protocol

from edge.records import Capture, FaceTrack
from edge.settings import Landmarks


class Tracker(Protocol):
    """Finds the face and the headset in one frame after the other."""

    @property
    def name(self) -> Landmarks:
        """How it knows."""
        ...

    @property
    def note(self) -> str:
        """A detail worth telling now, such as a second face; empty = nothing."""
        ...

    @property
    def engine_name(self) -> str:
        """What ran its networks, such as `onnxruntime CPU INT8`; empty = it has none."""
        ...

    def track(self, capture: Capture) -> FaceTrack | None:
        """The face in this frame, or None."""
        ...

    def reset(self) -> None:
        """Forget earlier frames."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...
