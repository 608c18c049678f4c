"""The file of a recording: what was written is read back, wherever the file was cut or damaged."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.messages import Notification, encode
from streaming.recordings.reader import MAGIC, Recording, RecordingBroken
from streaming.recordings.writer import RecordingFailed, RecordingWriter

ROOT = Path(__file__).resolve().parent.parent
MESSAGES = [
    (1_000, (b"frame.world", b"\x81\xa1a\x01", b"\xff\xd8 pixels")),
    (2_500, (b"face.state", b"\x80")),
    (2_500, (b"notify.unvisor.paused", b"", b"", b"\x00")),
    (9_000, (b"\xff not text",)),
]


def written(path: Path, close: bool = True) -> tuple[Path, list[int]]:
    """A file with `MESSAGES`, and the positions at which each of them is complete."""
    writer = RecordingWriter(path, "tcp://127.0.0.1:50021", ["frame.", "face.state"])
    ends = []
    for arrival_time_ns, parts in MESSAGES:
        writer.add(arrival_time_ns, parts)
        ends.append(writer.bytes)
    if close:
        writer.close(dropped=3)
    return path, ends


def read(path: Path) -> list[tuple[int, tuple[bytes, ...]]]:
    return [(message.arrival_time_ns, message.parts) for message in Recording(path)]


def test_messages_come_back_as_the_same_bytes_in_the_same_order(tmp_path: Path) -> None:
    path, _ = written(tmp_path / "a.uvrec")
    recording = Recording(path)
    assert read(path) == MESSAGES
    assert [message.topic for message in recording][:2] == ["frame.world", "face.state"]
    assert recording.header.endpoint == "tcp://127.0.0.1:50021"
    assert recording.header.topics == ("frame.", "face.state")
    assert recording.header.started_unix_s > 1.6e9
    summary = recording.summary()
    assert (summary.messages, summary.is_complete, summary.torn_bytes) == (4, True, 0)
    assert (summary.seconds, summary.dropped) == (8e-6, 3)
    assert summary.bytes == path.stat().st_size


def test_only_the_owner_may_read_a_recording(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path, _ = written(tmp_path / "a.uvrec")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_overwritten_file_becomes_private_too(tmp_path: Path) -> None:
    path = tmp_path / "a.uvrec"
    path.write_bytes(b"x" * 10_000)
    path.chmod(0o644)
    with RecordingWriter(path, overwrite=True) as writer:
        writer.add(1, [b"notify.word", b""])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Recording(path).summary().torn_bytes == 0


def test_a_device_that_is_recorded_to_keeps_its_mode() -> None:
    before = stat.S_IMODE(os.stat(os.devnull).st_mode)
    try:
        RecordingWriter(Path(os.devnull), overwrite=True).close()
        assert stat.S_IMODE(os.stat(os.devnull).st_mode) == before
    finally:
        with suppress(PermissionError):
            os.chmod(os.devnull, before)


def test_an_existing_file_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path, _ = written(tmp_path / "a.uvrec")
    with pytest.raises(RecordingFailed, match=r"a\.uvrec exists already.*--overwrite"):
        RecordingWriter(path)
    assert read(path) == MESSAGES


def test_a_folder_that_does_not_exist_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match=r"Cannot write .*folder that exists"):
        RecordingWriter(tmp_path / "missing" / "a.uvrec")


def test_a_file_cut_anywhere_is_read_up_to_its_last_complete_message(tmp_path: Path) -> None:
    path, ends = written(tmp_path / "whole.uvrec")
    whole = path.read_bytes()
    with RecordingWriter(
        tmp_path / "empty.uvrec", "tcp://127.0.0.1:50021", ["frame.", "face.state"]
    ):
        header_end = (tmp_path / "empty.uvrec").stat().st_size
    cut = tmp_path / "cut.uvrec"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        if length < header_end:
            with pytest.raises(RecordingBroken):
                Recording(cut)
            continue
        complete = sum(end <= length for end in ends)
        assert read(cut) == MESSAGES[:complete], length
        summary = Recording(cut).summary()
        assert not summary.is_complete
        assert summary.torn_bytes == length - (ends[complete - 1] if complete else header_end)


def test_a_tail_of_zeros_as_a_power_cut_leaves_it_is_no_message(tmp_path: Path) -> None:
    path, _ = written(tmp_path / "a.uvrec", close=False)
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert read(path) == MESSAGES
    assert Recording(path).summary().torn_bytes == 4096


def test_no_flipped_bit_changes_a_message_unnoticed(tmp_path: Path) -> None:
    path, ends = written(tmp_path / "a.uvrec")
    whole = bytearray(path.read_bytes())
    begin = ends[0]
    for position in range(begin, ends[-1]):
        whole[position] ^= 0x10
        path.write_bytes(whole)
        whole[position] ^= 0x10
        damaged = sum(end <= position for end in ends)
        assert read(path) == MESSAGES[:damaged], position


@settings(deadline=None)  # a busy disk is slow
@given(
    messages=st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.lists(st.binary(max_size=300), min_size=1, max_size=16).map(tuple),
        ),
        max_size=6,
    ),
    noise=st.binary(max_size=64),
)
def test_any_messages_are_kept_whatever_follows_them(
    tmp_path_factory: pytest.TempPathFactory,
    messages: list[tuple[int, tuple[bytes, ...]]],
    noise: bytes,
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.uvrec"
    writer = RecordingWriter(path)
    for arrival_time_ns, parts in messages:
        writer.add(arrival_time_ns, parts)
    with path.open("ab") as file:
        file.write(noise)
    assert read(path)[: len(messages)] == messages
    writer.close()


@settings(deadline=None)
@given(content=st.binary(max_size=400), has_start=st.booleans())
def test_any_bytes_are_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, has_start: bool
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.uvrec"
    path.write_bytes(MAGIC + b"\x01\x00" + content if has_start else content)
    with pytest.raises(RecordingBroken):
        Recording(path)


@pytest.mark.parametrize("parts", [(), (b"x",) * 17, (bytes(256 * 1024 * 1024),)])
def test_what_no_reader_would_accept_is_not_written(
    tmp_path: Path, parts: tuple[bytes, ...]
) -> None:
    with RecordingWriter(tmp_path / "a.uvrec") as writer, pytest.raises(ValueError, match="parts"):
        writer.add(1, parts)
    assert read(tmp_path / "a.uvrec") == []


def test_another_version_is_named(tmp_path: Path) -> None:
    path, _ = written(tmp_path / "a.uvrec")
    content = bytearray(path.read_bytes())
    content[len(MAGIC)] = 7
    path.write_bytes(content)
    with pytest.raises(RecordingBroken, match=r"version 7.*reads version 1"):
        Recording(path)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom" * 10)
    with pytest.raises(RecordingBroken, match=r"a\.mp4 is not a recording"):
        Recording(tmp_path / "a.mp4")
    with pytest.raises(RecordingBroken, match="Cannot read"):
        Recording(tmp_path / "missing.uvrec")


def test_decoded_arrivals_leave_malformed_messages_out(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "b.uvrec") as writer:
        for arrival_time_ns, parts in MESSAGES:
            writer.add(arrival_time_ns, parts)
        writer.add(77, encode(Notification("unvisor.resumed")))
    (arrival,) = Recording(tmp_path / "b.uvrec").arrivals()
    assert (arrival.message, arrival.arrival_time_ns) == (Notification("unvisor.resumed"), 77)
    assert list(Recording(tmp_path / "b.uvrec").arrivals("frame.")) == []


def test_a_full_disk_leaves_every_message_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes half of the third message; nothing of that half stays."""
    path = tmp_path / "a.uvrec"
    writer = RecordingWriter(path)
    for arrival_time_ns, parts in MESSAGES[:2]:
        writer.add(arrival_time_ns, parts)
    real_write, room = os.write, [20]

    def write(file: int, content: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = real_write(file, bytes(content[: room[0]]))
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(RecordingFailed, match=r"beyond 2 messages .*No space left.*is kept"):
        writer.add(*MESSAGES[2])
    with pytest.raises(RecordingFailed):
        writer.close()
    assert read(path) == MESSAGES[:2]
    assert Recording(path).summary().torn_bytes == 0


def test_a_file_that_the_system_lets_grow_no_further_is_kept(tmp_path: Path) -> None:
    """The system's own limit, in a process of its own: no fake between us and the kernel."""
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from streaming.recordings.writer import RecordingFailed, RecordingWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "writer = RecordingWriter(Path(sys.argv[1]))\n"
        "try:\n"
        "    for number in range(1000): writer.add(number, [b'frame.world', bytes(3000)])\n"
        "except RecordingFailed as error: print(writer.messages, error)\n"
    )
    path = tmp_path / "a.uvrec"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "File too large" in done.stdout
    count = int(done.stdout.split()[0])
    assert count == 33 - 1 or count == 33
    assert [time_ns for time_ns, _ in read(path)] == list(range(count))
    assert Recording(path).summary().torn_bytes == 0
