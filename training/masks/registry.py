"""The kinds of holes by name, as recipes and protocols write them."""

from __future__ import annotations

from training.masks.boxes import MovingBox, StaticBox
from training.masks.discs import PrivacyDiscs
from training.masks.face_masks import FaceMaskHole
from training.masks.free_form import FreeForm
from training.masks.headset import HeadsetHole
from training.masks.objects import PassingObject
from training.masks.source import MaskSource

MASKS: dict[str, MaskSource] = {
    "headset": HeadsetHole(),
    "static-box": StaticBox(),
    "moving-box": MovingBox(),
    "free-form": FreeForm(),
    "face-mask": FaceMaskHole(),
    "privacy-discs": PrivacyDiscs(),
    "moving-object": PassingObject(),
}
