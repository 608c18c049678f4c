"""A message's values as the index holds them: plain numbers, texts and flat lists."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from streaming.messages import Message, Notification, topic_of
from streaming.records import Status
from streaming.topics import NOTIFY


def values_of(message: Message) -> dict[str, object]:
    """Return the values under their wire names; pixels as their number and their sum."""
    if isinstance(message, Notification):
        return {"topic": NOTIFY + message.subject, "subject": message.subject}
    values: dict[str, Any] = {"topic": topic_of(message), **asdict(message)}
    values.pop("side", None)  # the topic names it
    if "pixels" in values:
        values["landmarks"] = values.pop("landmark_source")
        pixels = values.pop("pixels")
        values |= {"pixel_bytes": len(pixels), "pixel_sum": sum(pixels)}
        values["keyframe"] = values.pop("is_key")
        if values["unit"] is None:  # no video
            del values["unit"], values["keyframe"]
    if values.get("video_delay_ms", 0) is None:
        del values["video_delay_ms"]
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.astype(np.float64).ravel().tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, Status) else value
