"""The relay between a real encrypted server and clients that know no keys."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pupil_labs.pupil_core_network_client as pcnc
import pytest
import typer
import zmq
from lan_server import SIDE, marked_face
from typer.testing import CliRunner

from streaming.clock import PublishingClock, monotonic_ns
from streaming.control import ControlServer
from streaming.control_client import ControlClient
from streaming.endpoints import AddressInUse, AddressMalformed
from streaming.errors import UserError
from streaming.messages import FaceState, FrameMessage, Notification
from streaming.publisher import Publisher
from streaming.relay.both_halves import Relay
from streaming.relay.command import relay as relay_command
from streaming.relay.command import server_address
from streaming.relay.questions import SILENT
from streaming.security.gate import Gate
from streaming.security.keys import ClientKeys, KeyFolder, load_client, new_pair
from streaming.security.rate_limit import TOO_MANY
from streaming.subscriber import Subscriber
from streaming.topics import FACE_STATE, FRAME_FACE, FRAME_WORLD

WAIT_S = 20.0
APP = typer.Typer()
APP.command()(relay_command)


class Server:
    """A pipeline's sockets behind a gate, publishing at about 100 a second."""

    def __init__(self, folder: KeyFolder, publisher_port: int = 0, control_port: int = 0) -> None:
        self.gate = Gate(folder)
        self.publisher = Publisher(publisher_port, "0.0.0.0", guard=self.gate)
        self.words: list[Notification] = []
        self.clock = PublishingClock()
        self.control = ControlServer(
            self.publisher.port, self._hear, self.clock, control_port, "0.0.0.0", self.gate
        )
        self.captured: dict[int, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _hear(self, word: Notification) -> None:
        self.words.append(word)
        self.publisher.obey(word)

    def _run(self) -> None:
        while not self._ended.wait(0.01):
            face = marked_face(len(self.captured))
            self.captured[face.frame_id] = face.capture_time_ns
            self.publisher.publish_restored(face)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.control.close()
        self.publisher.close()
        self.gate.close()


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def anna(folder: KeyFolder, tmp_path: Path) -> ClientKeys:
    folder.new_client("anna", tmp_path / "anna.key")
    return load_client(tmp_path / "anna.key")


@pytest.fixture
def server(folder: KeyFolder, anna: ClientKeys) -> Iterator[Server]:
    running = Server(folder)
    yield running
    running.close()


@pytest.fixture
def relay(server: Server, anna: ClientKeys) -> Iterator[Relay]:
    with Relay("127.0.0.1", anna, server.control.port, 0, 0) as opened:
        yield opened


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def settled(relay: Relay) -> ControlClient:
    """A client of the relay that has reached the server."""
    client = ControlClient(relay.address, WAIT_S)
    wait_until(lambda: client.ask("v") != SILENT.decode())
    return client


def test_bytes_pass_unchanged_to_a_client_that_knows_no_keys(relay: Relay, server: Server) -> None:
    with Subscriber(f"{relay.publisher_port}", [FRAME_WORLD, FACE_STATE]) as client:
        for topic in (FRAME_WORLD, FACE_STATE):
            arrival = client.take(topic, WAIT_S)
            assert arrival is not None
            assert isinstance(arrival.message, FrameMessage | FaceState)
            assert arrival.message.capture_time_ns == server.captured[arrival.message.index]
        assert client.rejected == 0
    assert set(relay.pictures.passed) == {FRAME_WORLD, FACE_STATE}


def test_only_what_clients_here_want_is_asked_of_the_server(relay: Relay, server: Server) -> None:
    with Subscriber(f"{relay.publisher_port}", [FRAME_WORLD]) as client:
        assert client.take(FRAME_WORLD, WAIT_S)
        assert server.publisher.wants(FRAME_WORLD)
        assert not server.publisher.wants(FRAME_FACE)
    wait_until(lambda: not server.publisher.wants(FRAME_WORLD))


def test_ports_are_the_relays_and_all_else_the_servers(relay: Relay, server: Server) -> None:
    client = settled(relay)
    assert client.ask("SUB_PORT") == str(relay.publisher_port)
    assert client.ask("PUB_PORT") != str(server.control.notification_port)
    assert client.ask("v") == "3.5.7"
    assert client.ask("T 1000") == "Timesync successful."
    assert 1000 <= float(client.ask("t")) < 1000 + WAIT_S
    assert 1000 <= server.clock.now_s() < 1000 + WAIT_S
    assert client.ask("dance") == "Unknown command."
    assert client.notify("frame_publishing.set_format", {"format": "gray"}) == "Message forwarded."
    (word,) = server.words
    assert (word.subject, word.fields) == ("frame_publishing.set_format", {"format": "gray"})
    assert client.notify("hello") == "Message forwarded."
    assert server.words[1].sender != word.sender  # the server can tell its clients apart
    told_s = client.measure_offset().sender_from_ours(monotonic_ns()) / 1e9
    assert abs(told_s - server.clock.now_s()) < 1


def test_notifications_published_to_the_relays_pub_port_reach_the_server(
    relay: Relay, server: Server
) -> None:
    port = settled(relay).ask("PUB_PORT")
    sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
    sender.linger = 0
    sender.connect(f"tcp://127.0.0.1:{port}")

    def is_heard() -> bool:
        sender.send_multipart([b"notify.hello", b"\x81\xa7subject\xa5hello"])
        return bool(server.words)

    wait_until(is_heard)
    sender.close()
    assert server.words[0].subject == "hello"


def test_the_relay_outlives_its_server_and_finds_it_on_another_port(
    folder: KeyFolder, anna: ClientKeys
) -> None:
    first = Server(folder)
    control_port = first.control.port
    with Relay("127.0.0.1", anna, control_port, 0, 0) as relay:
        client = settled(relay)
        with Subscriber(f"{relay.publisher_port}", [FRAME_WORLD]) as subscriber:
            assert subscriber.take(FRAME_WORLD, WAIT_S)
            first.close()
            assert client.ask("v") == SILENT.decode()
            assert client.ask("SUB_PORT") == str(relay.publisher_port)
            again = Server(folder, control_port=control_port)  # publishes on another port
            subscriber.take(FRAME_WORLD, 0)
            assert subscriber.take(FRAME_WORLD, WAIT_S)
            settled(relay)
            again.close()


def test_the_relay_says_why_it_is_not_let_in_and_gets_in_later(
    server: Server, folder: KeyFolder
) -> None:
    pair = new_pair()
    keys = ClientKeys(folder.server().public, pair.public, pair.secret)
    with Relay("127.0.0.1", keys, server.control.port, 0, 0) as relay:
        wait_until(lambda: relay.trouble)
        assert "does not allow" in str(relay.trouble)
        assert ControlClient(relay.address, WAIT_S).ask("t") == SILENT.decode()
        folder.allow("late", pair.public)
        settled(relay)
        with Subscriber(f"{relay.publisher_port}", [FRAME_WORLD]) as subscriber:
            assert subscriber.take(FRAME_WORLD, WAIT_S)
        assert relay.trouble is None


def test_a_client_that_stalls_behind_the_relay_wakes_to_recent_frames(
    relay: Relay, server: Server
) -> None:
    sleeper: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    sleeper.linger = 0
    sleeper.rcvhwm = 1
    sleeper.rcvbuf = 64 * 1024
    sleeper.subscribe(FRAME_WORLD)
    sleeper.connect(f"tcp://127.0.0.1:{relay.publisher_port}")
    with Subscriber(f"{relay.publisher_port}", [FRAME_WORLD]) as reader:
        while relay.pictures.passed[FRAME_WORLD] < 200:
            assert reader.take(FRAME_WORLD, WAIT_S)
    waiting = 0
    while sleeper.poll(0):
        sleeper.recv_multipart()
        waiting += 1
    sleeper.close()
    assert 0 < waiting < 100


def test_a_flood_of_questions_costs_the_flooder_answers_and_nobody_else(
    relay: Relay, server: Server
) -> None:
    client = settled(relay)
    flood: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    flood.linger = 0
    flood.sndhwm = flood.rcvhwm = 10_000
    flood.connect(f"tcp://{relay.address}")
    for _ in range(1000):
        flood.send_multipart([b"", b"SUB_PORT"])
    answers = []
    while len(answers) < 1000:
        assert flood.poll(round(WAIT_S * 1000))
        answers.append(flood.recv_multipart()[-1])
        if len(answers) % 100 == 0:
            assert client.ask("SUB_PORT") == str(relay.publisher_port)
    flood.close()
    assert TOO_MANY.encode() in answers


def test_a_port_in_use_is_named_and_nothing_is_left_open(server: Server, anna: ClientKeys) -> None:
    with pytest.raises(AddressInUse, match=str(server.control.port)):
        Relay("127.0.0.1", anna, server.control.port, server.control.port, 0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("192.168.1.7", ("192.168.1.7", 50020)),
        ("jetson.local:50120", ("jetson.local", 50120)),
        ("tcp://[::1]:5", ("[::1]", 5)),
    ],
)
def test_the_server_may_be_named_without_a_port(text: str, wanted: tuple[str, int]) -> None:
    assert server_address(text) == wanted


