"""Images on the wire: `frame.world`, `frame.face`, `frame.eye.0`, `frame.eye.1`.

`jpeg.world`, `bgr.face`, `h264.world` and so on are the same images in a format that never changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streaming.jpeg_header import has_many_scans, jpeg_size
from streaming.records import ImageU8, Status
from streaming.topics import FORMAT_TOPICS, FRAMES, STOCK_FORMATS, VIDEO_FORMAT
from streaming.wire import MAX_TIME_NS, FieldReader, MessageError, pack

MAX_SIDE_PX = 16384
MAX_PIXELS = 1 << 26  # 8192×8192: what decoding takes stays below 200 MB
MAX_JPEG_BYTES = 64 * 1024 * 1024  # and of one H.264 picture
MAX_UNIT = 2**63 - 1
STARTS = {"jpeg": b"\xff\xd8", VIDEO_FORMAT: b"\x00\x00"}  # H.264: an Annex B start code
DEFAULT_JPEG_QUALITY = 85  # of 100; about 20 kB for 400×300


@dataclass(frozen=True)
class FrameMessage:
    """One published image with what a client must know about it."""

    topic: str  # one of `topics.FRAMES` or `topics.FORMAT_TOPICS`
    width: int  # px
    height: int  # px
    index: int  # frame id; a gap is a drop
    timestamp: float  # s on the publishing clock, of the capture
    format: str  # "jpeg" | "bgr" | "gray" | "h264"
    capture_time_ns: int  # monotonic clock of the publisher's machine
    publish_time_ns: int  # same clock
    status: tuple[Status, ...]
    filler: str  # "unvisor" | "warp-blend" | "none"
    landmark_source: str  # "oracle" | "tracker" | "mediapipe"; key `landmarks`
    synthesised: bool  # whether any pixel was made by a filler
    # A JPEG file, height·width·3 (bgr) or height·width (gray) bytes, or one H.264 access unit.
    pixels: bytes
    unit: int | None = None  # h264 only: counts by one; after a gap wait for the next key picture
    is_key: bool = True  # False: an h264 picture that needs the ones before it; key `keyframe`

    def image(self) -> ImageU8:
        """Decode to (H,W,3) BGR uint8, or (H,W) for gray; raises `MessageError`.

        One picture of a video cannot be decoded alone: `VideoDecoder` (`streaming.video.h264`)
        does those.
        """
        if self.format == VIDEO_FORMAT:
            raise MessageError(f"{self.topic!r} is video: decode it with a VideoDecoder.")
        if self.format != "jpeg":
            shape = (self.height, self.width, 3) if self.format == "bgr" else self.shape
            return np.frombuffer(self.pixels, dtype=np.uint8).reshape(shape)
        if jpeg_size(self.pixels) != (self.width, self.height):
            raise MessageError(
                f"The JPEG of {self.topic!r} is broken or not {self.width}×{self.height}."
            )
        if has_many_scans(self.pixels):
            raise MessageError(f"The JPEG of {self.topic!r} has too many scans.")
        try:
            image = cv2.imdecode(np.frombuffer(self.pixels, dtype=np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:
            raise MessageError(f"The JPEG of {self.topic!r} cannot be decoded.") from error
        if image is None or image.shape[:2] != self.shape:
            raise MessageError(
                f"The JPEG of {self.topic!r} is broken or not {self.width}×{self.height}."
            )
        return image.astype(np.uint8, copy=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.height, self.width


def encode_pixels(image: ImageU8, image_format: str, jpeg_quality: int) -> bytes:
    """Turn (H,W,3) BGR or (H,W) grey uint8 into the bytes of `image_format`."""
    if image_format == "bgr":
        bgr = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        return np.ascontiguousarray(bgr).tobytes()
    if image_format == "gray":
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return np.ascontiguousarray(grey).tobytes()
    written, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    if not written:
        raise MessageError(f"An image of shape {image.shape} cannot be written as JPEG.")
    return jpeg.tobytes()


def encode_frame(message: FrameMessage) -> list[bytes]:
    """Return the three parts of one image message."""
    fields: dict[str, object] = {
        "width": int(message.width),
        "height": int(message.height),
        "index": int(message.index),
        "timestamp": float(message.timestamp),
        "format": message.format,
        "capture_time_ns": int(message.capture_time_ns),
        "publish_time_ns": int(message.publish_time_ns),
        "status": [status.value for status in message.status],
        "filler": message.filler,
        "landmarks": message.landmark_source,
        "synthesised": bool(message.synthesised),
    }
    if message.unit is not None:
        fields |= {"unit": int(message.unit), "keyframe": bool(message.is_key)}
    return pack(message.topic, fields, message.pixels)


def decode_frame(fields: FieldReader, pixels: bytes) -> FrameMessage:
    """Check and read one image message; raises `MessageError`."""
    topic = fields.text("topic", (*FRAMES, *FORMAT_TOPICS))
    promised = FORMAT_TOPICS.get(topic)
    image_format = fields.text("format", STOCK_FORMATS if promised is None else (promised,))
    is_video = image_format == VIDEO_FORMAT
    message = FrameMessage(
        topic=topic,
        width=fields.integer("width", 1, MAX_SIDE_PX),
        height=fields.integer("height", 1, MAX_SIDE_PX),
        index=fields.integer("index", 0, MAX_TIME_NS),
        timestamp=fields.number("timestamp", -1e12, 1e12),
        format=image_format,
        capture_time_ns=fields.time_ns("capture_time_ns"),
        publish_time_ns=fields.time_ns("publish_time_ns"),
        status=fields.statuses("status"),
        filler=fields.text("filler"),
        landmark_source=fields.text("landmarks"),
        synthesised=fields.flag("synthesised"),
        pixels=pixels,
        unit=fields.integer("unit", 0, MAX_UNIT) if is_video else None,
        is_key=fields.flag("keyframe") if is_video else True,
    )
    check_pixels(message.topic, message.format, message.shape, pixels)
    return message


def check_pixels(topic: str, image_format: str, shape: tuple[int, int], pixels: bytes) -> None:
    """Raise `MessageError` unless the raw part can hold what the map promises."""
    if shape[0] * shape[1] > MAX_PIXELS:
        raise MessageError(f"{topic!r} has {shape[0] * shape[1]} pixels, over {MAX_PIXELS}.")
    if image_format in STARTS:
        if not pixels.startswith(STARTS[image_format]) or len(pixels) > MAX_JPEG_BYTES:
            kind = "a JPEG" if image_format == "jpeg" else "an H.264 picture"
            raise MessageError(f"The raw part of {topic!r} is not {kind} of acceptable size.")
        return
    wanted = shape[0] * shape[1] * (3 if image_format == "bgr" else 1)
    if len(pixels) != wanted:
        raise MessageError(
            f"The raw part of {topic!r} has {len(pixels)} bytes; "
            f"{shape[1]}×{shape[0]} {image_format} needs {wanted}."
        )
