"""Holes of training and evaluation clips, by kind: `MASKS["moving-box"].masks(...)`."""

from training.masks.registry import MASKS as MASKS
from training.masks.source import MaskSource as MaskSource
