"""`face.state`: everything about the restored face that is not pixels."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.records import Float32Array, Status
from streaming.topics import FACE_STATE
from streaming.wire import MAX_TIME_NS, FieldReader, MessageError, flat, pack

MAX_LANDMARKS = 1024


@dataclass(frozen=True)
class FaceState:
    """The face of one camera frame, as numbers."""

    index: int  # frame id of the camera frame
    timestamp: float  # s on the publishing clock, of the capture
    capture_time_ns: int  # monotonic clock of the publisher's machine
    publish_time_ns: int  # same clock
    landmarks: Float32Array  # (478,3) px of `frame.world`; (0,3) without a face
    gaze: Float32Array  # (2,2) rad: (right, left) × (yaw, pitch)
    openness: Float32Array  # (2,) 0..1: right, left
    eye_ages_ns: tuple[int | None, int | None]  # right, left at the capture; None without an eye
    frame_from_crop: Float32Array  # (2,3): px of `frame.face` -> px of `frame.world`
    status: tuple[Status, ...]
    filler: str  # "unvisor" | "warp-blend" | "none"
    landmark_source: str  # "oracle" | "tracker" | "mediapipe"
    synthesised: bool  # whether any pixel of the frame's pictures was made by a filler
    # How late the pictures leave, smoothed, ms: what an audio pipeline should be delayed by, plus
    # what the client itself adds. None before the first picture.
    video_delay_ms: float | None = None


def encode_face_state(state: FaceState) -> list[bytes]:
    """Return the two parts of one message; arrays travel as flat lists of float64."""
    fields: dict[str, object] = {
        "index": int(state.index),
        "timestamp": float(state.timestamp),
        "capture_time_ns": int(state.capture_time_ns),
        "publish_time_ns": int(state.publish_time_ns),
        "landmarks": flat("landmarks", state.landmarks, (-1, 3)),
        "gaze": flat("gaze", state.gaze, (2, 2)),
        "openness": flat("openness", state.openness, (2,)),
        "eye_ages_ns": list(state.eye_ages_ns),
        "frame_from_crop": flat("frame_from_crop", state.frame_from_crop, (2, 3)),
        "status": [status.value for status in state.status],
        "filler": state.filler,
        "landmark_source": state.landmark_source,
        "synthesised": bool(state.synthesised),
    }
    if state.video_delay_ms is not None:
        fields["video_delay_ms"] = float(state.video_delay_ms)
    return pack(FACE_STATE, fields)


def decode_face_state(fields: FieldReader) -> FaceState:
    """Check and read one message; raises `MessageError`."""
    landmarks = fields.array("landmarks", (-1, 3))
    if len(landmarks) > MAX_LANDMARKS:
        raise MessageError(f"'face.state' has {len(landmarks)} landmarks, over {MAX_LANDMARKS}.")
    filler = fields.text("filler")
    # Recordings of before the flag: rather too often than too seldom.
    is_told = not fields.is_nil("synthesised")
    right_age_ns, left_age_ns = fields.optional_times_ns("eye_ages_ns", 2)
    return FaceState(
        index=fields.integer("index", 0, MAX_TIME_NS),
        timestamp=fields.number("timestamp", -1e12, 1e12),
        capture_time_ns=fields.time_ns("capture_time_ns"),
        publish_time_ns=fields.time_ns("publish_time_ns"),
        landmarks=landmarks,
        gaze=fields.array("gaze", (2, 2)),
        openness=fields.array("openness", (2,)),
        eye_ages_ns=(right_age_ns, left_age_ns),
        frame_from_crop=fields.array("frame_from_crop", (2, 3)),
        status=fields.statuses("status"),
        filler=filler,
        landmark_source=fields.text("landmark_source"),
        synthesised=fields.flag("synthesised") if is_told else filler != "none",
        video_delay_ms=fields.optional_number("video_delay_ms"),
    )
