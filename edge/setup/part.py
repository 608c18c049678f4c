"""The part `setup` of a profile: the camera and the tracker of its capture.

It says nothing of where a recording lay, nor which pipeline a GStreamer camera was: a profile may
come from another machine, and what it names is looked for among the cameras that are here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from edge.profile.parts import Part

VERSION = 1
LONGEST = 500  # characters of a text
MOST_PX, MOST_FPS = 1 << 16, 1e4

Kind = Literal["webcam", "gst", "recording", "pictures"]


@dataclass(frozen=True)
class CaptureSetup:
    """How a profile was taken."""

    kind: Kind
    size_px: tuple[int, int]  # width, height of the pictures that were used
    fps: float  # that the camera was asked for, or the recording has
    tracker: str  # what found the face, as in `--landmarks`
    tracker_version: str = ""
    # Of webcams: the id that `unvisor devices` lists, the one that was typed, name and serial.
    camera_id: str = ""
    typed_id: str = ""
    camera_name: str = ""
    serial: str = ""

    def to_json(self) -> dict[str, Any]:
        """What is told of it, as JSON values."""
        return {**asdict(self), "size_px": list(self.size_px)}

    @property
    def words(self) -> str:
        """In one line."""
        width, height = self.size_px
        source = {"gst": "a GStreamer camera", "recording": "a recording", "pictures": "pictures"}
        named = source.get(self.kind, f"{self.camera_name} (webcam:{self.camera_id})")
        rate = "" if self.kind == "pictures" else f", {self.fps:.4g} fps"
        return f"{named}, {width}×{height} px{rate}, {self.tracker} {self.tracker_version}".rstrip()

    def to_part(self) -> Part:
        """The part `setup` of a profile."""
        return Part(self.to_json(), version=VERSION)

    @classmethod
    def from_part(cls, part: Part) -> CaptureSetup:
        """Inverse of `to_part`; raises UnknownVersion, KeyError, TypeError or ValueError."""
        part.require_version(VERSION)
        tree = part.document
        width, height = (int(side) for side in tree["size_px"])
        fps, kind = float(tree["fps"]), tree["kind"]
        if not (1 <= min(width, height) <= max(width, height) <= MOST_PX and 0 < fps <= MOST_FPS):
            raise ValueError(f"a capture of {width}×{height} px at {fps} fps")
        if kind not in get_args(Kind):
            raise ValueError(f"a capture by {kind!r}")
        names = ("tracker", "tracker_version", "camera_id", "typed_id", "camera_name", "serial")
        texts = {name: _text(tree[name]) for name in names}
        return cls(kind, (width, height), fps, **texts)


def _text(value: object) -> str:
    """Text that may be printed at a terminal."""
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
        raise ValueError("a text that is none")
    return value
