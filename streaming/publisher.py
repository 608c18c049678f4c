"""The publishing socket: newest frames to whoever subscribed, never waiting for anyone."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Sequence

import zmq

from streaming.clock import PublishingClock, monotonic_ns
from streaming.closing import Closing
from streaming.delay import DelayMeter
from streaming.endpoints import KERNEL_BUFFER_BYTES, LOOPBACK
from streaming.frame_message import DEFAULT_JPEG_QUALITY
from streaming.messages import Message, MessageError, Notification, encode, topic_of
from streaming.picture_coding import Burst, PictureCoder
from streaming.records import ImageU8, RestoredFace
from streaming.restored import (
    frame_message,
    images_of,
    is_synthesised,
    state_message,
)
from streaming.security.door import Door, Guard
from streaming.security.rate_limit import tellings
from streaming.subscriptions import STREAMED_TOPICS, Subscriptions
from streaming.topic_formats import STARTED, FormatRequest, FormatRequestError, TopicFormats
from streaming.topics import (
    FACE_STATE,
    FORMAT_TOPICS,
    FORMATS,
    FRAME_EYES,
    FRAMES,
    NOTIFY,
    PUBLISHER_PORT,
    VIDEO_FORMAT,
    EyesShow,
    VideoCodec,
    format_topic,
)

__all__ = ["PAUSED", "RESUMED", "STREAMED_TOPICS", "Publisher", "is_synthesised"]

LOGGER = logging.getLogger(__name__)
MAX_SUBSCRIPTION_BYTES = 1024  # subscribers have nothing longer to say to us
# What waits for one subscriber: a burst, all topics of one frame, and no more. A limit of 1 or 2
# drops the last topics of every burst, because it counts messages and is freed in steps of half of
# it. It is set once: libzmq 4.3.5 crashes when it is changed while a subscriber is leaving.
QUEUED_MESSAGES = 2 * len((*FRAMES, FACE_STATE))
PAUSED, RESUMED = "unvisor.paused", "unvisor.resumed"
TELL_PAUSED_EVERY_S = 1.0
# What only we may say: a client that says it is not believed by the others.
OURS = ("unvisor.", STARTED, "recording.started", "recording.stopped")


class Publisher(Closing):
    """Binds one port and publishes records on it; may be called from any thread.

    What nobody subscribed to is neither encoded nor sent. A subscriber that does not read loses
    frames; it never slows the publisher.
    """

    def __init__(
        self,
        port: int = PUBLISHER_PORT,
        host: str = LOOPBACK,
        jpeg_quality: int = DEFAULT_JPEG_QUALITY,
        clock: PublishingClock | None = None,
        image_format: str = "jpeg",
        eyes_show: EyesShow = "cameras",
        video_codec: VideoCodec = "auto",
        guard: Guard = None,
        queued_messages: int = QUEUED_MESSAGES,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        """Bind at once (`port` 0: any free one); raises `AddressInUse` or `AddressNotAllowed`.

        `jpeg_quality` is 1..100; `clock` gives the `timestamp` that clients see. `image_format`
        is what `frame.*` carries until a client asks otherwise. `eyes_show` "face" puts the
        restored face on `frame.eye.*`. `video_codec` encodes `h264.*`. A `host`
        beyond loopback needs a `guard` (`door.open_guard`); who has no allowed key gets nothing.
        `queued_messages` wait for a subscriber that does not read. `context` None is the one that
        the process shares.
        """
        if not 1 <= jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality is {jpeg_quality}; it must be in 1..100.")
        self.clock = clock or PublishingClock()
        self.sent: Counter[str] = Counter()  # messages by topic; `encoded` what cost pixels work
        self.encoded: Counter[str] = Counter()
        self._coder = PictureCoder(jpeg_quality, video_codec)
        self._formats = TopicFormats(image_format, self._wanted_since_s)
        self._eyes_show = eyes_show
        self._delay = DelayMeter()
        self._subscriptions = Subscriptions()
        self._tellings = tellings()
        self._paused = False
        self._told_paused_s = -math.inf
        self._lock = threading.Lock()
        self._socket: zmq.Socket[bytes] = (context or zmq.Context.instance()).socket(zmq.XPUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # every late client needs a key picture
        self._socket.setsockopt(zmq.SNDBUF, KERNEL_BUFFER_BYTES)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION_BYTES)
        self._socket.setsockopt(zmq.SNDHWM, queued_messages)
        try:
            self._door = Door(self._socket, host, port, guard)
        except Exception:
            self._socket.close()
            raise
        self.port = self._door.port
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def publish(self, message: Message) -> bool:
        """Send one record if somebody wants its topic; return whether it was sent.

        Raises `MessageError` when the record does not keep to the schema.
        """
        return self.wants(topic_of(message)) and self._send(encode(message))

    def forward(self, parts: Sequence[bytes]) -> bool:
        """Send a multipart message as it came, if somebody wants it; return whether it was sent.

        For what was published before: the bytes are not looked into.
        """
        return self._send(list(parts))

    def publish_restored(
        self,
        face: RestoredFace,
        eyes: Sequence[ImageU8] = (),
        eye_ages_ns: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Send `face.state` and the images, each in the formats in which it is wanted.

        `eyes` are the (right, left) eye-camera images, (H,W) grey or (H,W,3) BGR uint8, and
        `eye_ages_ns` how old what they showed was at the capture. While paused nothing is sent but
        `notify.unvisor.paused`, once a second.
        """
        self._formats.refresh()
        if self.paused:
            self.say_again_if_paused()
            return
        if self.wants(FACE_STATE):
            delay_ms = self._delay.delay_ms
            self._send(encode(state_message(face, eye_ages_ns, self.clock, delay_ms)))
        burst = Burst(self._coder)
        for source, image in images_of(face, eyes, self._eyes_show).items():
            for topic, image_format in self._forms(source):
                self._send_image(burst, face, source, topic, image_format, image)
        self._delay.add(face.capture_time_ns, monotonic_ns())

    @property
    def video_delay_ms(self) -> float | None:
        """From capture to the last picture of a frame handed over, smoothed; None before it."""
        return self._delay.delay_ms

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
            self._paused, self._told_paused_s = True, time.monotonic()
        self._delay.restart()
        self.publish(Notification(PAUSED))

    def resume(self) -> None:
        """Send again, after the word `notify.unvisor.resumed`."""
        with self._lock:
            self._paused = False
        self.publish(Notification(RESUMED))

    def say_again_if_paused(self) -> None:
        """Say `notify.unvisor.paused` when a second passed since; `publish_restored` does so, too.

        For times without frames: who subscribes during a pause would take the silence for a
        publisher that is gone.
        """
        parts = encode(Notification(PAUSED))
        with self._lock:
            now_s = time.monotonic()
            if self._paused and now_s - self._told_paused_s >= TELL_PAUSED_EVERY_S:
                self._told_paused_s = now_s
                self._send_locked(parts)

    def obey(self, notification: Notification) -> bool:
        """Do what a client may ask of the publisher; return whether this was such a request.

        `frame_publishing.set_format` with `format` jpeg, bgr or gray, and optionally `topics`,
        sets the format of those `frame.*` topics that no other client holds, see `TopicFormats`;
        `frame_publishing.started` is announced in answer, as Pupil Capture does.
        """
        try:
            request = FormatRequest.read(notification)
        except FormatRequestError as error:
            self._warn("Ignoring a client's request: %s", error)
            return True
        if request is None:
            return False
        granted = self._formats.grant(request)
        if granted:
            fields = {"format": request.image_format, "topics": list(granted)}
            self.publish(Notification(STARTED, fields))
        if kept := sorted(set(request.topics) - set(granted)):
            LOGGER.info("%s stay as another client asked for them.", ", ".join(kept))
        return True

    def pass_on(self, notification: Notification) -> bool:
        """Let the subscribers hear a client's notification; return whether it was sent.

        Not those by which only we announce what happens here: pausing is told once, by us.
        """
        if notification.subject.startswith(OURS):
            return False
        try:
            return self.publish(notification)
        except MessageError as error:  # it holds what can be read and not written
            self._warn("A notification is not passed on: %s", error)
            return False

    def close(self, linger_ms: int = 0) -> None:
        """Free the port; later calls send nothing.

        What waits for subscribers still leaves for up to `linger_ms`, after the return: end the
        context to wait for it.
        """
        with self._lock:
            self._socket.close(linger_ms)

    def _warn(self, sentence: str, error: ValueError) -> None:
        """Say what a client did wrong, as often as a log bears."""
        with self._lock:
            may_tell = self._tellings.allows(sentence)
        if may_tell:
            LOGGER.warning(sentence, error)

    def _send(self, parts: list[bytes]) -> bool:
        with self._lock:
            return self._send_locked(parts)

    def _send_locked(self, parts: list[bytes]) -> bool:
        topic = parts[0].decode(errors="replace")
        is_held = self._paused and not topic.startswith(NOTIFY)
        if is_held or not self._is_wanted(topic):
            return False
        self._socket.send_multipart(parts)  # XPUB drops rather than waits
        self.sent[topic] += 1
        return True

    def _is_wanted(self, topic: str) -> bool:
        if self._socket.closed:
            return False
        self._door.cut_revoked()
        for name in self._subscriptions.read(self._socket):
            if FORMAT_TOPICS.get(name) == VIDEO_FORMAT:
                self._coder.ask_key(name)
        return self._subscriptions.wants(topic)

    def _wanted_since_s(self, topic: str) -> float | None:
        with self._lock:
            return self._subscriptions.since_s(topic) if self._is_wanted(topic) else None

    def _forms(self, source: str) -> list[tuple[str, str]]:
        """Topics and formats in which somebody wants one of `FRAMES`."""
        forms = [(source, self._formats.of(source))]
        forms += [(format_topic(name, source), name) for name in FORMATS]
        return [form for form in forms if self.wants(form[0])]

    def _send_image(
        self,
        burst: Burst,
        face: RestoredFace,
        source: str,
        topic: str,
        image_format: str,
        image: ImageU8,
    ) -> None:
        coded = burst.code(image, image_format, topic)
        if coded is None:
            return
        self.encoded[topic] += 1
        is_eye_camera = source in FRAME_EYES and self._eyes_show == "cameras"
        message = frame_message(
            face, topic, image_format, image, coded, self.clock, is_eye_camera=is_eye_camera
        )
        self._send(encode(message))
