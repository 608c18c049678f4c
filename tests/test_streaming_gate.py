"""Beyond loopback: who has no allowed key gets nothing, and is told why. Real second process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import zmq
from counting_proxy import CountingProxy
from lan_server import MARK, SIDE

from streaming.clock import PublishingClock
from streaming.clock_echo import ClockEcho
from streaming.clock_follower import ClockFollower
from streaming.control import PAUSE, ControlServer
from streaming.control_client import ControlClient, NoAnswer
from streaming.endpoints import AddressMalformed, AddressNotAllowed
from streaming.messages import FrameMessage
from streaming.publisher import Publisher
from streaming.security.door import InsecureLan, open_guard, reachable
from streaming.security.gate import Gate
from streaming.security.handshake import Refused
from streaming.security.keys import ClientKeys, KeyFolder, load_client, new_pair
from streaming.subscriber import Subscriber
from streaming.topics import FRAME_WORLD
from streaming.watch import watch

WAIT_S = 20.0
IMAGE_BYTES = SIDE * SIDE * 3
HELLO_BYTES = 600  # of a handshake that is refused: greeting, welcome, error
ROOT = Path(__file__).resolve().parent.parent


class LanServer:
    """`lan_server.py`, running."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "lan_server.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        self.output: IO[str] = self._process.stdout
        ports = self.output.readline().split()
        self.publisher_port, self.control_port = int(ports[0]), int(ports[1])

    def close(self) -> None:
        self._process.communicate(timeout=WAIT_S)


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def anna(folder: KeyFolder, tmp_path: Path) -> ClientKeys:
    folder.new_client("anna", tmp_path / "anna.key")
    return load_client(tmp_path / "anna.key")


@pytest.fixture
def server(folder: KeyFolder, anna: ClientKeys) -> Iterator[LanServer]:
    running = LanServer(folder.path)
    yield running
    running.close()


def can_connect(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def stranger(folder: KeyFolder) -> ClientKeys:
    pair = new_pair()
    return ClientKeys(folder.server().public, pair.public, pair.secret)


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def newest_index(client: Subscriber) -> int:
    arrival = client.take(FRAME_WORLD, WAIT_S)
    assert arrival is not None
    assert isinstance(arrival.message, FrameMessage)
    return arrival.message.index


def test_an_allowed_client_receives_and_the_wire_shows_nothing(
    server: LanServer, anna: ClientKeys
) -> None:
    with (
        CountingProxy(server.publisher_port) as proxy,
        Subscriber(f"127.0.0.1:{proxy.port}", [FRAME_WORLD], anna) as client,
    ):
        arrival = client.take(FRAME_WORLD, WAIT_S)
    assert arrival is not None
    assert isinstance(arrival.message, FrameMessage)
    assert arrival.message.pixels[: len(MARK)] == MARK
    assert len(proxy.received) > IMAGE_BYTES
    assert MARK[:12] not in proxy.received
    assert b"frame.world" not in proxy.received


def test_without_an_allowed_key_no_byte_of_an_image_leaves(
    server: LanServer, folder: KeyFolder, anna: ClientKeys
) -> None:
    """Each refused connection costs the server a few hundred bytes of handshake, never more."""
    none = None
    wrong_server = ClientKeys(new_pair().public, anna.public, anna.secret)
    with Subscriber(f"127.0.0.1:{server.publisher_port}", [FRAME_WORLD], anna) as allowed:
        for keys in (none, stranger(folder), wrong_server):
            with (
                CountingProxy(server.publisher_port) as proxy,
                Subscriber(f"127.0.0.1:{proxy.port}", [FRAME_WORLD], keys) as client,
            ):
                wait_until(lambda client=client: client.trouble is not None)  # type: ignore[misc]
                index = newest_index(allowed)
                while newest_index(allowed) < index + 20:  # pictures are being sent all the while
                    assert client.take(FRAME_WORLD, 0) is None
            assert 0 < len(proxy.received) <= HELLO_BYTES * proxy.connections
            assert MARK[:12] not in proxy.received


def test_a_plain_tcp_connection_that_says_what_a_subscriber_says_gets_a_greeting_only(
    server: LanServer,
) -> None:
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16) + b"\x00" + bytes(31)
    ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
    subscription = b"\x00\x0c\x01frame.world"
    with socket.create_connection(("127.0.0.1", server.publisher_port)) as raw:
        raw.settimeout(1.0)
        raw.sendall(greeting + ready + subscription)
        received = bytearray()
        try:
            while part := raw.recv(65536):
                received += part
        except (TimeoutError, ConnectionError):
            pass
    assert len(received) <= HELLO_BYTES
    assert MARK[:3] not in received


