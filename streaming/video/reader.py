"""Keeps the decoders of the video topics that a subscriber reads, and knows when one is lost."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import zmq
import zmq.asyncio

from streaming.frame_message import FrameMessage

if TYPE_CHECKING:
    from streaming.video.h264 import VideoDecoder

PATIENCE_S = 0.1  # the key picture for whoever just subscribed may be on its way


class VideoReader:
    """One decoder per topic; used on one thread."""

    def __init__(self) -> None:
        """Start without any: the video library is loaded with the first picture."""
        self._decoders: dict[str, VideoDecoder] = {}
        self._waiting_since_s: dict[str, float] = {}

    def decode(self, message: FrameMessage) -> FrameMessage | None:
        """The message with its picture as `bgr`; None while only a key picture would help."""
        from streaming.video.h264 import VideoDecoder

        if message.topic not in self._decoders:
            self._decoders[message.topic] = VideoDecoder()
        decoded = self._decoders[message.topic].decode(message)
        if decoded is not None:
            self._waiting_since_s.pop(message.topic, None)
        else:
            self._waiting_since_s.setdefault(message.topic, time.monotonic())
        return decoded

    def ask_for_keys(
        self, socket: zmq.Socket[bytes] | zmq.asyncio.Socket, subscribed: Iterable[str]
    ) -> None:
        """Subscribe again where a key picture is overdue: every new subscriber is sent one."""
        now_s = time.monotonic()
        for topic, since_s in self._waiting_since_s.items():
            if now_s - since_s < PATIENCE_S:
                continue
            self._waiting_since_s[topic] = now_s
            for prefix in subscribed:
                if topic.startswith(prefix):
                    socket.setsockopt(zmq.UNSUBSCRIBE, prefix.encode())
                    socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
