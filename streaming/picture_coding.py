"""Turns the images of one frame into the bytes of every format that is wanted, each once."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streaming.frame_message import encode_pixels
from streaming.records import ImageU8
from streaming.topics import VIDEO_FORMAT, VideoCodec

if TYPE_CHECKING:
    from streaming.video.h264 import VideoEncoder

LOGGER = logging.getLogger(__name__)
RETRY_S = 10.0  # after an encoder failed
KEY_APART_S = 0.25  # clients that come and go all the time must not turn video into stills


@dataclass(frozen=True)
class Coded:
    """One image as bytes; the last two fields are of H.264, see `FrameMessage`."""

    pixels: bytes
    unit: int | None = None
    is_key: bool = True


class PictureCoder:
    """Holds what outlives a frame: the quality, and one video encoder per topic."""

    def __init__(self, jpeg_quality: int, codec: VideoCodec = "auto") -> None:
        """`jpeg_quality` is 1..100; `codec` names the H.264 encoder."""
        self._jpeg_quality = jpeg_quality
        self._codec = codec
        self._videos: dict[str, VideoEncoder] = {}
        self._keys_wanted: set[str] = set()
        self._keyed_s: dict[str, float] = {}
        self._broken_until_s = 0.0
        self._lock = threading.Lock()  # pictures of one video are coded one after the other

    def ask_key(self, topic: str) -> None:
        """Let the next picture of a video topic be one with which a client can start."""
        with self._lock:
            self._keys_wanted.add(topic)

    def still(self, image: ImageU8, image_format: str) -> Coded:
        """Code one image as jpeg, bgr or gray."""
        return Coded(encode_pixels(image, image_format, self._jpeg_quality))

    def video(self, image: ImageU8, topic: str) -> Coded | None:
        """Code the next picture of a video; None, and one line in the log, when that fails."""
        with self._lock:
            if time.monotonic() < self._broken_until_s:
                return None
            try:
                return self._next_picture(image, topic)
            except Exception:  # whatever the encoder's library raises: the stream goes on
                LOGGER.exception("H.264 failed; %s is not sent.", topic)
                self._videos.pop(topic, None)
                if self._codec == "auto":
                    self._codec = "libx264"  # a chip that opens and does not deliver
                else:
                    self._broken_until_s = time.monotonic() + RETRY_S
                return None

    def _next_picture(self, image: ImageU8, topic: str) -> Coded:
        from streaming.video.h264 import VideoEncoder  # only where video is asked for

        encoder = self._videos.get(topic)
        shape = (image.shape[0], image.shape[1])
        if encoder is None or encoder.shape != shape:
            encoder = self._videos[topic] = VideoEncoder(shape, self._codec)
            LOGGER.info("Encoding %s with %s.", topic, encoder.codec)
        now_s = time.monotonic()
        is_due = now_s - self._keyed_s.get(topic, -KEY_APART_S) >= KEY_APART_S
        unit = encoder.encode(image, force_key=is_due and topic in self._keys_wanted)
        if unit.is_key:
            self._keyed_s[topic] = now_s
            self._keys_wanted.discard(topic)
        return Coded(unit.data, unit.number, unit.is_key)


class Burst:
    """The images of one frame: what several topics share is coded once."""

    def __init__(self, coder: PictureCoder) -> None:
        """Code with `coder`."""
        self._coder = coder
        self._stills: dict[tuple[int, str], tuple[ImageU8, Coded]] = {}

    def code(self, image: ImageU8, image_format: str, topic: str) -> Coded | None:
        """Bytes of (H,W,3) BGR or (H,W) grey `image` for `topic`; None when there are none."""
        if image_format == VIDEO_FORMAT:
            return self._coder.video(image, topic)
        key = (id(image), image_format)
        if key not in self._stills:  # the image is kept beside, so that its id stays its own
            self._stills[key] = image, self._coder.still(image, image_format)
        return self._stills[key][1]
