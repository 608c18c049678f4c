"""The live page on loopback: pictures that move, what state they are in, how old, how many.

Whoever has pictures only leaves the newest here, whether it is the pipeline itself or a client that
subscribed. They are encoded in the threads of those who look, once for all of them: a page that
nobody looks at costs nothing and a slow browser delays nobody.
"""

from __future__ import annotations

import json
import logging
import secrets
import statistics
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from streaming.closing import Closing
from streaming.errors import UserError
from streaming.page.server import LOOPBACK_HOSTS, PageServer
from streaming.records import ImageU8

PAGE = Path(__file__).with_name("live.html")
DEFAULT_PORT = 8750
WAIT_S = 1.0  # how long a request for the next picture is held open
RATE_FRAMES = 50  # the rate is an average and the age a median over these
PANE_WIDTH_PX = 640  # wider pictures are scaled down: a pane is no larger on screen
JPEG_QUALITY = 80

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shot:
    """One moment to show: what the page says about it, and its pictures once somebody looks."""

    frame_id: int
    age_ns: int | None  # None where the clocks cannot be compared
    status: tuple[str, ...]  # names of `records.Status`
    filler: str
    landmarks: str  # where the landmarks came from
    synthesised: bool  # whether any pixel of `restored` was made by a filler
    panes: Callable[[], Mapping[str, bytes]]  # JPEG by place: camera, restored, eyes, truth


@dataclass(frozen=True)
class _Shown:
    """A shot with what only its arrival tells."""

    sequence: int  # counts shots, from 1
    shot: Shot
    arrived_s: float
    fps: float
    age_ms: float | None
    drops: int  # frame ids missing since the start


class LivePage(Closing):
    """Serves the newest shot as a web page to any number of browsers on this machine.

    `on_pause`, when set, is called from a server thread with True (stop sending) or False.
    """

    def __init__(
        self,
        port: int = DEFAULT_PORT,
        host: str = "127.0.0.1",
        on_pause: Callable[[bool], None] | None = None,
    ) -> None:
        """Start serving at once; port 0 takes any free one.

        Raises UserError when the port is taken or `host` is not a loopback address.
        """
        if host not in LOOPBACK_HOSTS:
            raise UserError(
                f"The preview shows a face, so it is served on this machine only, not on {host}.",
                f"From another machine use `ssh -L {port}:127.0.0.1:{port} THIS-MACHINE`.",
            )
        self.on_pause = on_pause
        self.is_closed = False
        # A browser that was here before this server began counts on with another server's numbers.
        self._run = secrets.token_hex(4)
        self._arrived = threading.Condition()
        self._newest: _Shown | None = None
        self._times_s: deque[float] = deque(maxlen=RATE_FRAMES)
        self._ages_ns: deque[int | None] = deque(maxlen=RATE_FRAMES)
        self._encoding = threading.Lock()
        self._encoded: tuple[int, Mapping[str, bytes]] = (0, {})
        self._server = PageServer(host, port, self)
        log.info("preview at %s", self.url)

    @property
    def url(self) -> str:
        """Address of the page."""
        return self._server.url

    def put(self, shot: Shot) -> None:
        """Make `shot` the newest; returns at once."""
        with self._arrived:
            last = self._newest
            now_s = time.monotonic()
            self._times_s.append(now_s)
            self._ages_ns.append(shot.age_ns)
            gap = shot.frame_id - last.shot.frame_id - 1 if last else 0
            self._newest = _Shown(
                sequence=last.sequence + 1 if last else 1,
                shot=shot,
                arrived_s=now_s,
                fps=_rate(self._times_s),
                age_ms=_median_ms(self._ages_ns),
                drops=(last.drops if last else 0) + max(gap, 0),
            )
            self._arrived.notify_all()

    def close(self) -> None:
        """Stop serving and free the port."""
        with self._arrived:
            self.is_closed = True  # a connection that a browser keeps ends with its next request
            self._arrived.notify_all()
        self._server.close()

    def page(self) -> bytes:
        """The page itself, HTML."""
        return PAGE.read_bytes()

    def next_message(self, after: int, run: str = "") -> bytes:
        """Wait up to a second for a shot newer than number `after`; return it as a message.

        `run` says which server's numbers `after` belongs to: another's count from nothing. A
        message is a 4-byte big-endian length, that much JSON, then one JPEG per pane the JSON
        lists; it lists none when nothing newer came.
        """
        after = after if run in ("", self._run) else 0
        with self._arrived:
            self._arrived.wait_for(lambda: self.is_closed or self._is_newer_than(after), WAIT_S)
            shown = self._newest
        facts: dict[str, Any] = {
            "run": self._run,
            "status": self.status_now(shown.shot.status if shown else ()),
            "still_s": time.monotonic() - shown.arrived_s if shown else 0.0,
            "can_pause": self.on_pause is not None,
        }
        if shown is None or shown.sequence <= after:
            return pack_message({**facts, "sequence": after}, {})
        return pack_message(facts | _facts(shown), self._panes(shown))

    @property
    def token(self) -> str:
        """None is asked for: who may look at this machine's screen may look at the page."""
        return ""

    def act(self, path: str, wish: Mapping[str, Any]) -> None:
        """Pass a watcher's wish on; whether it was granted shows in the next message's status."""
        paused = wish.get("paused")
        if path != "/pause" or not isinstance(paused, bool):
            raise ValueError('expected {"paused": true or false}')
        if self.on_pause is not None:
            self.on_pause(paused)

    def status_now(self, names: Sequence[str]) -> list[str]:
        """What the page says, `names` being the newest shot's statuses (none before the first)."""
        return list(names)

    def _is_newer_than(self, after: int) -> bool:
        return self._newest is not None and self._newest.sequence > after

    def _panes(self, shown: _Shown) -> Mapping[str, bytes]:
        with self._encoding:  # several watchers share one encoding
            if self._encoded[0] != shown.sequence:
                self._encoded = (shown.sequence, shown.shot.panes())
            return self._encoded[1]


