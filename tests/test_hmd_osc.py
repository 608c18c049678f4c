"""Eyes without images: OSC from real UDP senders, well-behaved and hostile."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import SimpleUDPClient

from hmd_capture.sources.osc_eyes import OscEyes
from hmd_capture.sources.osc_packet import read_packet
from hmd_capture.sources.osc_words import BadWord, EyeWords, read_word
from streaming.endpoints import AddressInUse
from streaming.records import EyeParameters, Side

WAIT_S = 10.0
BOTH = (Side.RIGHT, Side.LEFT)
V2 = "/avatar/parameters/v2/"
TRACKING = "/tracking/eye/"


@pytest.fixture
def listener() -> Iterator[OscEyes]:
    eyes = OscEyes("0", BOTH, threading.Event())
    yield eyes
    eyes.close()


@pytest.fixture
def sender(listener: OscEyes) -> SimpleUDPClient:
    return SimpleUDPClient("127.0.0.1", listener.port)


def newest(listener: OscEyes, count: int = 1) -> dict[Side, EyeParameters]:
    """What was told last, once so many states have come."""
    found: dict[Side, EyeParameters] = {}
    deadline_s = time.monotonic() + WAIT_S
    while count > 0:
        assert time.monotonic() < deadline_s, f"{dict(listener.counts)}"
        for state in listener.take():
            found[state.side] = state
            count -= 1
        time.sleep(0.005)
    return found


def said(address: str, *arguments: object) -> dict[Side, EyeWords]:
    changes = read_word(address, arguments)
    return {side: change(EyeWords()) for side, change in changes.items()}


def test_vrcfacetracking_parameters_become_gaze_and_openness() -> None:
    (left,) = said(f"{V2}EyeLeftX", 0.5).items()
    assert left[0] is Side.LEFT
    # The wearer's right is the left of the image in which others see the face.
    assert left[1].gaze == pytest.approx([-math.radians(22.5), 0.0])
    assert said(f"{V2}EyeRightY", -1.0)[Side.RIGHT].gaze == pytest.approx([0.0, -math.pi / 4])
    assert said("/avatar/parameters/FT/v2/EyeLidRight", 0.75)[Side.RIGHT].openness == 1.0
    assert said(f"{V2}EyeLidLeft", 0.375)[Side.LEFT].openness == pytest.approx(0.5)
    assert said(f"{V2}EyeLidLeft", 1)[Side.LEFT].openness == 1.0
    assert set(said(f"{V2}EyeLid", 0.0)) == set(said(f"{V2}EyeY", 0.1)) == set(BOTH)


@pytest.mark.parametrize(
    ("address", "arguments"),
    [
        # VRChat's own example: 15 degrees up, 20 to the wearer's right.
        ("CenterPitchYaw", (-15.0, 20.0)),
        ("CenterPitchYawDist", (-15.0, 20.0, 0.5)),
        ("CenterVec", (0.3304, 0.2588, 0.9077)),
        ("CenterVecFull", (0.1652, 0.1294, 0.4538)),
        ("LeftRightPitchYaw", (-15.0, 20.0, -15.0, 20.0)),
        ("LeftRightVec", (0.3304, 0.2588, 0.9077, 0.3304, 0.2588, 0.9077)),
    ],
)
def test_every_way_vrchat_has_to_tell_a_gaze_means_the_same(
    address: str, arguments: tuple[float, ...]
) -> None:
    for side in BOTH:
        gaze = said(TRACKING + address, *arguments)[side].gaze
        assert gaze == pytest.approx([-math.radians(20), math.radians(15)], abs=0.002)


def test_the_left_eye_comes_first_in_vrchats_pairs() -> None:
    words = said(f"{TRACKING}LeftRightPitchYaw", 0.0, -10.0, 0.0, 10.0)
    assert words[Side.LEFT].right_rad == pytest.approx(-math.radians(10))
    assert words[Side.RIGHT].right_rad == pytest.approx(math.radians(10))


def test_closed_eyes_are_not_open() -> None:
    words = said(f"{TRACKING}EyesClosedAmount", 0.9)
    assert words[Side.LEFT].openness == pytest.approx(0.1)
    assert words[Side.RIGHT].gaze is None


@pytest.mark.parametrize(
    "address",
    [
        "/avatar/parameters/v2/JawOpen",
        f"{V2}EyeLidLeftX",
        f"{V2}EyeLeft",
        "/chatbox/input",
        "",
        "/",
    ],
)
def test_what_is_not_about_eyes_is_left_alone(address: str) -> None:
    assert read_word(address, (1.0,)) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("0.5",),
        (True,),
        (None,),
        (0.1, 0.2),
        (math.nan,),
        (math.inf,),
        (5.0,),
        (b"x",),
        ([1.0],),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: tuple[object, ...]) -> None:
    for name in ("EyeLeftX", "EyeLidLeft"):
        with pytest.raises(BadWord):
            read_word(V2 + name, arguments)


def test_a_gaze_backwards_is_refused() -> None:
    with pytest.raises(BadWord, match="forward"):
        read_word(f"{TRACKING}CenterVec", (0.0, 0.0, -1.0))


def test_single_messages_add_up_to_one_state(listener: OscEyes, sender: SimpleUDPClient) -> None:
    sender.send_message(f"{V2}EyeLeftX", -0.2)
    newest(listener)
    sender.send_message(f"{V2}EyeLeftY", 0.4)
    newest(listener)
    before_ns = time.monotonic_ns()
    sender.send_message(f"{V2}EyeLidLeft", 0.6)
    (state,) = newest(listener).values()
    assert state.side is Side.LEFT
    assert state.gaze == pytest.approx([0.2 * math.pi / 4, 0.4 * math.pi / 4])
    assert state.openness == pytest.approx(0.8)
    assert before_ns <= state.capture_time_ns <= time.monotonic_ns()


def test_a_bundle_is_one_instant_of_both_eyes(listener: OscEyes, sender: SimpleUDPClient) -> None:
    bundle = OscBundleBuilder(IMMEDIATELY)
    for side, lid in (("Left", 0.0), ("Right", 0.75)):
        message = OscMessageBuilder(f"{V2}EyeLid{side}")
        message.add_arg(lid)
        bundle.add_content(message.build())
    sender.send(bundle.build())
    states = newest(listener, 2)
    assert states[Side.LEFT].openness == 0.0
    assert states[Side.RIGHT].openness == 1.0
    assert states[Side.LEFT].capture_time_ns == states[Side.RIGHT].capture_time_ns


def test_what_a_silent_sender_said_is_forgotten(listener: OscEyes, sender: SimpleUDPClient) -> None:
    """A closed eye from before a break must not be told with a new time."""
    sender.send_message(f"{V2}EyeLidLeft", 0.0)
    assert newest(listener)[Side.LEFT].openness == 0.0
    time.sleep(1.2)
    assert listener.age_s > 1.0
    assert listener.take() == ()
    sender.send_message(f"{V2}EyeLeftX", 0.1)
    assert newest(listener)[Side.LEFT].openness is None


def test_hostile_datagrams_are_counted_and_survived(
    listener: OscEyes, sender: SimpleUDPClient
) -> None:
    wild = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver = ("127.0.0.1", listener.port)
    good = OscMessageBuilder(f"{V2}EyeLidLeft")
    good.add_arg(0.3)
    whole = good.build().dgram
    bundle = b"#bundle\x00" + b"\x00" * 7 + b"\x01"
    for datagram in (
        b"",
        b"GET / HTTP/1.1",
        whole[:-2],
        whole.replace(b",f", b",["),
        b"x" * 5000,
        bundle + b"\xff\xff\xff\xff",
        bundle + b"\x7f\xff\xff\xff" + whole,
        bundle * 200,
    ):
        wild.sendto(datagram, receiver)
        time.sleep(0.02)
    sender.send_message(f"{V2}EyeLidLeft", "open")
    sender.send_message(f"{V2}EyeLidLeft", math.nan)
    sender.send_message(f"{V2}EyeLidLeft", 0.75)
    assert newest(listener)[Side.LEFT].openness == 1.0
    assert listener.counts["word"] == 2
    assert listener.counts["malformed"] == 8
    wild.close()


@given(st.binary(max_size=300))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_datagram_breaks_the_reader(listener: OscEyes, datagram: bytes) -> None:
    listener.counts.clear()
    for start in (b"", b"#bundle\x00", b"/avatar/parameters/v2/EyeLeftX\x00\x00,f\x00\x00"):
        assert listener._read(start + datagram) <= set(BOTH)


ARGUMENTS = st.lists(
    st.one_of(
        st.floats(width=32, allow_nan=False),
        st.integers(-(2**31), 2**31 - 1),
        st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=9),
        st.booleans(),
    ),
    max_size=6,
)


@given(ARGUMENTS)
def test_what_another_library_packs_is_read_as_it_was_meant(arguments: list[object]) -> None:
    builder = OscMessageBuilder("/some/address")
    for argument in arguments:
        kind = "f" if type(argument) is float else None
        builder.add_arg(argument, kind)
    assert list(read_packet(builder.build().dgram)) == [("/some/address", tuple(arguments))]


def test_a_port_in_use_is_one_clear_sentence(listener: OscEyes) -> None:
    with pytest.raises(AddressInUse, match="already in use") as caught:
        OscEyes(str(listener.port), BOTH, threading.Event())
    assert "choose another" in caught.value.next_step
