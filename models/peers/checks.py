"""What settings of peers are checked for, where it is the same for several. Torch-free."""

from __future__ import annotations

SEEN_CHANNELS = (4, 5, 8)  # of the contract's channels, from the front: + contours, + reference


def check_seen(seen: int) -> None:
    """Refuse a number of input channels that would cut one of the inputs in two."""
    if seen not in SEEN_CHANNELS:
        raise ValueError(f"a network sees the first 4, 5 or 8 channels, got {seen}")


def check_size(size_px: int, divisor: int) -> None:
    """Refuse a crop that does not halve evenly down to the coarsest level."""
    if size_px < divisor or size_px % divisor:
        raise ValueError(f"size_px must be a multiple of {divisor}, got {size_px}")