def pack_message(facts: Mapping[str, Any], panes: Mapping[str, bytes]) -> bytes:
    """A 4-byte big-endian length, that much JSON, then one JPEG per pane the JSON lists.

    The page reads it in one request, so that all its panes always show the same frame.
    """
    listing = [{"name": name, "bytes": len(jpeg)} for name, jpeg in panes.items()]
    header = json.dumps({**facts, "panes": listing}).encode()
    return b"".join([struct.pack(">I", len(header)), header, *panes.values()])


def pane_jpeg(image: ImageU8) -> bytes:
    """A picture (H,W,3) BGR or (H,W) grey uint8 as JPEG, no wider than a pane."""
    if image.shape[1] > PANE_WIDTH_PX:
        height = max(1, round(image.shape[0] * PANE_WIDTH_PX / image.shape[1]))
        small = cv2.resize(image, (PANE_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        image = np.asarray(small, np.uint8)
    encoded, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise ValueError(f"cannot encode a pane of shape {image.shape}")
    return jpeg.tobytes()


def _rate(times_s: deque[float]) -> float:
    span_s = times_s[-1] - times_s[0]
    return (len(times_s) - 1) / span_s if span_s > 0 else 0.0


def _median_ms(ages_ns: deque[int | None]) -> float | None:
    known = [age_ns for age_ns in ages_ns if age_ns is not None]
    return statistics.median(known) / 1e6 if known else None


def _facts(shown: _Shown) -> dict[str, Any]:
    shot = shown.shot
    return {
        "sequence": shown.sequence,
        "frame_id": shot.frame_id,
        "age_ms": shown.age_ms,
        "fps": shown.fps,
        "drops": shown.drops,
        "filler": shot.filler,
        "landmarks": shot.landmarks,
        "synthesised": shot.synthesised,
    }
