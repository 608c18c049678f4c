"""Reading a video file as if it were a camera, with a clear sentence for each way it can fail."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from edge.settings import Playback
from streaming.errors import UserError
from streaming.records import ImageU8

log = logging.getLogger(__name__)

DEFAULT_FPS = 25.0  # for files that do not tell
KEPT_BYTES = 1 << 30  # playing back and forth keeps the decoded frames
MAX_BAD_PACKETS = 100  # in a row; a file damaged for longer ends there
LEAST_MISSING_S = 0.5  # less is rounding, or a last picture that stands for longer


class VideoFile:
    """A video file: `frames` yields its images in the order of the playback.

    Args:
        path: the file.
        max_side_px: larger frames are scaled down while decoding, keeping their proportions.

    Raises:
        UserError: missing, not readable as video, audio only, or without a single frame.
    """

    def __init__(self, path: Path, playback: Playback = "once", max_side_px: int = 1280) -> None:
        """Open the file once to learn its rate and size."""
        self.path = path
        self.playback = playback
        with _open(path) as container:
            stream = _video_stream(container, path)
            rate = stream.average_rate or stream.guessed_rate
            self.fps = float(rate) if rate else DEFAULT_FPS
            self.frame_count = int(stream.frames)  # as the file claims; 0 = it does not tell
        self.missing_s = 0.0  # at the end of a file that was cut off; known once that is reached
        first = next(self._decoded(is_native=True), None)
        if first is None:
            raise UserError(f"{path} has no video frames.", "Record it again or try another file.")
        height, width = first.shape[:2]
        scale = min(1.0, max_side_px / max(height, width))
        self.width_px, self.height_px = max(1, round(width * scale)), max(1, round(height * scale))
        if scale < 1.0:
            log.warning(
                "%s is %d×%d; working at %d×%d", path, width, height, self.width_px, self.height_px
            )

    def frames(self) -> Iterator[tuple[int, ImageU8]]:
        """Yield (frame index in the file, (H,W,3) uint8 BGR image)."""
        if self.playback == "once":
            yield from self._scaled()
        elif self.playback == "loop":
            while True:
                yield from self._scaled()
        else:
            yield from self._back_and_forth()

    def _back_and_forth(self) -> Iterator[tuple[int, ImageU8]]:
        kept: list[ImageU8] = []
        for index, image in self._scaled():
            kept.append(image)
            if image.nbytes * len(kept) > KEPT_BYTES:
                raise UserError(
                    f"{self.path} is too long to be played back and forth.", "Play it in a loop."
                )
            yield index, image
        there, back = range(len(kept)), range(len(kept) - 2, 0, -1)
        for index in itertools.cycle([*back, *there]):
            yield index, kept[index]

    def _scaled(self) -> Iterator[tuple[int, ImageU8]]:
        return enumerate(self._decoded())

    def _decoded(self, is_native: bool = False) -> Iterator[ImageU8]:
        """Decode all frames at working size, or at the file's own."""
        # One converter for all frames: making one costs ten times as much as using it.
        converter = VideoReformatter()
        with _open(self.path) as container:
            length = _Length(container, _video_stream(container, self.path))
            for frame in _frames(container, self.path, length):
                size = (frame.width, frame.height)
                if not is_native:
                    size = (self.width_px, self.height_px)
                    size = size[::-1] if frame.rotation % 180 else size
                converted = converter.reformat(frame, size[0], size[1], format="bgr24")
                image = np.asarray(converted.to_ndarray(), np.uint8)
                yield turned_upright(image, frame.rotation)
            self.missing_s = length.missing_s


def turned_upright(image: ImageU8, rotation_deg: float) -> ImageU8:
    """A decoded (H,W,3) picture as it is meant to be seen, by its frame's `rotation`.

    Telephones store portrait video lying down, with a rotation in quarter turns.
    """
    quarters = round(rotation_deg / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


class _Length:
    """How long a container says its video is, and how far its packets went."""

    def __init__(self, container: Any, video: Any) -> None:
        """Read what is announced: a time, of an AVI a number of frames, or nothing."""
        self.streams = [video]  # that are to be looked at
        self._rate = float(video.average_rate or video.guessed_rate or DEFAULT_FPS)
        if container.format.name == "avi":  # its time is cut to the file's size when it is opened
            self._announced_s, self._begin_s = video.frames / self._rate, 0.0
        elif video.duration:
            self._announced_s = float(video.duration * video.time_base)
            self._begin_s = float((video.start_time or 0) * video.time_base)
        else:  # of all streams together (Matroska): sound may go on after the last picture
            self.streams += container.streams.audio
            self._announced_s = (container.duration or 0) / av.time_base
            self._begin_s = (container.start_time or 0) / av.time_base
        self._end_s = 0.0

    def add(self, packet: Any) -> None:
        """Note a packet of one of `streams`."""
        begin = packet.dts if packet.pts is None else packet.pts
        if begin is None:
            return
        is_video = packet.stream is self.streams[0]
        lasts_s = float((packet.duration or 0) * packet.time_base)
        lasts_s = lasts_s or (1 / self._rate if is_video else 0.0)
        end_s = float(begin * packet.time_base) + lasts_s - self._begin_s
        self._end_s = max(self._end_s, end_s)

    @property
    def missing_s(self) -> float:
        """What was announced and did not come; 0 for a file that is whole or does not tell."""
        missing_s = self._announced_s - self._end_s
        return missing_s if missing_s >= LEAST_MISSING_S else 0.0


def _frames(container: Any, path: Path, length: _Length) -> Iterator[Any]:
    stream = _video_stream(container, path)
    # Decoding ahead on several threads adds delay; only large frames need it.
    stream.thread_type = "AUTO" if stream.codec_context.width > 1920 else "NONE"
    bad = decoded = 0
    for packet in container.demux(length.streams):
        length.add(packet)
        if packet.stream is not stream:
            continue
        try:
            for frame in packet.decode():
                bad, decoded = 0, decoded + 1
                yield frame
        except av.error.FFmpegError as error:
            bad += 1
            log.debug("damaged packet in %s: %s", path, error)
            if bad >= MAX_BAD_PACKETS:
                break
    if bad and not decoded:
        raise _damaged(path)
    if bad:
        log.warning("%s is damaged after frame %d", path, decoded)


def _open(path: Path) -> Any:
    try:
        if not path.exists():
            raise UserError(f"The video file {path} does not exist.", "Check the path.")
        if path.is_dir():
            raise UserError(f"{path} is a folder, not a video file.", "Name a file inside it.")
        return av.open(str(path))
    except PermissionError as error:  # of the file, or of a folder above it
        raise UserError(f"{path} may not be read.", "Check its permissions.") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _damaged(path) from error


def _video_stream(container: Any, path: Path) -> Any:
    if not container.streams.video:
        kind = "only sound" if container.streams.audio else "no video"
        raise UserError(f"{path} has {kind} in it.", "Choose a file with a picture.")
    return container.streams.video[0]


def _damaged(path: Path) -> UserError:
    return UserError(
        f"{path} is not a video that can be read: it is damaged or of an unknown format.",
        "Try to play it in a media player, or choose another file.",
    )
