"""Recording and the asyncio client against a server in a process of its own that asks for keys."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from lan_server import MARK
from typer.testing import CliRunner

from streaming.async_subscriber import AsyncSubscriber
from streaming.messages import FrameMessage
from streaming.recordings.reader import Recording
from streaming.recordings.record_command import record
from streaming.security.handshake import Refused
from streaming.security.keys import KeyFolder, load_client
from streaming.subscriber import Arrival

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 20.0
BGR_WORLD = "bgr.world"  # the mark must come through unchanged
APP = typer.Typer()
APP.command()(record)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Key file of a client whom the server allows."""
    KeyFolder(tmp_path / "keys").new_client("anna", tmp_path / "anna.key")
    return tmp_path / "anna.key"


@pytest.fixture
def port(key: Path) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "lan_server.py"), str(key.parent / "keys")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    yield int(process.stdout.readline().split()[0])
    process.communicate(timeout=WAIT_S)


def test_a_recording_needs_the_key_and_holds_the_pictures_then(
    port: int, key: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.uvrec"
    arguments = [f"127.0.0.1:{port}", "--out", str(path), "--topic", BGR_WORLD]
    with pytest.raises(Refused, match=r"--key FILE"):
        CliRunner().invoke(APP, [*arguments, "--timeout", "2"], catch_exceptions=False)
    assert not path.exists()
    outcome = CliRunner().invoke(
        APP, [*arguments, "--key", str(key), "--seconds", "0.3"], catch_exceptions=False
    )
    assert outcome.exit_code == 0
    frames = [message for message in Recording(path) if message.topic == BGR_WORLD]
    assert frames
    assert all(MARK in frame.parts[2] for frame in frames)


def test_the_asyncio_client_needs_the_key_too(port: int, key: Path) -> None:
    async def program() -> tuple[Refused | None, Arrival | None]:
        endpoint = f"127.0.0.1:{port}"
        async with AsyncSubscriber(endpoint, [BGR_WORLD]) as stranger:
            deadline = time.monotonic() + WAIT_S
            while stranger.trouble is None and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            assert await stranger.take(BGR_WORLD, 0) is None
            trouble = stranger.trouble
        async with AsyncSubscriber(endpoint, [BGR_WORLD], load_client(key)) as allowed:
            return trouble, await allowed.take(BGR_WORLD, WAIT_S)

    trouble, arrival = asyncio.run(program())
    assert trouble is not None
    assert "--key FILE" in str(trouble)
    assert arrival is not None
    assert isinstance(arrival.message, FrameMessage)
    assert MARK in arrival.message.image().tobytes()
