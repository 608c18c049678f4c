"""The filler that the settings name, for one profile, warm and measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.profile import SessionProfile
from edge.settings import ModelsSettings
from edge.timing import StageTimes, TimedEngine
from models.engine.choice import session_network
from models.filling import DEFAULT_FILLER, Filler, NetworkFiller, Reference, make_filler
from models.shipped import WeightsError
from streaming.errors import UserError


def open_filler(
    models: ModelsSettings,
    profile: SessionProfile,
    times: StageTimes,
    tell: Callable[[str], None],
) -> tuple[Filler, str]:
    """A filler that has run once, and its network's file name (empty without one).

    `tell` gets a sentence when the wanted engine cannot be had and another one runs.

    Raises:
        UserError: the network cannot be used.
    """
    name = DEFAULT_FILLER if models.filler == "auto" else models.filler
    try:
        weights = Path(models.weights or session_network(models.precision, models.engine))
        filler = make_filler(
            name,
            profile.views,
            size_px=models.size_px,
            threads=models.threads,
            weights=weights,
            engine=models.engine,
            tell=tell,
        )
    except (WeightsError, ValueError) as error:
        raise UserError(str(error), "Or choose --filler warp-blend.") from error
    _warm_up(filler, profile.reference(models.size_px))
    if not isinstance(filler, NetworkFiller):
        return filler, ""
    filler.engine = TimedEngine(filler.engine, times)
    return filler, weights.name


def _warm_up(filler: Filler, reference: Reference) -> None:
    """Let first-time costs fall before the first frame, not into it."""
    hidden = (reference.image[..., 0] * 0).astype("uint8")
    third = hidden.shape[0] // 3
    hidden[third : 2 * third, third : 2 * third] = 1
    filler.fill(reference.image, hidden, reference.mesh)
    filler.reset()
