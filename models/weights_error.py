"""The one error of every file in `models/weights/`, and of networks that users trained."""

from __future__ import annotations

REMEDY = "restore it with `git checkout -- models/weights`, or export your own network again"


class WeightsError(Exception):
    """A file of weights is missing, damaged or does not fit; the message says what to do."""
