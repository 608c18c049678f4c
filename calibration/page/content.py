"""What the capture page shows at any moment, and the wishes that come back from it."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.face.mesh import CONTOUR_LINES, FACE_OVAL
from streaming.closing import Closing
from streaming.page.live import pack_message, pane_jpeg
from streaming.page.server import PageServer
from streaming.records import Float32Array, ImageU8

PAGE = Path(__file__).with_name("capture.html")
WAIT_S = 1.0  # how long a request for the next view is held open
GOOD, BAD = (96, 200, 96), (64, 160, 240)  # BGR of the oval
# The place for the face before one is found: half axes as shares of the picture's height.
PLACE = (0.21, 0.29)

WISHES = ("start", "skip", "save", "again", "cancel")


@dataclass(frozen=True)
class View:
    """One moment of the capture."""

    facts: Mapping[str, Any]  # JSON: phase, instruction, steps, advice, result, …
    panes: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)  # JPEG by place


class CapturePage(Closing):
    """Serves the newest view on loopback, to whoever has the address with its token."""

    def __init__(self, port: int) -> None:
        """Start serving; port 0 takes any free one. Raises UserError when the port is taken."""
        self.token = secrets.token_urlsafe(12)
        self.is_closed = False
        self.wishes: queue.Queue[str] = queue.Queue()
        self._arrived = threading.Condition()
        self._run = secrets.token_hex(4)
        self._sequence = 0
        self._fetched = 0
        self._view = View({"phase": "opening"})
        self._encoding = threading.Lock()
        self._encoded: tuple[int, Mapping[str, bytes]] = (-1, {})
        self._server = PageServer("127.0.0.1", port, self, option="--page-port")

    @property
    def url(self) -> str:
        """Address of the page, with its token."""
        return self._server.url

    def show(self, view: View) -> None:
        """Make `view` the newest; returns at once."""
        with self._arrived:
            self._view = view
            self._sequence += 1
            self._arrived.notify_all()

    def wait_until_seen(self, timeout_s: float) -> bool:
        """Wait until some browser has fetched the newest view."""
        with self._arrived:
            newest = self._sequence
            return self._arrived.wait_for(lambda: self._fetched >= newest, timeout_s)

    def page(self) -> bytes:
        """The page itself, HTML."""
        return PAGE.read_bytes()

    def next_message(self, after: int, run: str = "") -> bytes:
        """Wait up to a second for a view newer than number `after`; see `pack_message`."""
        after = after if run in ("", self._run) else 0
        with self._arrived:
            self._arrived.wait_for(lambda: self.is_closed or self._sequence > after, WAIT_S)
            view, sequence = self._view, self._sequence
        facts = {**view.facts, "run": self._run, "sequence": sequence}
        message = pack_message(facts, self._panes(view, sequence) if sequence > after else {})
        with self._arrived:
            self._fetched = max(self._fetched, sequence)
            self._arrived.notify_all()
        return message

    def act(self, path: str, wish: Mapping[str, Any]) -> None:
        """Pass a wish on; raises ValueError when there is no such wish."""
        wanted = wish.get("wish")
        if path != "/wish" or wanted not in WISHES:
            raise ValueError(f'expected {{"wish": one of {", ".join(WISHES)}}}')
        self.wishes.put(str(wanted))

    def close(self) -> None:
        """Stop serving and free the port."""
        with self._arrived:
            self.is_closed = True
            self._arrived.notify_all()
        self._server.close()

    def _panes(self, view: View, sequence: int) -> Mapping[str, bytes]:
        with self._encoding:  # several browsers share one encoding
            if self._encoded[0] != sequence:
                self._encoded = (sequence, {name: draw() for name, draw in view.panes.items()})
            return self._encoded[1]


def camera_pane(image: ImageU8, mesh: Float32Array | None, is_good: bool) -> bytes:
    """The camera's picture (H,W,3) as in a mirror, with the face's oval and landmarks, as JPEG."""
    drawn = image.copy()
    colour = GOOD if is_good else BAD
    height, width = image.shape[:2]
    thickness = max(1, height // 240)
    if mesh is None:
        axes = round(PLACE[0] * height), round(PLACE[1] * height)
        cv2.ellipse(drawn, (width // 2, height // 2), axes, 0, 0, 360, colour, 2 * thickness)
    else:
        points = np.round(mesh[:, :2]).astype(np.int32)
        shade = drawn.copy()
        lines = [points[list(line)] for line in CONTOUR_LINES]
        cv2.polylines(shade, lines, False, colour, thickness, cv2.LINE_AA)
        drawn = np.asarray(cv2.addWeighted(shade, 0.45, drawn, 0.55, 0), np.uint8)
        oval = points[list(FACE_OVAL)]
        cv2.polylines(drawn, [oval], True, colour, 2 * thickness, cv2.LINE_AA)
    return pane_jpeg(np.ascontiguousarray(drawn[:, ::-1]))
