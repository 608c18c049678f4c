"""The frames of one session, prepared one after the other. Shared with training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models import preparation
from models.background.plate import PlateCrop
from models.bank.mouth import is_mouth_hidden
from models.bank.references import ReferenceBank
from models.memory.session import SessionMemory

ImageU8 = NDArray[np.uint8]
MaskU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


class Preparer:
    """Follows a session's frames: which views they are drawn from, and what steadies them."""

    def __init__(self, bank: ReferenceBank) -> None:
        """Prepare from the views of `bank`."""
        self.bank, self._memory = bank, SessionMemory(bank.frontal.mesh)

    def step(
        self, crop: ImageU8, hidden: MaskU8, mesh: Float32Array, plate: PlateCrop | None = None
    ) -> preparation.Prepared:
        """The next frame; arguments and errors are those of `preparation.prepare`."""
        no_mouth = is_mouth_hidden(mesh, hidden)
        if no_mouth:
            # Laid over the seen ones from the wearer's own mesh, hidden landmarks do not tremble;
            # those of a masked upper face err, and would pull them off.
            self._memory.landmarks.reset()
        else:
            mesh = self._memory.landmarks.step(mesh, hidden)
        mixture = self.bank.mixture(mesh, no_mouth=no_mouth)
        return preparation.prepare(crop, hidden, mesh, mixture, plate, self._memory)

    def reset(self) -> None:
        """Forget earlier frames."""
        self.bank.reset()
        self._memory.reset()
