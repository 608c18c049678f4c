"""Recordings that clients start and stop by name through the control socket (`R name`, `r`)."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from streaming.closing import Closing
from streaming.errors import UserError
from streaming.recordings.reader import SUFFIX
from streaming.recordings.stream_recorder import TOPICS, StreamRecorder
from streaming.recordings.writer import RecordingFailed
from streaming.security.keys import ClientKeys

LOGGER = logging.getLogger(__name__)
LONGEST_NAME = 60


class NotRecording(UserError):
    """There is no recording to stop."""


class Recorder(Closing):
    """Starts and stops recordings by name, as clients ask for it through the control socket.

    Both calls return at once: the asking client is owed its answer within a second.
    """

    def __init__(
        self,
        endpoint: str,
        folder: Path | None = None,
        topics: Sequence[str] = TOPICS,
        keys: ClientKeys | None = None,
    ) -> None:
        """Remember whom to record, and where; `folder` None is the user's own data folder."""
        self._keys = keys
        self._endpoint = endpoint
        self._folder = folder or recordings_folder()
        self._topics = tuple(topics)
        self._lock = threading.Lock()
        self._running: StreamRecorder | None = None
        self._finishing: list[StreamRecorder] = []

    @property
    def path(self) -> Path | None:
        """File of the running recording; None while there is none."""
        with self._lock:
            if self._running is None or self._running.error is not None:
                return None
            return self._running.path

    def start(self, name: str = "") -> Path:
        """Start a recording and return its file; one that runs already goes on.

        `name` comes from outside: only letters, digits, `-` and `_` of it are used, and the time
        is added. Raises `RecordingFailed` when the file cannot be written.
        """
        with self._lock:
            if self._running is not None and self._running.error is None:
                return self._running.path
            path = _free_path(self._folder, name)
            self._running = StreamRecorder(self._endpoint, path, self._topics, keys=self._keys)
            LOGGER.info("recording to %s", path)
            return path

    def stop(self) -> Path:
        """End the running recording and return its file.

        Raises `NotRecording` when none was started, the recording's own error when it ended by
        itself because the disk took no more.
        """
        with self._lock:
            if self._running is None:
                raise NotRecording("No recording is running.", "Start one with `R` first.")
            self._running.ask_to_stop()
            self._finishing = [each for each in self._finishing if not each.is_finished]
            self._finishing.append(self._running)
            ended, self._running = self._running, None
            if ended.error is not None:
                raise ended.error
            return ended.path

    def close(self) -> None:
        """End the running recording and wait until every file is finished."""
        with suppress(NotRecording, RecordingFailed):  # a failure was logged when it happened
            self.stop()
        for recorder in self._finishing:
            recorder.close()


def recordings_folder() -> Path:
    """Where recordings that a client asked for are kept; only its owner can read it."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "unvisor" / "recordings"


def _free_path(folder: Path, name: str) -> Path:
    stem = re.sub(r"[^\w-]+", "_", name).strip("_")[:LONGEST_NAME] or "recording"
    stem += time.strftime("-%Y%m%d-%H%M%S")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingFailed(f"Cannot make the folder {folder}: {error.strerror}.") from error
    candidates = [folder / f"{stem}{SUFFIX}"]
    candidates += [folder / f"{stem}-{number}{SUFFIX}" for number in range(2, 100)]
    return next((path for path in candidates if not path.exists()), candidates[-1])
