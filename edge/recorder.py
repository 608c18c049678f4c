"""The side-by-side video: camera, restored face and truth, with the eye cameras and facts below.

Drawing and encoding run on a thread behind one slot: when it cannot keep up it skips frames and
counts them, and when the disk fails it says so once and the product goes on without it.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from edge.records import PipelineView
from edge.settings import SessionSettings
from streaming.closing import Closing
from streaming.errors import UserError
from streaming.records import ImageU8
from streaming.slot import Latest
from streaming.whole_file import put_where_nothing_is

PANE_HEIGHT_PX = 300
TITLE_PX = 24
STRIP_PX = 76  # below the panes: eye cameras and facts
EYE_HEIGHT_PX = 64
MARGIN_PX = 6
GROUND = 29  # grey: filling with one value is ten times as fast as with a colour
INK = (226, 228, 230)
SOFT_INK = (160, 163, 166)
TIME_BASE = Fraction(1, 1000)
# Beside a pipeline on two cores: about 2 ms per frame instead of 8 with the default preset.
ENCODER_OPTIONS = {"preset": "ultrafast", "crf": "21", "threads": "1"}

log = logging.getLogger(__name__)


class Recorder(Closing):
    """A `ViewSink` that writes an H.264 MP4 file, which appears under its name once finished.

    `path` is then the file's: where a video is already, the next free one of NAME-2.mp4, …
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        """Open a draft beside `path`, or beside what it leads to if it is a symbolic link.

        `overwrite` has the finished video take an older one's place.

        Raises:
            UserError: nothing can be written there.
        """
        self.path = Path(os.path.realpath(path))
        self.trouble = ""
        self.frames = 0
        self._overwrite = overwrite
        # Else told only at the end, when the draft cannot take its place.
        if self.path.is_dir():
            raise _unwritable(path, "it is a folder")
        if self.path.exists() and not self.path.is_file():
            raise _unwritable(path, "it is no file that can be replaced")
        self._draft = self.path.with_name(self.path.name + ".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._draft.touch(0o600)
            self._draft.chmod(0o600)  # a face: for its owner alone, also where a draft was left
        except OSError as error:
            raise _unwritable(path, error.strerror or "no reason given") from error
        self._slot: Latest[PipelineView] = Latest()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def skipped(self) -> int:
        """Frames that came while the encoder was busy."""
        return self._slot.drops

    def show(self, view: PipelineView) -> None:
        """Leave `view` for the encoder; returns at once."""
        self._slot.put(view)

    def close(self) -> None:
        """Encode what is left and put the finished file in place."""
        self._slot.close()
        self._thread.join()

    def results(self) -> dict[str, float]:
        """Frames in the file, none where there is no file, and frames skipped."""
        recorded = 0 if self.trouble else self.frames
        return {"recorded_frames": recorded, "recording_skipped": self.skipped}

    def _run(self) -> None:
        try:
            self._record()
            if self.frames:
                self._take_place()
        except Exception as error:  # a thread that ends without a word would look like success
            is_expected = isinstance(error, OSError | av.error.FFmpegError)
            self.trouble = f"the recording {self.path} stopped and is not kept: {_why(error)}"
            log.error(
                "%s; the picture goes on without it",
                self.trouble,
                exc_info=None if is_expected else error,
            )
            while self._slot.take() is not None:
                pass  # until the slot is closed
        finally:
            self._draft.unlink(missing_ok=True)

    def _take_place(self) -> None:
        """Give the finished draft its name, or the next free one; an older video stays."""
        if self._overwrite:
            os.replace(self._draft, self.path)
            return
        wanted = self.path
        for place in _numbered(wanted):
            with suppress(FileExistsError):
                put_where_nothing_is(self._draft, place)
                self.path = place
                break
        if self.path != wanted:
            log.warning("%s is there already: this recording is %s", wanted, self.path)

    def _record(self) -> None:
        first = self._slot.take()
        if first is None:
            return
        canvas = compose(first)
        with av.open(str(self._draft), "w", format="mp4") as container:
            stream = _open_stream(container, canvas.shape)
            start_ns, last_ms = first.camera.capture_time_ns, -1
            view: PipelineView | None = first
            while view is not None:
                # A player needs rising times, whatever the camera's clock did.
                last_ms = max(last_ms + 1, (view.camera.capture_time_ns - start_ns) // 1_000_000)
                picture = _fitted(compose(view), canvas.shape)
                # OpenCV's conversion takes a third of the encoder's own.
                planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
                frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
                frame.pts, frame.time_base = last_ms, TIME_BASE
                container.mux(stream.encode(frame))
                self.frames += 1
                view = self._slot.take()
            container.mux(stream.encode(None))


def _numbered(path: Path) -> Iterator[Path]:
    """`path`, then NAME-2.mp4, NAME-3.mp4, …"""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def _unwritable(path: Path, reason: str) -> UserError:
    return UserError(
        f"The recording {path} cannot be written: {reason}.",
        "Name another file as `path` in [edge.recording], or another folder with the demo's "
        "`--out`.",
    )


def _why(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "memory is short"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def open_recorder(settings: SessionSettings) -> Recorder:
    """Open the recording that the settings ask for (a sink opener)."""
    recording = settings.edge.recording
    return Recorder(Path(recording.path), recording.overwrite)


def compose(view: PipelineView) -> ImageU8:
    """Draw one view as a picture (H,W,3) uint8 BGR, both sides even."""
    panes = [("camera", view.camera.image), ("restored", view.restored.image)]
    if view.truth is not None:
        panes.append(("truth", view.truth))
    columns = [_pane(title, image) for title, image in panes]
    row = np.hstack(columns)
    picture = np.vstack([row, _strip(view, row.shape[1])])
    return picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]


def _pane(title: str, image: ImageU8) -> ImageU8:
    width = max(2, round(image.shape[1] * PANE_HEIGHT_PX / image.shape[0]))
    method = cv2.INTER_AREA if image.shape[0] > PANE_HEIGHT_PX else cv2.INTER_LINEAR
    pane = np.full((TITLE_PX + PANE_HEIGHT_PX, width, 3), GROUND, np.uint8)
    if image.shape[0] == PANE_HEIGHT_PX:
        pane[TITLE_PX:] = image
    else:
        pane[TITLE_PX:] = cv2.resize(image, (width, PANE_HEIGHT_PX), interpolation=method)
    _write(pane, title, (MARGIN_PX + 2, 17), SOFT_INK)
    return pane


def _strip(view: PipelineView, width: int) -> ImageU8:
    strip = np.full((STRIP_PX, width, 3), GROUND, np.uint8)
    left = MARGIN_PX
    for eye in view.eyes:
        eye_width = max(1, round(eye.shape[1] * EYE_HEIGHT_PX / eye.shape[0]))
        if left + eye_width > width:
            break
        small = cv2.resize(eye, (eye_width, EYE_HEIGHT_PX), interpolation=cv2.INTER_AREA)
        strip[MARGIN_PX : MARGIN_PX + EYE_HEIGHT_PX, left : left + eye_width] = (
            small if small.ndim == 3 else small[..., None]
        )
        left += eye_width + MARGIN_PX
    restored = view.restored
    age_ms = (restored.publish_time_ns - restored.capture_time_ns) / 1e6
    status = ", ".join(each.value for each in restored.status)
    facts = f"frame {restored.frame_id}   age {age_ms:.0f} ms   {status}"
    _write(strip, facts, (left + 6, 32), INK)
    how = f"filler {restored.filler}   landmarks {restored.landmark_source}"
    _write(strip, how, (left + 6, 56), SOFT_INK)
    return strip


def _write(image: ImageU8, text: str, origin: tuple[int, int], colour: tuple[int, ...]) -> None:
    cv2.putText(image, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.48, colour, 1, cv2.LINE_AA)


def _fitted(picture: ImageU8, shape: tuple[int, ...]) -> ImageU8:
    """A camera that came back with another size still ends up in the same video."""
    if picture.shape == shape:
        return picture
    return np.asarray(cv2.resize(picture, (shape[1], shape[0])), np.uint8)


def _open_stream(container: av.container.OutputContainer, shape: tuple[int, ...]) -> VideoStream:
    stream = container.add_stream("libx264", options=ENCODER_OPTIONS)
    stream.height, stream.width = shape[0], shape[1]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = TIME_BASE
    return stream
