"""The bridge: newest wins for each viewer, own pages only, and a real browser shows pictures."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser_window import CHROMIUM, BrowserWindow
from streaming_source import Source, a_source, moving_picture, publishing
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from streaming import heard_pause
from streaming.bridge.server import Bridge, bridge
from streaming.endpoints import AddressInUse
from streaming.errors import UserError
from streaming.messages import Notification
from streaming.publisher import Publisher
from streaming.security.gate import Gate
from streaming.security.keys import KeyFolder
from streaming.topics import FACE_STATE

FACE, WORLD = "jpeg.face", "jpeg.world"
HANDSHAKE = (
    "GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
ASK_FOR_NEXT = b"\x81\x84" + bytes(4) + b"next"  # a text of 4 bytes under a mask of zeros
ROOT = Path(__file__).parents[1]


@pytest.fixture
def source() -> Iterator[Source]:
    with a_source() as opened:
        yield opened


@pytest.fixture
def opened(source: Source) -> Iterator[Bridge]:
    bridge = Bridge(source.publisher.endpoint, port=0)
    yield bridge
    bridge.close()


def viewer(bridge: Bridge, query: str = "", origin: str | None = None) -> Any:
    """A WebSocket connection as our own page opens it."""
    own = f"http://127.0.0.1:{bridge.port}"
    return connect(f"ws://127.0.0.1:{bridge.port}/stream{query}", origin=origin or own, proxy=None)


def unread_bytes(bridge: Bridge) -> int:
    """What the bridge's kernel still holds for its viewers."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    own = [row for row in rows if row[1].endswith(f":{bridge.port:04X}") and row[3] == "01"]
    return sum(int(row[4].partition(":")[0], 16) for row in own)


def read(socket: Any) -> tuple[dict[str, Any], bytes]:
    """Ask for the next message; its facts and its JPEG."""
    socket.send("next")
    body = socket.recv(timeout=20)
    (length,) = struct.unpack_from(">I", body)
    return json.loads(body[4 : 4 + length]), body[4 + length :]


def read_frame(socket: Any) -> tuple[dict[str, Any], bytes]:
    """Ask until a message brings a picture."""
    for _ in range(50):
        facts, jpeg = read(socket)
        if facts["frame"]:
            return facts["frame"], jpeg
    raise AssertionError(f"no picture came; last: {facts}")


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_a_viewer_gets_pictures_with_their_age_and_the_face(source: Source, opened: Bridge) -> None:
    with viewer(opened) as socket:
        source.wait_for_subscriber(FACE_STATE)
        source.wait_for_subscriber(FACE)
        source.publish(side_px=128)
        frame, jpeg = read_frame(socket)
        face = None
        while face is None:
            source.publish(side_px=128)
            face = read(socket)[0]["face"]
    assert (frame["topic"], frame["index"], frame["status"]) == (FACE, 1, ["LIVE"])
    assert 0 < frame["age_ms"] < 60_000
    assert frame["synthesised"] is True
    assert np.abs(decoded(jpeg).astype(int) - moving_picture(1, 128)).mean() < 6
    assert len(face["landmarks"]) == 3 * 478
    assert face["openness"] == [1, 0.5]


def test_a_viewer_that_comes_back_late_gets_the_newest_picture(
    source: Source, opened: Bridge
) -> None:
    with viewer(opened) as slow, viewer(opened) as quick:
        source.wait_for_subscriber()
        source.publish(64)
        assert read_frame(slow)[0]["index"] == 1
        for _ in range(30):
            source.publish(64)
            seen = read_frame(quick)[0]["index"]
        assert seen == 31
        assert read_frame(slow)[0]["index"] == 31


def test_each_viewer_chooses_its_picture(source: Source, opened: Bridge) -> None:
    with viewer(opened, f"?topic={WORLD}") as socket:
        source.wait_for_subscriber(WORLD)
        assert not source.publisher.wants(FACE)
        source.publish(256)
        assert decoded(read_frame(socket)[1]).shape == (64, 64, 3)


