"""H.264 for `h264.*`: an encoder without delay, and a decoder that knows when it lost a picture.

A publisher may drop messages for a slow client at any time. Every picture therefore carries a
`unit` that counts by one; a decoder that sees a gap shows nothing until the next key picture.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import cv2
import numpy as np

from streaming.frame_message import FrameMessage
from streaming.records import ImageU8
from streaming.topics import VideoCodec

LOGGER = logging.getLogger(__name__)

KEY_EVERY = 60  # pictures: two seconds at 30 fps
NOMINAL_FPS = 30  # for the encoder's rate control only; pictures may come at any rate
MAX_PIXELS = 8192 * 4352  # a decoder allocates what a stranger's stream asks for, up to this
OPTIONS: dict[str, dict[str, str]] = {
    # Parameter sets before every key picture, so that a late client can start there; the VBV
    # bounds a key picture to about 190 kB, which leaves within a frame's time on a slow link.
    "libx264": {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "crf": "21",
        "forced-idr": "1",
        "x264-params": f"keyint={KEY_EVERY}:min-keyint=1:scenecut=0:repeat-headers=1:annexb=1"
        ":vbv-maxrate=12000:vbv-bufsize=1500:colormatrix=smpte170m",
    },
    "h264_nvenc": {
        "preset": "p1",
        "tune": "ull",
        "delay": "0",
        "zerolatency": "1",
        "forced-idr": "1",
        "rc": "constqp",
        "qp": "23",
        "bf": "0",
    },
}
AUTO = ("h264_nvenc", "libx264")


@dataclass(frozen=True)
class VideoUnit:
    """One coded picture."""

    data: bytes  # an H.264 access unit, Annex B
    number: int  # counts by one; begins anywhere
    is_key: bool  # can be decoded without the ones before


class VideoEncoder:
    """Encodes the pictures of one topic, each at once: one in, one out."""

    def __init__(self, shape: tuple[int, int], codec: VideoCodec = "auto") -> None:
        """Open for pictures of (height, width) px; `auto` takes NVENC where it opens.

        Raises `av.error.FFmpegError` or `ValueError` when no encoder opens.
        """
        self.shape = shape
        self._context = _open(shape, AUTO if codec == "auto" else (codec,))
        self.codec: str = self._context.name
        # Numbers of an encoder that follows another, also after a restart, do not continue its.
        self._number = random.randrange(2**31)
        self._frames = 0

    def encode(self, image: ImageU8, force_key: bool = False) -> VideoUnit:
        """Code one (H,W,3) BGR or (H,W) grey picture of the size given at the start."""
        picture = av.VideoFrame.from_ndarray(_yuv(image), "yuv420p")
        picture.pts = self._frames
        if force_key:
            picture.pict_type = av.video.frame.PictureType.I
        packets = self._context.encode(picture)
        if len(packets) != 1:
            raise ValueError(f"{self.codec} gave {len(packets)} pictures for one.")
        self._frames += 1
        self._number += 1
        return VideoUnit(bytes(packets[0]), self._number, bool(packets[0].is_keyframe))


class VideoDecoder:
    """Decodes the messages of one `h264.*` topic in the order in which they arrive."""

    def __init__(self) -> None:
        """Start waiting for a key picture."""
        self.skipped = 0  # pictures that could not be shown
        self._context: Any = None
        self._next: int | None = None

    @property
    def is_lost(self) -> bool:
        """Whether only a key picture helps."""
        return self._next is None

    def decode(self, message: FrameMessage) -> FrameMessage | None:
        """The same message with its picture as `bgr`; None while waiting for a key picture.

        Broken data count as lost: whatever is returned was decoded without a gap or an error.
        """
        if message.unit != self._next:
            if not message.is_key:
                self._lose()
                return None
            self._context = _open_decoder()
        image = self._decode(message)
        if image is None:
            self._lose()
            return None
        self._next = (message.unit or 0) + 1
        return dataclasses.replace(
            message, format="bgr", pixels=image.tobytes(), unit=None, is_key=True
        )

    def _decode(self, message: FrameMessage) -> ImageU8 | None:
        try:
            pictures = self._context.decode(av.Packet(message.pixels))
        except (av.error.FFmpegError, ValueError):
            return None
        if len(pictures) != 1 or pictures[0].is_corrupt:
            return None
        height, width = message.shape
        if (pictures[0].height, pictures[0].width) != (height + height % 2, width + width % 2):
            return None
        return _bgr(pictures[0])[:height, :width]

    def _lose(self) -> None:
        self.skipped += 1
        self._next = None


def _open(shape: tuple[int, int], codecs: tuple[str, ...]) -> Any:
    error: Exception | None = None
    for name in codecs:
        try:
            return _open_encoder(name, shape)
        except (av.error.FFmpegError, ValueError) as reason:  # no such codec, or no such chip
            error = reason
            LOGGER.debug("%s does not open: %s", name, reason)
    raise error or ValueError("No encoder was named.")


def _open_encoder(name: str, shape: tuple[int, int]) -> Any:
    context: Any = av.CodecContext.create(name, "w")
    context.height, context.width = (side + side % 2 for side in shape)
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, NOMINAL_FPS)
    context.framerate = Fraction(NOMINAL_FPS)
    context.gop_size = KEY_EVERY
    context.max_b_frames = 0
    context.thread_count = 1  # the pipeline's cores have other work; more threads add no speed
    context.options = OPTIONS[name]
    context.open()
    return context


def _open_decoder() -> Any:
    context: Any = av.CodecContext.create("h264", "r")
    context.thread_count = 1  # frame threads would delay each picture by their number
    context.options = {"max_pixels": str(MAX_PIXELS), "flags": "low_delay", "err_detect": "explode"}
    return context


def _yuv(image: ImageU8) -> ImageU8:
    """(H,W,3) BGR or (H,W) grey to planar 4:2:0 with even sides, (H·3/2, W), BT.601 limited."""
    height, width = image.shape[:2]
    bgr = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if height % 2 or width % 2:
        bgr = cv2.copyMakeBorder(bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420).astype(np.uint8, copy=False)


def _bgr(picture: Any) -> ImageU8:
    if picture.format.name != "yuv420p":
        other: ImageU8 = picture.to_ndarray(format="bgr24")
        return other
    planes: ImageU8 = picture.to_ndarray(format="yuv420p")
    return cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420).astype(np.uint8, copy=False)
