"""The filler that the settings name, for one profile, warm and measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.profile import SessionProfile
from edge.settings import ModelsSettings
from edge.timing import StageTimes, TimedEngine
from models.engine.choice import runs_tensorrt, session_network
from models.filling import DEFAULT_FILLER, FILLERS, Filler, NetworkFiller, Reference, make_filler
from models.shipped import SHIPPED_NETWORK, Network, load_network
from models.weights_error import WeightsError
from streaming.errors import UserError

OWN = "the profile's own"  # network, in reports


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
    if name not in FILLERS:
        raise UserError(f"There is no filler {name!r}.", f"Use auto, {', '.join(FILLERS)}.")
    try:
        file = Path(models.weights or session_network(models.precision, models.engine))
        own = own_network(models, profile, tell) if name == NetworkFiller.name else None
        filler = make_filler(
            name,
            profile.views,
            size_px=models.size_px,
            threads=models.threads,
            weights=own or file,
            engine="onnx" if own else models.engine,
            tell=tell,
        )
        _warm_up(filler, profile.reference(models.size_px))
    except WeightsError as error:
        raise UserError(str(error), "Or choose --filler warp-blend.") from error
    if not isinstance(filler, NetworkFiller):
        return filler, ""
    filler.engine = TimedEngine(filler.engine, times)
    return filler, f"{OWN} {own.path.name}" if own else file.name


def own_network(
    models: ModelsSettings, profile: SessionProfile, tell: Callable[[str], None]
) -> Network | None:
    """The profile's own network where it has one that can run here; `tell` hears why it cannot.

    It runs in floats, by onnxruntime, also where the shipped one would be INT8; named weights,
    another precision that was asked for, and a GPU's engine count more than it.
    """
    kept = profile.network
    if kept is None or models.weights:
        return None
    if models.precision == "int8":
        tell("The profile's own network is not used: INT8 was asked for.")
        return None
    try:
        shipped = load_network(SHIPPED_NETWORK)
        network = kept.weights.applied(shipped)
    except WeightsError as error:
        tell(f"The profile's own network is not used: {error}. Learn it anew with --finetune.")
        return None
    if runs_tensorrt(shipped, models.engine):
        tell(
            "The profile's own network is not used: TensorRT runs the shipped one. "
            'With engine = "onnx" in [models] it is.'
        )
        return None
    if network.size_px != models.size_px:
        tell(f"The profile's own network is not used: it works at {network.size_px} px.")
        return None
    return network


def _warm_up(filler: Filler, reference: Reference) -> None:
    """Let first-time costs fall before the first frame, not into it."""
    hidden = (reference.image[..., 0] * 0).astype("uint8")
    third = hidden.shape[0] // 3
    hidden[third : 2 * third, third : 2 * third] = 1
    filler.fill(reference.image, hidden, reference.mesh)
    filler.reset()
