"""A lens from the views, or the advice that makes the next try succeed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timezone

import numpy as np

from calibration.camera.board import BoardDetector, BoardView
from calibration.camera.coverage import MIN_VIEWS, Coverage
from calibration.camera.solve import Solution, solve
from edge.lens.lens import CalibratedLens
from streaming.errors import UserError
from streaming.records import ImageU8

# Corners are found to a tenth of a pixel in sharp pictures; several times that is blur or a bow.
MAX_RMS_PX, MAX_RMS_SHARE = 0.5, 0.0007  # whichever is more; the share is of the longer side
MAX_FOCAL_ERROR = 0.01  # standard deviation of the focal length, relative
FOCAL_SHARES = (0.3, 5.0)  # of the longer side: fish-eyes and telescopes need another model
MIDDLE_SHARE = 0.25  # of a side: how far off the principal point may be
STILL_SHARE = 0.002  # of the width, by which a corner may move from one picture to the next

OnView = Callable[[Coverage, bool], None]  # what there is, whether the board was seen just now


def collect(
    images: Iterable[ImageU8], on_view: OnView, *, is_moving: bool, until_complete: bool
) -> Coverage:
    """Look for the board in pictures of one size (the first one's) and keep the useful views.

    Args:
        images: (H,W,3) BGR or (H,W) grey.
        on_view: told after every picture.
        is_moving: a film, in which the board must rest for a moment to count.
        until_complete: end as soon as nothing is missing.
    """
    detector, coverage = BoardDetector(), Coverage()
    before: BoardView | None = None
    size_px: tuple[int, int] | None = None
    for image in images:
        here = (image.shape[1], image.shape[0])
        size_px = size_px or here
        view = detector.find(image) if here == size_px else None
        if view is not None and (not is_moving or _is_still(before, view)):
            coverage.add(view, only_new=is_moving)
        before = view
        on_view(coverage, view is not None)
        if until_complete and coverage.is_complete:
            break
    return coverage


def measured_lens(coverage: Coverage, camera: str) -> CalibratedLens:
    """The lens of `camera`, if these views are enough and agree.

    Raises:
        UserError: what is wrong with them, and what to do about it.
    """
    views = coverage.views
    if len(views) < MIN_VIEWS:
        raise UserError(
            f"The board was seen in {len(views)} usable pictures; {MIN_VIEWS} are needed.",
            "Show more of it, in even light, and hold it still for a moment each time.",
        )
    if missing := coverage.missing():
        raise UserError("The views of the board are too much alike.", " ".join(missing[:3]))
    try:
        solution = solve(views)
    except ValueError as error:
        raise UserError(f"No lens fits these views: {error}.", "Take other pictures.") from error
    _check(solution, views[0].size_px)
    return CalibratedLens(
        camera,
        views[0].size_px,
        solution.matrix,
        solution.distortion,
        solution.rms_px,
        len(solution.kept),
        datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _check(solution: Solution, size_px: tuple[int, int]) -> None:
    longer = max(size_px)
    if len(solution.kept) < MIN_VIEWS:
        raise UserError(
            f"Only {len(solution.kept)} views agree with each other; {MIN_VIEWS} are needed.",
            "Hold the board still while it is looked at, and glue it onto something stiff.",
        )
    if solution.rms_px > max(MAX_RMS_PX, MAX_RMS_SHARE * longer):
        raise UserError(
            f"The corners lie {solution.rms_px:.2f} px from where any lens would put them.",
            "The board must be flat and still and the pictures sharp: glue it onto something stiff"
            ", and turn on more light.",
        )
    low, high = FOCAL_SHARES
    focal = float(solution.matrix[0, 0] + solution.matrix[1, 1]) / 2
    off = np.abs(solution.matrix[:2, 2] / np.array(size_px) - 0.5).max()
    if not low * longer <= focal <= high * longer or off > MIDDLE_SHARE:
        raise UserError(
            f"The views give an impossible lens (focal length {focal:.0f} px).",
            "Take other pictures: the board tilted by 20 to 40 degrees, towards every side.",
        )
    if solution.focal_error > MAX_FOCAL_ERROR:
        raise UserError(
            f"The focal length is known to {100 * solution.focal_error:.1f} % only.",
            "Tilt the board more, by 20 to 40 degrees, near the camera.",
        )


def _is_still(before: BoardView | None, view: BoardView) -> bool:
    """Whether the board hardly moved since the picture before: motion smears corners."""
    if before is None:
        return False
    known = {tuple(place): point for place, point in zip(before.places, before.points, strict=True)}
    moved = [
        float(np.abs(point - known[tuple(place)]).max())
        for place, point in zip(view.places, view.points, strict=True)
        if tuple(place) in known
    ]
    return bool(moved) and float(np.median(moved)) <= STILL_SHARE * view.size_px[0]