@pytest.mark.parametrize("text", ["", "a b", "host:0", "host:99999", "http://host"])
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(AddressMalformed, match="HOST"):
        server_address(text)


def test_the_command_relays_between_processes(
    server: Server, anna: ClientKeys, tmp_path: Path
) -> None:
    """`unvisor relay` in a process of its own, as on the client's machine; Ctrl-C ends it."""
    root = Path(__file__).resolve().parent.parent
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [
        *(sys.executable, "-m", "edge", "relay", f"127.0.0.1:{server.control.port}"),
        *("--key", str(tmp_path / "anna.key"), "--control-port", "0", "--publisher-port", port),
        "--json",
    ]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as relay:
        with Subscriber(port, [FRAME_WORLD]) as client:
            assert client.take(FRAME_WORLD, WAIT_S) is not None
        relay.send_signal(signal.SIGINT)
        summary = json.loads(relay.communicate(timeout=WAIT_S)[0])
    assert relay.returncode == 0
    assert summary["passed"][FRAME_WORLD] > 0
    assert summary["trouble"] is None


def test_an_existing_client_that_knows_no_keys_receives_through_the_relay(relay: Relay) -> None:
    """pupil-core-network-client from the package index, unmodified."""
    settled(relay)
    device = pcnc.Device(port=relay.control_port)
    try:
        assert device.is_connected
        assert device.request_version() == "3.5.7"
        with device.subscribe("frame.world") as subscription:
            message = subscription.recv_new_message(timeout_ms=round(WAIT_S * 1000))
        assert message.payload["width"] == SIDE
        assert len(message.payload["__raw_data__"][0]) > 100
    finally:
        device.disconnect()