def test_control_questions_need_an_allowed_key_too(
    server: LanServer, folder: KeyFolder, anna: ClientKeys
) -> None:
    address = f"127.0.0.1:{server.control_port}"
    for keys in (None, stranger(folder)):
        for command in ("t", "T 5"):
            with pytest.raises(NoAnswer, match="key"):
                ControlClient(address, WAIT_S, keys).ask(command)
        with pytest.raises(NoAnswer, match="key"):
            ControlClient(address, WAIT_S, keys).notify(PAUSE)
    allowed = ControlClient(address, WAIT_S, anna)
    assert float(allowed.ask("t")) > 5.0
    assert allowed.ask("SUB_PORT") == str(server.publisher_port)
    assert allowed.notify("unvisor.hello") == "Message forwarded."
    assert server.output.readline() == "heard unvisor.hello\n"  # nothing was heard before


def test_notifications_published_without_an_allowed_key_are_not_heard(
    server: LanServer, folder: KeyFolder, anna: ClientKeys
) -> None:
    allowed = ControlClient(f"127.0.0.1:{server.control_port}", WAIT_S, anna)
    port = allowed.ask("PUB_PORT")
    for keys in (None, stranger(folder)):
        sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        sender.linger = 0
        if keys is not None:
            keys.apply(sender)
        sender.connect(f"tcp://127.0.0.1:{port}")
        for _ in range(20):
            sender.send_multipart([b"notify.unvisor.stop", b"\x81\xa7subject\xacunvisor.stop"])
            time.sleep(0.01)
        sender.close()
    allowed.notify("unvisor.hello")
    assert server.output.readline() == "heard unvisor.hello\n"


def test_a_revoked_client_is_cut_and_the_others_go_on(
    server: LanServer, folder: KeyFolder, anna: ClientKeys, tmp_path: Path
) -> None:
    bert = folder.new_client("bert", tmp_path / "bert.key")  # while the server runs
    address = f"127.0.0.1:{server.publisher_port}"
    with (
        CountingProxy(server.publisher_port) as proxy,
        Subscriber(f"127.0.0.1:{proxy.port}", [FRAME_WORLD], anna) as revoked,
        Subscriber(address, [FRAME_WORLD], bert) as other,
    ):
        newest_index(revoked)
        newest_index(other)
        folder.revoke("anna")
        wait_until(lambda: revoked.trouble)
        sent, connections = len(proxy.received), proxy.connections
        index = newest_index(other)
        while newest_index(other) < index + 20:
            pass
        more = len(proxy.received) - sent
        assert more <= HELLO_BYTES * (proxy.connections - connections)
        assert "does not allow" in str(revoked.trouble)
        assert other.trouble is None
        with pytest.raises(NoAnswer, match="does not allow"):
            ControlClient(f"127.0.0.1:{server.control_port}", WAIT_S, anna).ask("t")
        folder.allow("anna-again", anna.public)  # a client that is let in again comes back
        revoked.take(FRAME_WORLD, 0)
        newest_index(revoked)
        assert revoked.trouble is None


def test_a_client_that_is_not_allowed_yet_gets_in_once_it_is(
    server: LanServer, folder: KeyFolder
) -> None:
    keys = stranger(folder)
    with Subscriber(f"127.0.0.1:{server.publisher_port}", [FRAME_WORLD], keys) as client:
        wait_until(lambda: client.trouble)
        folder.allow("late", keys.public)
        newest_index(client)
    assert client.trouble is None


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("no key", r"asks for a key.*--key FILE.*unvisor keys new NAME"),
        ("unknown key", r"does not allow this client's key.*unvisor keys allow"),
        ("wrong server key", r"does not have the secret of the server key.*--server-key"),
    ],
)
def test_watch_says_plainly_why_nothing_comes(
    server: LanServer, folder: KeyFolder, tmp_path: Path, case: str, told: str
) -> None:
    key: Path | None = tmp_path / "anna.key"
    server_key = None
    if case == "no key":
        key = None
    elif case == "unknown key":
        folder.revoke("anna")
    else:
        server_key = new_pair().public
    with pytest.raises(Refused, match=told):
        watch(f"127.0.0.1:{server.publisher_port}", timeout=WAIT_S, key=key, server_key=server_key)


