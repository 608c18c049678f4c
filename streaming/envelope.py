"""Envelopes: the parts before a question that lead its answer back to who asked."""

from __future__ import annotations


def split_envelope(message: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Split what a ROUTER received into its envelope, up to the empty part, and the question.

    Both are empty when the message is no question: there is no way back to its sender.
    """
    if b"" not in message[1:]:
        return [], []
    end = message.index(b"", 1) + 1
    return (message[:end], message[end:]) if message[end:] else ([], [])
