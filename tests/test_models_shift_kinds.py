"""The kinds of temporal shift, alone and in the network."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from models.inpainting.evi_hrnet import EviHrnet, NetworkSettings
from models.inpainting.temporal_shift import OfflineTemporalShift, temporal_shift


def network(shift: str) -> EviHrnet:
    torch.manual_seed(0)
    return EviHrnet(NetworkSettings(8, 32, head="rgb", attention="none", shift=shift)).eval()


def test_an_offline_shift_takes_a_quarter_from_either_neighbour() -> None:
    clip = torch.arange(1.0, 4).view(3, 1, 1, 1).expand(3, 8, 1, 1)
    shifted = OfflineTemporalShift(8)(clip, frames=3)[:, :, 0, 0]
    assert shifted[:, :2].tolist() == [[0, 0], [1, 1], [2, 2]]  # the frame before
    assert shifted[:, 2:4].tolist() == [[2, 2], [3, 3], [0, 0]]  # the frame after
    assert torch.equal(shifted[:, 4:], clip[:, 4:, 0, 0])


@pytest.mark.parametrize(
    ("shift", "online", "states", "sees_before", "sees_after"),
    [
        ("online", True, 16, True, False),
        ("static", True, 16, True, False),
        ("none", True, 0, False, False),
        ("offline", False, 0, True, True),
    ],
)
def test_which_frames_a_network_sees(
    shift: str, online: bool, states: int, sees_before: bool, sees_after: bool
) -> None:
    made = network(shift)
    assert made.is_online is online
    assert len(made.initial_states(2)) == len(made.settings.contract.states) == states
    clip = torch.rand(1, 3, 8, 32, 32)
    plain, _ = made(clip)
    for changed, seen in ((0, sees_before), (2, sees_after)):
        other = clip.clone()
        other[:, changed] = 0
        assert torch.equal(made(other)[0][:, 1], plain[:, 1]) is not seen


def test_static_taps_are_not_learnt_and_unknown_shifts_are_refused() -> None:
    assert not temporal_shift("static", 8).taps.requires_grad
    assert temporal_shift("online", 8).taps.requires_grad
    with pytest.raises(ValueError, match="online, static, offline, none"):
        NetworkSettings(shift="circular")
