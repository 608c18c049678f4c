"""Gaze and openness out to VRChat and VRCFaceTracking, as a real UDP receiver gets them."""

from __future__ import annotations

import dataclasses
import math
import socket
from collections.abc import Iterator

import numpy as np
import pytest
from edge_views import a_view
from pythonosc.osc_packet import OscPacket

from edge.osc_output import OscOutput
from edge.records import PipelineView
from edge.settings import OscSettings, SessionSettings, override
from edge.sinks import close_sinks, open_sinks
from hmd_capture.sources.osc_words import EyeWords, read_word
from streaming.errors import UserError
from streaming.records import PASSED_THROUGH, Side, Status

LIVE = (Status.LIVE,)
V2 = "/avatar/parameters/v2/"


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.5)
        yield listener


def view(status: tuple[Status, ...] = LIVE, right=(0.2, 0.1, 0.8), left=(0.1, -0.1, 0.4)):
    """A view whose eyes have (yaw, pitch, openness)."""
    shown = a_view(status=status)
    gaze = np.array([right[:2], left[:2]], np.float32)
    openness = np.array([right[2], left[2]], np.float32)
    restored = dataclasses.replace(shown.restored, gaze=gaze, openness=openness)
    return dataclasses.replace(shown, restored=restored)


def sent(receiver: socket.socket, shown: PipelineView, **options: bool) -> dict[str, list[float]]:
    output = OscOutput(OscSettings(True, port=receiver.getsockname()[1], **options))
    output.show(shown)
    words: dict[str, list[float]] = {}
    for _ in range(output.sent):
        (timed,) = OscPacket(receiver.recv(2000)).messages
        words[timed.message.address] = timed.message.params
    output.close()
    return words


def test_vrchat_gets_degrees_down_and_to_the_wearers_right(receiver: socket.socket) -> None:
    words = sent(receiver, view())
    expected = [math.degrees(v) for v in (0.1, -0.1, -0.1, -0.2)]  # left pitch, yaw, right
    assert words.pop("/tracking/eye/LeftRightPitchYaw") == pytest.approx(expected, abs=1e-4)
    assert words.pop("/tracking/eye/EyesClosedAmount") == pytest.approx([0.4], abs=1e-6)
    assert not words


def test_what_is_sent_is_what_the_receiving_side_reads(receiver: socket.socket) -> None:
    shown = view()
    for options in ({"vrchat": True}, {"vrchat": False, "vrcft": True}):
        heard = {side: EyeWords() for side in Side}
        for address, arguments in sent(receiver, shown, **options).items():
            for side, change in read_word(address, arguments).items():
                heard[side] = change(heard[side])
        for side, words in heard.items():
            gaze = shown.restored.gaze[side.eye_index]
            assert words.gaze == pytest.approx(gaze, abs=1e-5)
    assert heard[Side.RIGHT].openness == pytest.approx(0.8)
    assert heard[Side.LEFT].openness == pytest.approx(0.4)


def test_gazes_beyond_45_degrees_stay_in_range(receiver: socket.socket) -> None:
    words = sent(receiver, view(right=(1.2, -1.2, 1.0)), vrchat=False, vrcft=True)
    assert words[f"{V2}EyeRightX"] == [-1.0]
    assert words[f"{V2}EyeRightY"] == [-1.0]
    assert words[f"{V2}EyeLidRight"] == [0.75]


@pytest.mark.parametrize(
    "status", [Status.STALE_EYES, Status.PLAUSIBLE, Status.PAUSED, *PASSED_THROUGH]
)
def test_eyes_that_are_not_seen_are_not_made_up(receiver: socket.socket, status: Status) -> None:
    assert sent(receiver, view((Status.LIVE, status)), vrcft=True) == {}


def test_it_is_off_unless_asked_for(receiver: socket.socket) -> None:
    assert open_sinks(SessionSettings()) == []
    port = receiver.getsockname()[1]
    settings = override(SessionSettings(), {"edge.osc.enabled": True, "edge.osc.port": port})
    sinks = open_sinks(settings)
    sinks[0].show(view())
    assert receiver.recv(2000)
    close_sinks(sinks)


@pytest.mark.parametrize(("host", "port"), [("192.168.1.5", 9000), ("127.0.0.1", 0)])
def test_other_machines_are_refused(host: str, port: int) -> None:
    with pytest.raises(UserError, match="not encrypted"):
        OscOutput(OscSettings(True, host, port))


def test_a_receiver_at_the_port_for_requests_is_refused() -> None:
    """The session sent its words to itself, and VRChat heard none."""
    with pytest.raises(UserError, match=r"port 9001 .*two different ports"):
        OscOutput(OscSettings(True, port=9001, request_port=9001))


def test_a_receiver_that_is_gone_costs_nothing(receiver: socket.socket) -> None:
    port = receiver.getsockname()[1]
    receiver.close()
    output = OscOutput(OscSettings(True, port=port))
    for _ in range(5):
        output.show(view())
    output.close()
    assert output.sent + output.dropped == 10