def test_topics_that_nobody_looks_at_are_not_subscribed_to(source: Source, opened: Bridge) -> None:
    with viewer(opened):
        source.wait_for_subscriber()
    end_s = time.monotonic() + 20
    while source.publisher.wants(FACE):
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_an_encrypted_stream_needs_a_key_and_the_page_is_told(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")
    keys = folder.new_client("anna", tmp_path / "anna.key")
    with a_source(guard=Gate(folder)) as source, publishing(source, side_px=64):
        for own, is_let_in in ((keys, True), (None, False)):
            bridge = Bridge(source.publisher.endpoint, port=0, keys=own)
            try:
                with viewer(bridge) as socket:
                    if is_let_in:
                        assert read_frame(socket)[0]["width"] == 64
                    else:
                        while "error" not in (facts := read(socket)[0]):
                            assert facts["frame"] is None
                        assert "key" in facts["error"]
            finally:
                bridge.close()


def test_a_pause_is_told_and_ends_with_the_next_picture(source: Source, opened: Bridge) -> None:
    with viewer(opened) as socket:
        source.wait_for_subscriber()
        source.publish(128)
        assert read_frame(socket)
        end_s = time.monotonic() + 20
        # Nobody can see whether the bridge's subscription to the words has arrived: said again.
        source.publisher.pause()
        while not (facts := read(socket)[0])["paused"]:
            assert facts["frame"] is None
            assert time.monotonic() < end_s
            source.publisher.pause()
        source.publisher.resume()
        source.publish(64)
        read_frame(socket)
        assert read(socket)[0]["paused"] is False


def test_a_publisher_that_ended_while_paused_is_not_called_paused_for_ever(
    source: Source, opened: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heard_pause, "BELIEVED_S", 0.5)
    with viewer(opened) as socket:
        source.wait_for_subscriber()
        end_s = time.monotonic() + 20
        source.publisher.pause()
        while not read(socket)[0]["paused"]:
            assert time.monotonic() < end_s
            source.publisher.pause()
        told = [read(socket)[0]["paused"] for _ in range(2)]  # a second each, without news
    assert told[-1] is False


def test_other_words_do_not_end_a_pause(source: Source, opened: Bridge) -> None:
    """The page said "Live" until the pause was told again, at each word about the person."""
    with viewer(opened) as socket:
        source.wait_for_subscriber()
        end_s = time.monotonic() + 20
        source.publisher.pause()
        while not read(socket)[0]["paused"]:
            assert time.monotonic() < end_s
            source.publisher.pause()
        source.publisher.publish(Notification("unvisor.wrong_person", {"detail": "not anna"}))
        assert [read(socket)[0]["paused"] for _ in range(2)] == [True, True]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:1", "null", "https://localhost"]
)
def test_foreign_pages_are_refused(opened: Bridge, origin: str) -> None:
    with pytest.raises(InvalidStatus, match="403"), viewer(opened, origin=origin):
        pass


def test_without_an_origin_nobody_is_let_in(opened: Bridge) -> None:
    address = f"ws://127.0.0.1:{opened.port}/stream"
    refused = pytest.raises(InvalidStatus, match="403")
    with refused, connect(address, proxy=None):
        pass


def test_another_page_may_be_allowed(source: Source) -> None:
    bridge = Bridge(source.publisher.endpoint, 0, ("http://localhost:5173",))
    try:
        with viewer(bridge, origin="http://localhost:5173"):
            source.wait_for_subscriber()
    finally:
        bridge.close()


