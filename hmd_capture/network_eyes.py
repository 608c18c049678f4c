"""Reads eye images with the shipped network: real cameras' and the simulated headset's alike."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np

from hmd_capture.sources.device import BadPicture
from hmd_capture.sources.pictures import grey
from models.eyes.reader import SHIPPED_EYE_NET, EyeReader
from models.weights_error import WeightsError
from streaming.clock import NS_PER_S
from streaming.errors import UserError
from streaming.messages import EyeImage
from streaming.records import EyeObservation, Side

LOGGER = logging.getLogger(__name__)
SURE = 0.3  # confidence from which an image counts as one of an eye
BLIND_NS = 2 * NS_PER_S  # without an eye for so long, the user is told
MAX_PX = 10_000.0  # what is read farther away than this is no reading


class NetworkEyeReader:
    """Lids, iris, pupil and blink of each image, by EyeNet."""

    def __init__(
        self, lost: frozenset[Side] = frozenset(), network: Path = SHIPPED_EYE_NET
    ) -> None:
        """Load the network; eyes in `lost` are never reported, as if their camera were covered.

        Raises:
            UserError: the network's file is missing or damaged.
        """
        self._lost = lost
        self.rejected: Counter[str] = Counter()  # images that could not be read, by reason
        self._sure_ns: dict[Side, int] = {}  # when an eye was last seen; at first, looked for
        self._newest_ns: dict[Side, int] = {}
        try:
            self._reader = EyeReader(network)
        except WeightsError as error:
            raise UserError(f"The network that reads eye images cannot be used. {error}") from error

    @property
    def note(self) -> str:
        """Which cameras send images without an eye."""
        blind = [
            side.value
            for side, newest_ns in self._newest_ns.items()
            if newest_ns - self._sure_ns[side] > BLIND_NS
        ]
        if not blind:
            return ""
        return (
            f"no eye is seen in the images of the {' and the '.join(blind)} eye camera; "
            "check that it looks at the eye and that its lamp is on"
        )

    def read(self, image: EyeImage) -> EyeObservation | None:
        """Return what the image shows; None for a lost eye or an image that cannot be read."""
        if image.side in self._lost:
            return None
        try:
            reading = self._reader.read(grey(image.image))
        except BadPicture as error:
            self._reject(error.reason, str(error))
            return None
        found = np.concatenate([reading.lids.ravel(), reading.pupil, reading.iris])
        if not np.isfinite(found).all() or np.abs(found).max() > MAX_PX:
            self._reject("reading", "an image that the network makes nothing of")
            return None
        self._remember(image, reading.confidence)
        return EyeObservation(
            side=image.side,
            capture_time_ns=image.capture_time_ns,
            lids=reading.lids,
            pupil=reading.pupil,
            iris=reading.iris,
            blink=reading.blink,
            confidence=reading.confidence,
        )

    def _reject(self, reason: str, what: str) -> None:
        self.rejected[reason] += 1
        if self.rejected[reason] == 1:  # a broken sender must not fill the log
            LOGGER.warning("An eye camera sent %s: not read.", what)

    def _remember(self, image: EyeImage, confidence: float) -> None:
        time_ns = image.capture_time_ns
        self._newest_ns[image.side] = time_ns
        if confidence >= SURE or time_ns < self._sure_ns.setdefault(image.side, time_ns):
            self._sure_ns[image.side] = time_ns
