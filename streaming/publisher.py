"""The publishing socket: newest frames to whoever subscribed, never waiting for anyone."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

import numpy as np
import zmq

from streaming.clock import PublishingClock
from streaming.endpoints import KERNEL_BUFFER_BYTES, LOOPBACK, bind_loopback
from streaming.face_message import FaceState
from streaming.frame_message import (
    DEFAULT_JPEG_QUALITY,
    FORMATS,
    FrameMessage,
    encode_pixels,
)
from streaming.messages import Message, Notification, encode, topic_of
from streaming.records import ImageU8, RestoredFace, Status
from streaming.topics import (
    EYE_PARAMETERS,
    EYES,
    FACE_STATE,
    FRAME_EYES,
    FRAME_FACE,
    FRAME_WORLD,
    FRAMES,
    NOTIFY,
    PUBLISHER_PORT,
    SIMULATED_EYES,
)

LOGGER = logging.getLogger(__name__)
MAX_SUBSCRIPTION_BYTES = 1024  # subscribers have nothing longer to say to us
PAUSED, RESUMED = "unvisor.paused", "unvisor.resumed"
STREAMED_TOPICS = (*FRAMES, FACE_STATE, *EYES, *EYE_PARAMETERS, *SIMULATED_EYES)
UNTOUCHED = (Status.NO_HEADSET, Status.NO_FACE)


class Publisher:
    """Binds one loopback port and publishes records on it; may be called from any thread.

    What nobody subscribed to is neither encoded nor sent. A subscriber that does not read loses
    frames; it never slows the publisher.
    """

    def __init__(
        self,
        port: int = PUBLISHER_PORT,
        host: str = LOOPBACK,
        jpeg_quality: int = DEFAULT_JPEG_QUALITY,
        clock: PublishingClock | None = None,
    ) -> None:
        """Bind at once (`port` 0: any free one); raises `AddressInUse` or `AddressNotAllowed`.

        `jpeg_quality` is 1..100; `clock` gives the `timestamp` that clients see.
        """
        if not 1 <= jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality is {jpeg_quality}; it must be in 1..100.")
        self.clock = clock or PublishingClock()
        self.sent: Counter[str] = Counter()  # messages by topic; `encoded` what cost pixels work
        self.encoded: Counter[str] = Counter()
        self._jpeg_quality = jpeg_quality
        self._format = "jpeg"
        self._wanted: set[bytes] = set()
        self._paused = False
        self._lock = threading.Lock()
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDBUF, KERNEL_BUFFER_BYTES)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION_BYTES)
        self._limit_queue()
        try:
            self.port = bind_loopback(self._socket, host, port)
        except Exception:
            self._socket.close()
            raise
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def publish(self, message: Message) -> bool:
        """Send one record if somebody wants its topic; return whether it was sent.

        Raises `MessageError` when the record does not keep to the schema.
        """
        return self.wants(topic_of(message)) and self._send(encode(message))

    def publish_restored(
        self,
        face: RestoredFace,
        eyes: Sequence[ImageU8] = (),
        eye_ages_ns: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Send `face.state`, `frame.world`, `frame.face` and `frame.eye.*`, as far as wanted.

        `eyes` are the (right, left) eye-camera images, (H,W) grey or (H,W,3) BGR uint8, and
        `eye_ages_ns` how old what they showed was at the capture. While paused nothing is sent.
        """
        if self.paused:
            return
        if self.wants(FACE_STATE):
            self._send(encode(self._face_state(face, eye_ages_ns)))
        images = {FRAME_WORLD: face.image, FRAME_FACE: face.crop}
        images.update(zip(FRAME_EYES, eyes, strict=False))
        for topic, image in images.items():
            if image.size and self.wants(topic):
                self._send(encode(self._frame(topic, image, face)))

    def wants(self, topic: str) -> bool:
        """Whether any client subscribed to `topic` (or to a prefix of it)."""
        with self._lock:
            return self._is_wanted(topic)

    @property
    def paused(self) -> bool:
        """Whether `pause` was called last."""
        with self._lock:
            return self._paused

    def pause(self) -> None:
        """Send nothing more once this returns, but for the word `notify.unvisor.paused`."""
        with self._lock:
            self._paused = True
        self.publish(Notification(PAUSED))

    def resume(self) -> None:
        """Send again, after the word `notify.unvisor.resumed`."""
        with self._lock:
            self._paused = False
        self.publish(Notification(RESUMED))

    def obey(self, notification: Notification) -> bool:
        """Do what a client may ask of the publisher; return whether this was such a request.

        `frame_publishing.set_format` with `format` jpeg, bgr or gray sets the format of all
        images; `frame_publishing.started` is announced in answer, as Pupil Capture does.
        """
        if notification.subject != "frame_publishing.set_format":
            return False
        wanted = notification.fields.get("format")
        if isinstance(wanted, str) and wanted in FORMATS:
            self._format = wanted
            self.publish(Notification("frame_publishing.started", {"format": wanted}))
        else:
            LOGGER.warning("A client asked for the image format %.40r; ignored.", wanted)
        return True

    def close(self) -> None:
        """Free the port; later calls send nothing."""
        with self._lock:
            self._socket.close()

    def __enter__(self) -> Publisher:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _send(self, parts: list[bytes]) -> bool:
        topic = parts[0].decode()
        with self._lock:
            is_held = self._paused and not topic.startswith(NOTIFY)
            if is_held or not self._is_wanted(topic):
                return False
            self._socket.send_multipart(parts)  # XPUB drops rather than waits
            self.sent[topic] += 1
            return True

    def _is_wanted(self, topic: str) -> bool:
        if self._socket.closed:
            return False
        self._read_subscriptions()
        name = topic.encode()
        return topic.startswith(NOTIFY) or any(name.startswith(prefix) for prefix in self._wanted)

    def _read_subscriptions(self) -> None:
        changed = False
        while True:
            try:
                word, *others = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            prefix = word[1:]
            # Only prefixes of our own topics are kept: a client cannot make the set grow.
            if others or not any(topic.encode().startswith(prefix) for topic in STREAMED_TOPICS):
                continue
            changed = True
            if word[:1] == b"\x01":
                self._wanted.add(prefix)
            elif word[:1] == b"\x00":
                self._wanted.discard(prefix)
        if changed:
            self._limit_queue()

    def _limit_queue(self) -> None:
        """Let one burst, all wanted topics of one frame, wait for each subscriber, and no more.

        A limit of 1 or 2 drops the last topics of every burst, because the limit counts messages
        and is freed in steps of half of it; twice the number of topics is what one burst needs.
        """
        topics = sum(
            any(topic.encode().startswith(prefix) for prefix in self._wanted)
            for topic in STREAMED_TOPICS
        )
        self._socket.setsockopt(zmq.SNDHWM, 2 * max(1, topics))

    def _frame(self, topic: str, image: ImageU8, face: RestoredFace) -> FrameMessage:
        self.encoded[topic] += 1
        return FrameMessage(
            topic=topic,
            width=image.shape[1],
            height=image.shape[0],
            index=face.frame_id,
            timestamp=self.clock.seconds_at(face.capture_time_ns),
            format=self._format,
            capture_time_ns=face.capture_time_ns,
            publish_time_ns=face.publish_time_ns,
            status=face.status,
            filler=face.filler,
            landmark_source=face.landmark_source,
            synthesised=topic not in FRAME_EYES and is_synthesised(face),
            pixels=encode_pixels(image, self._format, self._jpeg_quality),
        )

    def _face_state(
        self, face: RestoredFace, eye_ages_ns: tuple[int | None, int | None]
    ) -> FaceState:
        return FaceState(
            index=face.frame_id,
            timestamp=self.clock.seconds_at(face.capture_time_ns),
            capture_time_ns=face.capture_time_ns,
            publish_time_ns=face.publish_time_ns,
            landmarks=np.asarray(face.landmarks, dtype=np.float32),
            gaze=face.gaze,
            openness=face.openness,
            eye_ages_ns=eye_ages_ns,
            frame_from_crop=face.frame_from_crop,
            status=face.status,
            filler=face.filler,
            landmark_source=face.landmark_source,
        )


def is_synthesised(face: RestoredFace) -> bool:
    """Whether any pixel of the frame was made by a filler rather than by the camera."""
    return face.filler != "none" and not any(status in UNTOUCHED for status in face.status)