def test_the_command_names_its_trouble(server: Server, folder: KeyFolder, tmp_path: Path) -> None:
    folder.revoke("anna")
    arguments = [f"127.0.0.1:{server.control.port}", "--key", str(tmp_path / "anna.key")]
    free = ["--control-port", "0", "--publisher-port", "0", "--seconds", "1", "--json"]
    outcome = CliRunner().invoke(APP, [*arguments, *free], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert "does not allow" in json.loads(outcome.stdout)["trouble"]


def test_the_command_does_not_relay_to_itself(tmp_path: Path) -> None:
    arguments = ["127.0.0.1:50999", "--control-port", "50999", "--key", str(tmp_path / "anna.key")]
    with pytest.raises(UserError, match=r"where the relay itself would listen.*Name the machine"):
        CliRunner().invoke(APP, arguments, catch_exceptions=False)


def test_relayed_pictures_are_the_servers(relay: Relay) -> None:
    with Subscriber(f"{relay.publisher_port}", [FRAME_WORLD]) as client:
        arrival = client.take(FRAME_WORLD, WAIT_S)
    assert arrival is not None
    assert isinstance(arrival.message, FrameMessage)
    image = arrival.message.image().astype(np.int16)
    assert np.abs(image - marked_face(0).image).mean() < 2
