"""The live page: newest wins, loopback only, our own page only, and it really draws."""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from browser_window import BrowserWindow
from edge_views import a_view

from edge import panes
from edge.preview import Preview, open_preview
from edge.settings import SessionSettings, override
from streaming.control import ControlServer
from streaming.errors import UserError
from streaming.records import Status


@pytest.fixture
def preview() -> Iterator[Preview]:
    opened = Preview(0)
    yield opened
    opened.close()


def _port(preview: Preview) -> int:
    return int(preview.url.rsplit(":", 1)[1].strip("/"))


def _ask(
    preview: Preview, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", _port(preview), timeout=10)
    connection.request(
        method, path, body or None, {k.replace("_", "-"): v for k, v in headers.items()}
    )
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


def _view(preview: Preview, after: int = 0) -> tuple[dict[str, Any], list[np.ndarray]]:
    status, body = _ask(preview, "GET", f"/view?after={after}")
    assert status == 200
    (length,) = struct.unpack_from(">I", body)
    facts = json.loads(body[4 : 4 + length])
    images, offset = [], 4 + length
    for pane in facts["panes"]:
        jpeg = np.frombuffer(body, np.uint8, pane["bytes"], offset)
        images.append(cv2.imdecode(jpeg, cv2.IMREAD_UNCHANGED))
        offset += pane["bytes"]
    assert offset == len(body)
    return facts, images


def test_a_view_brings_four_panes_and_what_is_on_screen(preview: Preview) -> None:
    preview.show(a_view(1))
    preview.show(a_view(4))
    facts, images = _view(preview)
    assert [pane["name"] for pane in facts["panes"]] == ["camera", "restored", "eyes", "truth"]
    assert facts["frame_id"] == 4
    assert facts["age_ms"] == pytest.approx(31)
    assert facts["drops"] == 2
    assert (facts["filler"], facts["landmarks"]) == ("warp-blend", "oracle")
    assert facts["status"] == ["LIVE"]
    assert facts["synthesised"] is True
    assert images[0].shape == (120, 160, 3)
    assert np.abs(images[1].astype(int) - a_view().restored.image).mean() < 6


def test_with_a_real_headset_there_is_no_truth_pane(preview: Preview) -> None:
    preview.show(a_view(truth=False))
    facts, _ = _view(preview)
    assert "truth" not in [pane["name"] for pane in facts["panes"]]


def test_large_frames_are_scaled_down_for_the_page(preview: Preview) -> None:
    preview.show(a_view(width=1920, height=1080))
    assert _view(preview)[1][0].shape == (360, 640, 3)


def test_asking_again_waits_for_a_newer_view(preview: Preview) -> None:
    preview.show(a_view(1))
    first, _ = _view(preview)
    threading.Timer(0.2, preview.show, [a_view(2)]).start()
    second, _ = _view(preview, first["sequence"])
    assert second["frame_id"] == 2


def test_asking_again_without_a_newer_view_answers_with_no_panes(preview: Preview) -> None:
    preview.show(a_view(1))
    facts, images = _view(preview, 1)
    assert (facts["sequence"], facts["panes"], images) == (1, [], [])


def test_nothing_is_encoded_while_nobody_watches(
    preview: Preview, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    original = panes.pane_jpeg
    monkeypatch.setattr(panes, "pane_jpeg", lambda image: encoded.append(1) or original(image))
    for frame_id in range(50):
        preview.show(a_view(frame_id))
    assert encoded == []
    _view(preview)
    assert len(encoded) == 4


def test_a_watcher_that_never_reads_holds_nobody_up(preview: Preview) -> None:
    with socket.create_connection(("127.0.0.1", _port(preview))) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        for _ in range(200):
            deaf.sendall(b"GET /view?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for frame_id in range(1, 400):
            preview.show(a_view(frame_id))
        assert _view(preview)[0]["frame_id"] == 399


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8750", "", "127.0.0.1.evil.example"]
)
@pytest.mark.parametrize("path", ["/", "/view?after=0"])
def test_a_foreign_host_name_is_refused(preview: Preview, host: str, path: str) -> None:
    preview.show(a_view())
    assert _ask(preview, "GET", path, Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9000", "[::1]:8750"])
def test_names_of_this_machine_are_served_through_a_tunnel_too(preview: Preview, host: str) -> None:
    assert _ask(preview, "GET", "/", Host=host)[0] == 200


def test_the_page_needs_nothing_from_elsewhere(preview: Preview) -> None:
    page = _ask(preview, "GET", "/")[1].decode()
    assert not re.search(r"(?:https?:)?//[a-z]|@import|<link|src\s*=", page.replace("// ", ""))


def test_other_paths_are_not_found(preview: Preview) -> None:
    assert _ask(preview, "GET", "/../../etc/passwd")[0] == 404


def test_pausing_takes_our_own_page_only(preview: Preview) -> None:
    wishes: list[bool] = []
    preview.on_pause = wishes.append
    here = f"127.0.0.1:{_port(preview)}"
    paused = '{"paused": true}'
    assert _ask(preview, "POST", "/pause", paused, Origin="http://evil.example")[0] == 403
    assert _ask(preview, "POST", "/pause", paused)[0] == 403
    assert (
        _ask(preview, "POST", "/pause", paused, Host="evil.example", Origin="http://evil.example")[
            0
        ]
        == 403
    )
    assert _ask(preview, "POST", "/pause", "{}", Origin=f"http://{here}")[0] == 400
    assert wishes == []
    assert _ask(preview, "POST", "/pause", paused, Origin=f"http://{here}")[0] == 200
    assert _ask(preview, "POST", "/pause", '{"paused": false}', Origin=f"http://{here}")[0] == 200
    assert wishes == [True, False]


def test_the_pause_key_reaches_the_control_socket() -> None:
    from streaming.clock import PublishingClock

    heard: list[str] = []
    with ControlServer(0, lambda n: heard.append(n.subject), PublishingClock(), port=0) as control:
        changes = {"edge.preview.port": 0, "streaming.control_port": control.port}
        opened = open_preview(override(SessionSettings(), changes))
        opened.act("/pause", {"paused": True})
        opened.act("/pause", {"paused": False})
        opened.close()
    assert heard == ["unvisor.pause", "unvisor.resume"]


def test_a_port_in_use_names_the_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port}.*--preview-port"):
            Preview(port)


def test_it_refuses_to_serve_other_machines() -> None:
    with pytest.raises(UserError, match=r"not on 0\.0\.0\.0.*ssh -L"):
        Preview(8750, "0.0.0.0")


def test_closing_frees_the_port_and_ends_open_pages() -> None:
    opened = Preview(0)
    port = _port(opened)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    connection.getresponse().read()
    opened.close()
    connection.request("GET", "/view?after=0")
    assert connection.getresponse().status == 503
    connection.close()
    again = Preview(port)
    again.close()


def test_a_browser_draws_the_views_and_their_facts(window: BrowserWindow, preview: Preview) -> None:
    stop = threading.Event()

    def feed() -> None:
        frame_id = 1
        while not stop.wait(0.04):
            preview.show(a_view(frame_id, status=(Status.LIVE, Status.ONE_EYE)))
            frame_id += 1

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        with window.showing(preview.url, 1280, 800) as page:
            page.wait_for("/^\\d+\\.\\d fps$/.test(document.getElementById('rate').textContent)")
            drawn = page.value(
                "[...document.querySelectorAll('[data-frame-id]')]"
                ".map((c) => [c.dataset.pane, c.width, c.height, c.dataset.frameId])"
            )
            text = {name: page.value(f"{name}.textContent") for name in ("age", "filler")}
            status = page.value("document.getElementById('status').innerHTML")
    finally:
        stop.set()
        feeder.join()
    assert {name for name, *_ in drawn} == {"camera", "restored", "eyes", "truth"}
    assert (160, 120) in {(width, height) for _, width, height, _ in drawn}
    assert len({frame_id for *_, frame_id in drawn}) == 1  # one frame in all panes
    assert text == {"age": "31 ms", "filler": "warp-blend"}
    assert status == '<li class="good">Live</li><li class="">One eye only</li>'


def test_a_browser_says_when_no_frame_has_come_yet(window: BrowserWindow, preview: Preview) -> None:
    with window.showing(preview.url, 1280, 800) as page:
        status = page.value("document.getElementById('status').textContent")
    assert status == "Waiting for the first frame"


def test_a_pause_shows_and_ends_while_no_view_comes(preview: Preview) -> None:
    """The page went on with the last view's status: its button paused what was paused already."""
    is_paused = [True]
    preview.is_sending_paused = lambda: is_paused[0]
    preview.show(a_view(1))
    assert _view(preview)[0]["status"] == ["LIVE", "PAUSED"]
    is_paused[0] = False
    preview.show(a_view(2, status=(Status.NO_FACE, Status.PAUSED)))
    assert _view(preview, 1)[0]["status"] == ["NO_FACE"]
    is_paused[0] = True
    assert _view(preview, 2)[0]["status"] == ["NO_FACE", "PAUSED"]
