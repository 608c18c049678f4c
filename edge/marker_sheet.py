"""`unvisor marker`: prints a sticker for the headset at its true size, as PDF or PNG.

Both are made from one drawing of black boxes, thin lines and text in millimetres.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console

from edge.marker import MarkerChoice, read_marker
from streaming.errors import UserError

MM_PER_INCH = 25.4
POINTS_PER_MM = 72 / MM_PER_INCH
PAGE_MM = (210.0, 279.0)  # fits A4 and US Letter... both are at least that in one direction
DPI = 600
SIZE_MM = (10.0, 150.0)
ADVICE = "Stick it flat on the front of the headset, where the camera sees it, and keep its white rim."
RULER_MM = 50.0
RULER_TEXT = "This line is 50 mm long if it was printed at 100 %."

Box = tuple[float, float, float, float]  # left, top, right, bottom in mm