def test_watch_says_that_a_server_is_not_encrypted(tmp_path: Path, anna: ClientKeys) -> None:
    with Publisher(port=0) as plain, pytest.raises(Refused, match="is not encrypted"):
        watch(plain.endpoint, timeout=WAIT_S, key=tmp_path / "anna.key")


def test_this_machines_own_programs_get_in_with_the_servers_key(
    server: LanServer, folder: KeyFolder
) -> None:
    own = ControlClient(f"127.0.0.1:{server.control_port}", WAIT_S, folder.own_client())
    assert own.ask("SUB_PORT") == str(server.publisher_port)


def test_an_unreadable_folder_lets_nobody_in(folder: KeyFolder, anna: ClientKeys) -> None:
    with Gate(folder) as gate:
        assert gate.admitted(anna.public) == "anna"
        (folder.allowed_path / "anna.pub").write_text("garbage")
        assert gate.admitted(anna.public) is None
        assert gate.revocations == 1
        folder.allowed_path.rename(folder.path / "elsewhere")
        assert gate.admitted(anna.public) is None
        assert gate.admitted(folder.server().public) == "this-machine"


def test_after_the_gate_is_closed_nobody_connects(folder: KeyFolder, anna: ClientKeys) -> None:
    with Gate(folder) as gate:
        publisher = Publisher(0, "0.0.0.0", guard=gate)
    with (
        publisher,
        Subscriber(f"127.0.0.1:{publisher.port}", [FRAME_WORLD], anna) as client,
    ):
        wait_until(lambda: client.trouble)
        assert not publisher.wants(FRAME_WORLD)


def test_revocation_frees_no_port_to_others_and_keeps_the_notification_port(
    folder: KeyFolder, anna: ClientKeys, tmp_path: Path
) -> None:
    bert = folder.new_client("bert", tmp_path / "bert.key")
    with Gate(folder) as gate:
        clock = PublishingClock()
        with ControlServer(1, print, clock, 0, "0.0.0.0", gate) as control:
            client = ControlClient(f"127.0.0.1:{control.port}", WAIT_S / 4, bert)
            before = client.ask("PUB_PORT")
            folder.revoke("anna")
            wait_until(lambda: gate.revocations)
            for _ in range(3):  # a question on its way while connections are cut is lost
                with suppress(NoAnswer):
                    assert client.ask("PUB_PORT") == before
                    break
            else:
                pytest.fail("nobody answers after a key was revoked")


