"""Settings of one run: frozen records, one TOML section per folder, JSON for child processes.

Precedence is command line > config file > profile > default; whoever reads the command line
passes its values to `override`. Paths are plain strings so that the tree stays serialisable;
empty = unset.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from edge.records import CoverKind
from edge.strict_mapping import Within, from_mapping
from hmd_capture.eye_source import EyesBy
from hmd_capture.sources.eye_view import EyeCameraSettings
from models.engine.interface import EngineChoice
from models.shipped import Precision
from streaming.errors import UserError
from streaming.topics import EyesShow, VideoCodec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Playback = Literal["once", "loop", "back-and-forth"]
Landmarks = Literal["oracle", "tracker", "mediapipe"]
Outline = Literal["quick", "fine"]
Cover = Literal["headset", "face-mask", "auto"]
PixelFormat = Literal["jpeg", "bgr", "gray"]
Port = Annotated[int, Within(0, 65535)]
Milliseconds = Annotated[float, Within(0, 60_000)]
Seconds = Annotated[float, Within(0, 1e9)]
Rate = Annotated[float, Within(1, 1000)]
SidePx = Annotated[int, Within(16, 16384)]
Threads = Annotated[int, Within(0, 256)]


@dataclass(frozen=True)
class CameraSettings:
    """`[edge.camera]`: where the frames of the wearer come from."""

    # A video file, webcam:ID with an id that `unvisor devices` lists, or gst:PIPELINE.
    source: str = "webcam:0"
    playback: Playback = "once"  # video files only
    paced: bool = True  # False: as fast as the pipeline takes frames, none dropped (capacity)
    seconds: Seconds = 0.0  # stop after this much source time; 0 = no limit
    max_width_px: SidePx = 1280  # wider frames are scaled down on arrival
    lens: str = ""  # file of `calibrate-camera`; empty = the camera's own; none = assume one
    fps: Rate = 30.0  # asked of webcams; video files keep their own rate


@dataclass(frozen=True)
class SimulationSettings:
    """`[edge.simulation]`: a headset rendered over a bare face, with eye cameras and the truth."""

    enabled: bool = False
    cover: CoverKind = "headset"
    # visor, goggles, box, or a folder of RGBA cut-outs; empty = by the seed. Face mask:
    # surgical, cloth, n95, bandana, scarf; empty = surgical.
    headset: str = ""
    seed: Annotated[int, Within(0, 2**32)] = 0
    cache: str = ""  # folder of precomputed meshes; empty = the user's cache folder


@dataclass(frozen=True)
class PreviewSettings:
    """`[edge.preview]`: the live browser page."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 8750  # 0 = any free port


@dataclass(frozen=True)
class RecordingSettings:
    """`[edge.recording]`: side-by-side video of what the preview shows."""

    path: str = ""  # mp4 file; empty = no recording
    overwrite: bool = False  # False: where a video is already, the next becomes NAME-2.mp4, …


@dataclass(frozen=True)
class OscSettings:
    """`[edge.osc]`: gaze and openness for VRChat avatars, over OSC."""

    enabled: bool = False
    host: str = "127.0.0.1"  # loopback only
    port: Port = 9000  # VRChat's
    vrchat: bool = True  # /tracking/eye/*
    vrcft: bool = False  # /avatar/parameters/v2/*, for avatars made for VRCFaceTracking
    request_port: Port = 0  # UDP, where the eyes' calibration is asked for anew; 0 = nowhere


@dataclass(frozen=True)
class EdgeSettings:
    """`[edge]`: the pipeline."""

    profile: str = ""  # folder of the session profile
    cover: Cover = "headset"  # what hides the face; auto = whichever of the two is worn
    landmarks: Landmarks = "tracker"
    outline: Outline = "fine"  # by a second network; quick = without, 5 ms of a core less
    person: str = "nearest"  # whom to follow: nearest, left, right, or a number from the left
    marker: str = ""  # sticker on the headset: aruco:ID or apriltag:ID; empty = none
    max_eye_age_ms: Milliseconds = 100.0  # older eye observations are not used
    # A longer hole between frames resets the network's states.
    max_gap_ms: Annotated[float, Within(1, 60_000)] = 500.0
    report: str = ""  # timing JSON written when the run ends
    spans: str = ""  # folder for every stage of every frame (`unvisor profile`); empty = not kept
    quality: bool = False  # compare with the truth of a simulated headset
    camera: CameraSettings = field(default_factory=CameraSettings)
    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    preview: PreviewSettings = field(default_factory=PreviewSettings)
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    osc: OscSettings = field(default_factory=OscSettings)