@pytest.mark.parametrize("origin", ["*", "localhost:5173", "http://a.example/", "http://a b"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(UserError, match="is no origin"):
        bridge(port=0, allow_origin=[origin])


@pytest.mark.parametrize(
    "query", ["?topic=frame.face", "?topic=jpeg.other", "?topic=notify.", "?topic=eye.0"]
)
def test_other_topics_are_not_found(opened: Bridge, query: str) -> None:
    with pytest.raises(InvalidStatus, match="404"), viewer(opened, query):
        pass


def test_viewers_are_limited(source: Source) -> None:
    bridge = Bridge(source.publisher.endpoint, 0, max_viewers=1)
    try:
        with viewer(bridge) as socket:
            source.wait_for_subscriber()  # so it is counted
            source.publish(64)
            read_frame(socket)
            with pytest.raises(InvalidStatus, match="503"), viewer(bridge):
                pass
    finally:
        bridge.close()


def test_a_viewer_that_talks_too_much_is_hung_up_on(opened: Bridge) -> None:
    with viewer(opened) as socket:
        socket.send("x" * 1000)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)


def test_a_viewer_that_asks_and_never_reads_does_not_keep_the_bridge_open(source: Source) -> None:
    bridge = Bridge(source.publisher.endpoint, port=0)
    closer = threading.Thread(target=bridge.close, daemon=True)
    with publishing(source), socket.create_connection(("127.0.0.1", bridge.port)) as silent:
        silent.sendall(HANDSHAKE.format(port=bridge.port).encode() + 2000 * ASK_FOR_NEXT)
        before = -1
        while (waiting := unread_bytes(bridge)) != before or waiting == 0:
            before = waiting
            time.sleep(0.5)  # ten pictures: longer without one, and it waits for the viewer
        closer.start()
        closer.join(8)
        assert not closer.is_alive()


def test_the_pages_need_nothing_from_elsewhere(opened: Bridge) -> None:
    for path in ("", "page.js", "unvisor.js"):
        with urllib.request.urlopen(opened.url + path, timeout=20) as answer:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "https://" not in answer.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(opened.url + "../../bridge/server.py", timeout=20)


def test_a_port_in_use_is_told(opened: Bridge) -> None:
    with pytest.raises(AddressInUse, match=rf"{opened.port}.*--port"):
        Bridge("50021", opened.port)


def test_without_websockets_the_command_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['websockets.sync.server'] = None\n"
        "from edge.__main__ import main; main(['bridge', '--port', '0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert '".[bridge]"' in done.stderr


needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here (apt-get install chromium)"
)
PICTURE = "document.getElementById('picture')"
INDEX = f"Number({PICTURE}.dataset.index || 0)"
STATE = "document.getElementById('status').className"
PIXELS = (
    f"Array.from({PICTURE}.getContext('2d').getImageData(0, 60, {PICTURE}.width, 1).data).join()"
)


def wait_for_moving_pictures(page: BrowserWindow) -> None:
    first = page.wait_for(INDEX)
    pixels = page.value(PIXELS)
    page.wait_for(f"{INDEX} > {first + 3}")
    page.wait_for(f"{PIXELS} !== {json.dumps(pixels)}")


@pytest.mark.slow
@needs_chromium
def test_a_browser_shows_moving_pictures_and_comes_back_after_restarts(tmp_path: Path) -> None:
    first = Source()
    port = first.publisher.port
    bridge = Bridge(first.publisher.endpoint, port=0)
    with (
        BrowserWindow(tmp_path / "profile") as browser,
        browser.showing(bridge.url, 375, 700, phone=True) as page,
    ):
        with publishing(first, fps=30, side_px=256):
            wait_for_moving_pictures(page)
            page.wait_for("/^[0-9]+ ms$/.test(document.getElementById('age').textContent)")
            assert page.value("document.documentElement.scrollWidth") <= 375
            bridge.close()
            page.wait_for(f"{STATE} === 'connecting'")
            assert page.value("document.getElementById('age').textContent") == "–"
            bridge = Bridge(first.publisher.endpoint, bridge.port)
            page.wait_for(f"{STATE} === 'receiving'")
            wait_for_moving_pictures(page)
        first.close()
        page.wait_for(f"{STATE} === 'waiting'")
        second = Source()
        second.publisher.close()
        second.publisher = Publisher(port=port)
        page.value(f"{PICTURE}.dataset.index = 0")
        with publishing(second, fps=30, side_px=256):
            page.wait_for(f"{STATE} === 'receiving'")
            wait_for_moving_pictures(page)
        second.close()
    bridge.close()


@pytest.mark.slow
@needs_chromium
def test_a_screen_reader_hears_the_state_once_and_not_with_every_picture(
    source: Source, opened: Bridge, tmp_path: Path
) -> None:
    with (
        BrowserWindow(tmp_path / "profile") as browser,
        browser.showing(opened.url, 375, 700, phone=True) as page,
        publishing(source, fps=30, side_px=64),
    ):
        page.wait_for(f"{STATE} === 'receiving'")
        page.value(
            "window.said = 0, new MutationObserver((changes) => { said += changes.length; })"
            ".observe(document.getElementById('status'), {childList: true, characterData: true}), 0"
        )
        first = page.wait_for(INDEX)
        page.wait_for(f"{INDEX} > {first + 10}")
        assert page.value("said") == 0
