"""Gaze and openness of the wearer for VRChat and VRCFaceTracking avatars, over OSC (UDP)."""

from __future__ import annotations

import math
import socket

from pythonosc.osc_message_builder import OscMessageBuilder

from edge.records import PipelineView
from edge.settings import OscSettings, SessionSettings
from streaming.errors import UserError
from streaming.records import PASSED_THROUGH, RestoredFace, Status

# VRCFaceTracking v2: 45° is 1, an eye as open as usual .75 (above it is widened).
FULL_GAZE_RAD = math.pi / 4
OPEN_LID = 0.75
PARAMETERS = "/avatar/parameters/v2/"
TRACKING = "/tracking/eye/"
LOOPBACK = ("127.0.0.1", "localhost")
# With these the numbers are defaults and no measurements.
UNSEEN = (Status.STALE_EYES, Status.PLAUSIBLE, Status.PAUSED)


class OscOutput:
    """A sink: sends each frame's eyes, and nothing while they are not seen or sending is paused.

    VRChat goes back to its own eyes ten seconds after the last message.
    """

    def __init__(self, settings: OscSettings) -> None:
        """Raises `UserError` for a receiver on another machine, or for our own ear."""
        if settings.host not in LOOPBACK or not 1 <= settings.port <= 65535:
            raise UserError(
                f"OSC is not sent to {settings.host}:{settings.port}: it is not encrypted.",
                "Use host 127.0.0.1 and a port of 1 to 65535.",
            )
        if settings.port == settings.request_port:
            raise UserError(
                f"OSC is sent to port {settings.port} and requests are expected there, too: the "
                "receiver would hear nothing.",
                "Name two different ports as `port` (VRChat: 9000) and `request_port` in "
                "[edge.osc]; VRChat sends to 9001.",
            )
        self._settings = settings
        self._receiver = ("127.0.0.1", settings.port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.sent = self.dropped = 0  # messages

    def show(self, view: PipelineView) -> None:
        """Send one frame's eyes; never waits."""
        for address, values in self._words(view.restored):
            try:
                self._socket.sendto(_packed(address, values), self._receiver)
                self.sent += 1
            except OSError:  # nobody listens, or the buffer is full: the next frame is newer
                self.dropped += 1

    def close(self) -> None:
        """Free the socket."""
        self._socket.close()

    def _words(self, face: RestoredFace) -> list[tuple[str, list[float]]]:
        if any(status in UNSEEN + PASSED_THROUGH for status in face.status):
            return []
        words: list[tuple[str, list[float]]] = []
        if self._settings.vrchat:
            words += vrchat_words(face)
        if self._settings.vrcft:
            words += vrcft_words(face)
        return words


def open_osc(settings: SessionSettings) -> OscOutput:
    """Open the sink that `[edge.osc]` asks for."""
    return OscOutput(settings.edge.osc)


def vrchat_words(face: RestoredFace) -> list[tuple[str, list[float]]]:
    """VRChat's own eye tracking: degrees, pitch down, yaw to the wearer's right; one lid value."""
    right, left = ([-math.degrees(pitch), -math.degrees(yaw)] for yaw, pitch in face.gaze)
    closed = 1.0 - float(face.openness.mean())
    return [
        (f"{TRACKING}LeftRightPitchYaw", [*left, *right]),
        (f"{TRACKING}EyesClosedAmount", [min(1.0, max(0.0, closed))]),
    ]


def vrcft_words(face: RestoredFace) -> list[tuple[str, list[float]]]:
    """VRCFaceTracking's v2 parameters: x to the wearer's right, y up."""
    words: list[tuple[str, list[float]]] = []
    for name, (yaw, pitch), openness in zip(
        ("Right", "Left"), face.gaze, face.openness, strict=True
    ):
        # The wearer's right is the image's left.
        words.append((f"{PARAMETERS}Eye{name}X", [_share(-float(yaw))]))
        words.append((f"{PARAMETERS}Eye{name}Y", [_share(float(pitch))]))
        words.append((f"{PARAMETERS}EyeLid{name}", [OPEN_LID * float(openness)]))
    return words


def _share(angle_rad: float) -> float:
    return max(-1.0, min(1.0, angle_rad / FULL_GAZE_RAD))


def _packed(address: str, values: list[float]) -> bytes:
    builder = OscMessageBuilder(address=address)
    for value in values:
        builder.add_arg(float(value), OscMessageBuilder.ARG_TYPE_FLOAT)
    return bytes(builder.build().dgram)
