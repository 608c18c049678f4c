"""Names on the wire: topics and ports that several parts share."""

from __future__ import annotations

from typing import Literal

from streaming.records import Side

CONTROL_PORT = 50020
PUBLISHER_PORT = 50021
EYES_PORT = 50022

FRAME_WORLD = "frame.world"  # the whole camera frame, face restored
FRAME_FACE = "frame.face"  # the aligned square crop
FRAME_EYES = ("frame.eye.0", "frame.eye.1")  # right, left, as the eye cameras see them
FACE_STATE = "face.state"
EYES = ("eye.0", "eye.1")  # right, left observations
EYE_PARAMETERS = ("eye.parameters.0", "eye.parameters.1")  # right, left, without images
SIMULATED_EYES = ("sim.eye.0", "sim.eye.1")  # right, left images that a simulated headset feeds
NOTIFY = "notify."  # prefix; the subject follows
EYE_CAMERAS_NOTE = NOTIFY + "unvisor.eye_cameras"  # what is wrong with them, in `detail`

FRAMES = (FRAME_WORLD, FRAME_FACE, *FRAME_EYES)

# A client that wants one format for certain subscribes to `FORMAT.world`, `FORMAT.face` and so on.
# These names do not begin with `frame.`: clients that subscribe to that prefix never meet them.
STOCK_FORMATS = ("jpeg", "bgr", "gray")  # what `frame.*` may carry
VIDEO_FORMAT = "h264"
FORMATS = (*STOCK_FORMATS, VIDEO_FORMAT)
VideoCodec = Literal["auto", "libx264", "h264_nvenc"]  # auto: NVENC where there is one
EyesShow = Literal["cameras", "face"]  # what `frame.eye.*` carry


def format_topic(image_format: str, topic: str) -> str:
    """Topic on which `topic`, one of `FRAMES`, travels in `image_format` and never another."""
    return f"{image_format}.{topic.removeprefix('frame.')}"


FORMAT_TOPICS = {  # such as `h264.world` -> `h264`
    format_topic(image_format, topic): image_format for image_format in FORMATS for topic in FRAMES
}


def eye_topic(side: Side) -> str:
    """Topic of one side's observations."""
    return EYES[side.eye_index]


def eye_parameters_topic(side: Side) -> str:
    """Topic of what a headset without eye images says of one side."""
    return EYE_PARAMETERS[side.eye_index]


def simulated_eye_topic(side: Side) -> str:
    """Topic on which a simulated headset feeds one side's camera images."""
    return SIMULATED_EYES[side.eye_index]


def side_of(topic: str) -> Side:
    """Side that an eye topic speaks of; the last character decides (`0` right, `1` left)."""
    return Side.RIGHT if topic.endswith("0") else Side.LEFT