@dataclass(frozen=True)
class ModelsSettings:
    """`[models]`: which filler runs, at which size."""

    filler: str = "auto"  # see `models.filling`; auto = the best one of this version
    weights: str = ""  # network of the filler `unvisor` (.onnx); empty = the shipped one
    precision: Precision = "auto"  # of the shipped one; auto = INT8 where the processor has VNNI
    size_px: SidePx = 128
    engine: EngineChoice = "auto"  # auto = TensorRT where `build-engine` was run, else onnxruntime
    # Of each network; 0 = half the cores: tracker and filler run side by side.
    threads: Threads = 0


@dataclass(frozen=True)
class StreamingSettings:
    """`[streaming]`: sockets that clients connect to. There is no key for `--insecure-lan`."""

    host: str = "127.0.0.1"  # beyond loopback (0.0.0.0: all networks) keys are needed
    keys: str = ""  # folder of `unvisor keys`; empty = the user's own
    control_port: Port = 50020  # 0 = any free port
    publisher_port: Port = 50021
    pixel_format: PixelFormat = "jpeg"  # of frame.* until a client asks for another
    jpeg_quality: Annotated[int, Within(1, 100)] = 90
    eyes: EyesShow = "cameras"  # face = on frame.eye.* too, for clients that know only eyes
    badge: bool = False  # a visible mark on restored pictures
    video_codec: VideoCodec = "auto"  # of h264.*; auto = NVENC where there is one


@dataclass(frozen=True)
class HmdCaptureSettings:
    """`[hmd_capture]`: the program beside the headset."""

    publisher: str = "tcp://127.0.0.1:50022"  # eye landmarks, bound by hmd_capture
    feed: str = "tcp://127.0.0.1:50023"  # simulated eye crops, bound by hmd_capture
    key: str = ""  # client key file, when hmd_capture runs elsewhere and is not started here
    clock: str = ""  # where its clock may be asked, likewise
    eyes: EyesBy = "network"  # oracle: believe the simulated headset instead of reading images
    right: EyeCameraSettings = field(default_factory=EyeCameraSettings)
    left: EyeCameraSettings = field(default_factory=EyeCameraSettings)


@dataclass(frozen=True)
class SessionSettings:
    """Everything one run needs; one section per folder."""

    edge: EdgeSettings = field(default_factory=EdgeSettings)
    models: ModelsSettings = field(default_factory=ModelsSettings)
    streaming: StreamingSettings = field(default_factory=StreamingSettings)
    hmd_capture: HmdCaptureSettings = field(default_factory=HmdCaptureSettings)


def keys_path(settings: SessionSettings) -> Path | None:
    """Folder of keys that the settings name; None for the user's own."""
    return Path(settings.streaming.keys) if settings.streaming.keys else None


def load_toml(path: Path) -> SessionSettings:
    """Read a config file; missing keys keep their defaults.

    Raises:
        UserError: the file is missing, is not TOML, or has an unknown key or a wrong value.
    """
    return from_mapping(SessionSettings, _toml(path), str(path))


def names_camera(path: Path) -> bool:
    """Whether a config file says which camera to use; raises UserError as `load_toml` does."""
    camera = _toml(path).get("edge", {}).get("camera", {})
    return bool(isinstance(camera, dict) and "source" in camera)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the config file {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error


def to_json(settings: SessionSettings) -> str:
    """The whole tree as JSON text, for a child process or beside a result."""
    return json.dumps(dataclasses.asdict(settings), indent=1)


def from_json(text: str) -> SessionSettings:
    """Inverse of `to_json`."""
    return from_mapping(SessionSettings, json.loads(text), "settings JSON")


def override(settings: SessionSettings, changes: Mapping[str, Any]) -> SessionSettings:
    """Replace values by dotted key (`{"edge.camera.source": "clip.mp4"}`); None changes nothing.

    Raises:
        UserError: an unknown key or a wrong value.
    """
    tree = dataclasses.asdict(settings)
    for key, value in changes.items():
        if value is None:
            continue
        *sections, leaf = key.split(".")
        node = tree
        for section in sections:
            node = node.get(section, {})
        if leaf not in node:
            raise UserError(f"Unknown setting {key!r}.")
        node[leaf] = value
    return from_mapping(SessionSettings, tree, "command line")
