"""Recorded pictures under the other topics by which clients may ask for the same ones.

A live publisher makes `jpeg.face` when somebody subscribes to it; a recording may hold only
`frame.face`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

from streaming.frame_message import FrameMessage, encode_pixels
from streaming.messages import MessageError, decode, encode
from streaming.topics import FORMAT_TOPICS, FRAMES, STOCK_FORMATS, format_topic

JPEG_QUALITY = 90
FORMS = {  # frame.face -> frame.face, jpeg.face, bgr.face, gray.face
    source: (source, *(format_topic(each, source) for each in STOCK_FORMATS)) for source in FRAMES
}
SOURCES = {form: source for source, forms in FORMS.items() for form in forms}


class OtherForms:
    """Makes the forms that are wanted and were not recorded; video is neither made nor read."""

    def __init__(self, recorded: Iterable[str], wants: Callable[[str], bool]) -> None:
        """`recorded` are the recording's topics; `wants` tells whether anybody subscribed."""
        self._wants = wants
        self._recorded = frozenset(recorded)
        self._made_from = {  # one recorded form of each source, those that cost least first
            source: next((form for form in forms if form in self._recorded), None)
            for source, forms in FORMS.items()
        }

    def of(self, parts: Sequence[bytes]) -> Iterator[list[bytes]]:
        """The same picture under other topics; nothing for what is no picture, or malformed."""
        topic = parts[0].decode(errors="replace")
        source = SOURCES.get(topic)
        if source is None or self._made_from[source] != topic:
            return
        wanted = [
            form for form in FORMS[source] if form not in self._recorded and self._wants(form)
        ]
        try:
            message = decode(parts) if wanted else None
            for form in wanted:
                if isinstance(message, FrameMessage):
                    yield encode(_as(message, form))
        except MessageError:
            return


def _as(message: FrameMessage, topic: str) -> FrameMessage:
    image_format = FORMAT_TOPICS.get(topic, message.format)
    if image_format == message.format:
        return dataclasses.replace(message, topic=topic)
    pixels = encode_pixels(message.image(), image_format, JPEG_QUALITY)
    return dataclasses.replace(message, topic=topic, format=image_format, pixels=pixels)
