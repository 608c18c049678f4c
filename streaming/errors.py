"""The one exception whose text is meant for the person at the keyboard."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right.

    `message` is one sentence that says what is wrong, with the actual value in it; `next_step` is
    one sentence that says what to do. Commands print `str(error)`, which is both, and exit with 1.
    """

    def __init__(self, message: str, next_step: str = "") -> None:
        """Keep the two sentences; `next_step` may be empty when the message already names it."""
        self.message = message
        self.next_step = next_step
        super().__init__(message, next_step)

    def __str__(self) -> str:
        """Message and next step as one line."""
        return f"{self.message} {self.next_step}".rstrip()