def test_an_address_that_is_away_while_a_key_is_revoked_is_tried_again(
    folder: KeyFolder,
    anna: ClientKeys,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries = []

    def away(*_: object) -> int:
        tries.append(time.monotonic())
        raise AddressMalformed("Cannot listen on 10.0.0.7: No such device.")

    with Gate(folder) as gate, Publisher(0, "127.0.0.1", guard=gate) as publisher:
        folder.revoke("anna")
        wait_until(lambda: gate.revocations)
        monkeypatch.setattr("streaming.security.door.bind_address", away)
        end_s = time.monotonic() + 0.3
        while time.monotonic() < end_s:
            publisher.wants(FRAME_WORLD)
        assert len(tries) == 1
        assert caplog.text.count("No such device") == 1
        monkeypatch.undo()
        wait_until(lambda: publisher.wants(FRAME_WORLD) or can_connect(publisher.port))


def test_two_gates_in_one_process_do_not_mix(tmp_path: Path) -> None:
    folders = [KeyFolder(tmp_path / name) for name in ("one", "two")]
    clients = [each.new_client("c", tmp_path / f"{n}.key") for n, each in enumerate(folders)]
    with (
        Gate(folders[0]) as first,
        Gate(folders[1]) as second,
        Publisher(0, "0.0.0.0", guard=first) as a,
        Publisher(0, "0.0.0.0", guard=second),
    ):
        crossed = ClientKeys(folders[0].server().public, clients[1].public, clients[1].secret)
        with (
            Subscriber(f"127.0.0.1:{a.port}", [FRAME_WORLD], crossed) as wrong,
            Subscriber(f"127.0.0.1:{a.port}", [FRAME_WORLD], clients[0]) as right,
        ):
            wait_until(lambda: a.wants(FRAME_WORLD) and wrong.trouble)
            assert right.trouble is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::"])
def test_beyond_loopback_without_keys_is_refused_with_the_command(
    tmp_path: Path, host: str
) -> None:
    for listen in (
        lambda: Publisher(0, host),
        lambda: ControlServer(1, print, PublishingClock(), 0, host),
        lambda: open_guard(host, tmp_path / "nothing"),
    ):
        with pytest.raises(AddressNotAllowed, match=r"`unvisor keys new NAME`.*--insecure-lan"):
            listen()


def test_insecure_lan_listens_without_keys(tmp_path: Path) -> None:
    with (
        open_guard("0.0.0.0", tmp_path / "nothing", insecure_lan=True) as guard,
        Publisher(0, "0.0.0.0", guard=guard) as publisher,
        Subscriber(f"127.0.0.1:{publisher.port}", [FRAME_WORLD]) as client,
    ):
        assert isinstance(guard, InsecureLan)
        wait_until(lambda: publisher.wants(FRAME_WORLD))
        assert client.trouble is None


def test_loopback_needs_no_keys(tmp_path: Path) -> None:
    with open_guard("127.0.0.1", tmp_path / "nothing") as guard:
        assert guard is None
    assert [reachable(host) for host in ("0.0.0.0", "::", "10.0.0.7", "::1")] == [
        "127.0.0.1",
        "[::1]",
        "10.0.0.7",
        "[::1]",
    ]


def test_logs_hold_no_secret(
    folder: KeyFolder, anna: ClientKeys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with Gate(folder) as gate, Publisher(0, "0.0.0.0", guard=gate) as publisher:
        with Subscriber(f"127.0.0.1:{publisher.port}", [FRAME_WORLD], stranger(folder)) as client:
            wait_until(lambda: client.trouble)
        folder.revoke("anna")
        wait_until(lambda: gate.revocations)
    assert "refused" in caplog.text
    assert "revoked" in caplog.text
    assert anna.secret not in caplog.text + repr(anna) + repr(folder.server())
    assert folder.server().secret not in caplog.text + repr(folder.server())


def test_many_threads_publish_while_keys_are_revoked(folder: KeyFolder, tmp_path: Path) -> None:
    """The socket listens again on the thread that happens to publish."""
    folder.ensure_server()
    with Gate(folder) as gate, Publisher(0, "0.0.0.0", guard=gate) as publisher:
        ended = threading.Event()

        def publish() -> None:
            while not ended.is_set():
                publisher.wants(FRAME_WORLD)

        threads = [threading.Thread(target=publish) for _ in range(3)]
        for thread in threads:
            thread.start()
        for count in range(5):
            folder.new_client("guest", tmp_path / f"{count}.key")
            gate.refresh()
            folder.revoke("guest")
            gate.refresh()
            assert gate.revocations == count + 1
        with Subscriber(f"127.0.0.1:{publisher.port}", [FRAME_WORLD], folder.own_client()):
            wait_until(lambda: publisher.wants(FRAME_WORLD))
        ended.set()
        for thread in threads:
            thread.join(WAIT_S)
    assert np.all([not thread.is_alive() for thread in threads])


def test_another_machines_clock_is_told_to_allowed_keys_only(
    folder: KeyFolder, anna: ClientKeys
) -> None:
    with (
        Gate(folder) as gate,
        ClockEcho(host="127.0.0.1", guard=gate) as echo,
        ClockFollower(f"127.0.0.1:{echo.port}", anna) as allowed,
        ClockFollower(f"127.0.0.1:{echo.port}", stranger(folder)) as refused,
        ClockFollower(f"127.0.0.1:{echo.port}") as plain,
    ):
        wait_until(lambda: allowed.answers >= 5)
        offset = allowed.offset()
        assert offset is not None
        assert abs(offset.offset_ns) <= offset.uncertainty_ns
        assert refused.answers == plain.answers == 0
