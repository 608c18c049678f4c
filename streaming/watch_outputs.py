"""Where `unvisor watch` can pass on what it sees: a virtual camera, a page in the browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from streaming.errors import UserError
from streaming.subscriber import Arrival

SMALLEST_PX, LARGEST_PX = 16, 4096


class Output(Protocol):
    """Takes every arrival that `watch` sees, on its thread; must return at once."""

    def take(self, arrival: Arrival) -> None:
        """Pass one frame or word on."""
        ...

    def check(self) -> None:
        """Raise UserError when nothing can be passed on any more."""
        ...


@dataclass(frozen=True)
class OutputChoice:
    """What was asked for on the command line."""

    virtual_camera: bool = False
    camera_name: str | None = None
    camera_size: str = "1280x720"
    camera_fps: float = 30.0
    mirror: bool = False
    preview_port: int | None = None  # None = no page, 0 = any free port


@contextmanager
def open_outputs(choice: OutputChoice) -> Iterator[dict[str, Output]]:
    """Open what was chosen, by a line that tells the user where it is; closes it at the end."""
    outputs: dict[str, Output] = {}
    with ExitStack() as stack:
        if choice.virtual_camera or choice.camera_name:
            from streaming.webcam.virtual_camera import VirtualCamera

            width, height = size_of(choice.camera_size)
            camera = VirtualCamera(
                choice.camera_name, width, height, choice.camera_fps, choice.mirror
            )
            stack.enter_context(camera)
            told = f"virtual camera: {camera.device}, {width}×{height} at {choice.camera_fps:g} fps"
            outputs[told] = camera
        if choice.preview_port is not None:
            from streaming.page.watch import WatchPage

            page = WatchPage(choice.preview_port)
            stack.enter_context(page)
            outputs[f"preview: {page.url}"] = page
        yield outputs


def size_of(text: str) -> tuple[int, int]:
    """Read `1280x720` as width and height in px; both even, as cameras' formats want them."""
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text.strip().lower())
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    is_odd = width % 2 or height % 2
    if is_odd or not all(SMALLEST_PX <= side <= LARGEST_PX for side in (width, height)):
        raise UserError(
            f"{text!r} is no camera size.",
            f"Write it as 1280x720: even numbers from {SMALLEST_PX} to {LARGEST_PX}.",
        )
    return width, height
