"""Which frames of a bare face become the views of its bank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.bank.look import Look

VIEWS = 8  # 25 of 75 frames gain no more on the val clips
# Squared distance from the nearest view below which a frame shows nothing new.
ALIKE = 5.0  # views nearest to a frame are usually 7 to 90 away


def choose_views(
    looks: Sequence[Look],
    usable: NDArray[np.bool_],
    first: int,
    closed: int | None = None,
    count: int = VIEWS,
) -> list[int]:
    """Spread views over what the frames show; indices, `first` first, then `closed`.

    Each next view is the usable frame farthest from all chosen ones (the greedy 2-approximation
    of the k-centre problem: Gonzalez 1985). It ends early when the rest looks like those.

    Args:
        looks: of every frame.
        usable: (T,) which frames are good enough.
        first: the best frontal view.
        closed: a view with closed eyes, if there is one.
        count: most views.
    """
    change = np.stack([look.change for look in looks])
    chosen = [first] if closed is None or closed == first else [first, closed]
    distance = np.min([((change - change[index]) ** 2).sum(1) for index in chosen], 0)
    while len(chosen) < count:
        farthest = int(np.where(usable, distance, -1).argmax())
        if not usable[farthest] or distance[farthest] < ALIKE:
            break
        chosen.append(farthest)
        distance = np.minimum(distance, ((change - change[farthest]) ** 2).sum(1))
    return chosen[:count]
