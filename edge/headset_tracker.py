"""Follows one head through the frames by HeadsetNet: the headset's outline and the face under it.

Follow mode looks at one crop around where the head was; when that shows no face any more, the
whole frame is searched. While following, now and then one crop of the search is looked at as well,
so that other people, and somebody else putting the headset on, are noticed.
"""

from __future__ import annotations

import logging

import numpy as np

from edge.head_search import Candidate, distinct, is_same, look, search, search_crops
from edge.marker.guide import MarkerGuide
from edge.person_choice import LEAST_HEADSET, check_person, choose_person
from edge.records import Capture, FaceTrack
from edge.settings import Landmarks
from edge.visibility import is_visible
from models.face.alignment import BoxSmoother, frame_from_box, head_box
from models.face.mesh import LEFT_EYE, RIGHT_EYE
from models.face_fit import WearerFit
from models.headset.contract import SIZE_PX
from models.headset.head_crop import HeadCrop, crop_of_mesh, eased
from models.headset.outline import outline_in_frame
from models.headset.reader import HeadsetReader, HeadsetReading
from models.mesh_filter import MeshFilter
from models.mesh_register import MeshRegister
from models.outlines.reader import WearersOutline
from streaming.records import Float32Array, ImageU8

log = logging.getLogger(__name__)

FOUND, LOST = 0.5, 0.25  # face probability: to start following, to give up
ON, OFF = 0.6, 0.4  # smoothed headset probability: put on, taken off
HEADSET_SECONDS = 0.12  # time constant of that smoothing
TRIES = 3  # found heads that are looked at closely before the search gives up
LOOKS = 2  # close looks at a found head before it is followed: the first centres the crop
IDLE_NS = 90_000_000  # between searches that find nobody
SCAN_FRAMES = 30  # while following a wearer, one crop of the search every so many frames
BARE_SCAN_FRAMES = 10  # and while following somebody without a headset


class HeadsetTracker:
    """Finds and follows the wearer; see `edge.tracker.Tracker`."""

    name: Landmarks = "tracker"

    def __init__(
        self,
        size_px: int,
        reader: HeadsetReader,
        fit: WearerFit | None,
        person: str = "nearest",
        marker: MarkerGuide | None = None,
        outline: WearersOutline | None = None,
        register: MeshRegister | None = None,
    ) -> None:
        """Follow by `reader`; `fit` knows the wearer's own face, None: anybody's.

        `marker` follows a sticker on the headset, None: there is none. `outline` and `register`
        know the wearer's picture, for the headset's outline and for the mesh; None: there is none.

        Raises:
            UserError: `person` is no choice.
        """
        self.note = ""
        self.searches = 0  # whole-frame searches so far
        self._size_px = size_px
        self._fit = fit
        self._person = check_person(person)
        self._reader = reader
        self._marker, self._outline, self._register = marker, outline, register
        self._smoother, self._filter = BoxSmoother(), MeshFilter()
        self._crop: HeadCrop | None = None
        self._cut: ImageU8 = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
        self._worn: float | None = None
        self._is_on = False
        self._time_ns = 0
        self._searched_ns: int | None = None
        self._frames = self._scans = 0
        self._others: list[Candidate] = []

    def track(self, capture: Capture) -> FaceTrack | None:
        """The wearer in this frame, or None."""
        image, time_ns = capture.frame.image, capture.frame.capture_time_ns
        reading = self._followed(image) or self._seen_again(image, time_ns)
        reading = reading or self._found(image, time_ns)
        if reading is None or self._crop is None:
            return None
        crop = self._crop
        raw = crop.mesh_in_frame(reading.mesh)
        if self._marker is not None:
            raw = self._marker.guided(image, raw, reading, crop, time_ns)
        self._crop = eased(crop, crop_of_mesh(raw))
        steady = self._filter.steady(raw, _span(raw), time_ns)
        mesh = steady if self._fit is None else self._fit.fitted(steady, reading.spread)
        mask = self._mask(reading, crop, mesh, image, time_ns)
        visible = is_visible(mesh, mask)
        box = self._smoother.follow(head_box(mesh), time_ns)
        self._time_ns = time_ns
        if self._register is not None and mask.any():
            mesh = self._register.registered(mesh, visible, image, mask, time_ns)
        self._scan(image)  # last: it may find another person to follow, who has no past
        return FaceTrack(mesh, visible, mask, frame_from_box(box, self._size_px), reading.face)

    @property
    def engine_name(self) -> str:
        """What runs the network, such as `onnxruntime CPU INT8`."""
        return self._reader.engine_name

    def reset(self) -> None:
        """Forget earlier frames."""
        self._crop = self._worn = None
        self._is_on = False
        self._others = []
        self._smoother.reset()
        self._filter.reset()
        if self._register is not None:
            self._register.reset()
        if self._marker is not None:
            self._marker.lose()

    def close(self) -> None:
        """Nothing to free."""

    def _followed(self, image: ImageU8) -> HeadsetReading | None:
        if self._crop is None:
            return None
        reading = self._look(self._crop, image)
        if reading.face >= LOST:
            return reading
        self.reset()
        self._searched_ns = None  # whoever was just lost is searched for in this very frame
        return None

    def _seen_again(self, image: ImageU8, time_ns: int) -> HeadsetReading | None:
        """A lost head by its marker, without a search."""
        crop = None if self._marker is None else self._marker.crop_again(image, time_ns)
        if crop is None:
            return None
        reading = self._look(crop, image)
        if reading.face < FOUND:
            return None
        self._crop = crop
        return reading

    def _found(self, image: ImageU8, time_ns: int) -> HeadsetReading | None:
        last_ns = self._searched_ns
        if last_ns is not None and 0 <= time_ns - last_ns < IDLE_NS:
            return None
        self._searched_ns = time_ns
        self.searches += 1
        found = search(self._reader, image)
        self._tell(found)
        for _ in range(TRIES):
            chosen = choose_person(found, self._person)
            if chosen is None:
                return None
            reading = self._approached(image, chosen)
            if reading is not None:
                return reading
            found = [head for head in found if head is not chosen]
        return None

    def _approached(self, image: ImageU8, chosen: Candidate) -> HeadsetReading | None:
        """Look closely at a candidate until the crop fits; None if it is no face after all."""
        crop = chosen.crop
        for _ in range(LOOKS):
            reading = self._look(crop, image)
            if reading.face < FOUND:
                return None
            used, crop = crop, crop_of_mesh(crop.mesh_in_frame(reading.mesh))
        self._crop = used
        return reading

    def _look(self, crop: HeadCrop, image: ImageU8) -> HeadsetReading:
        self._cut = crop.cut(image)  # kept: the outline is drawn to its edges
        return self._reader.read(self._cut)

    def _mask(
        self,
        reading: HeadsetReading,
        crop: HeadCrop,
        mesh: Float32Array,
        image: ImageU8,
        time_ns: int,
    ) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        """The outline in the frame; empty while no headset is worn."""
        if self._worn is None:
            self._worn = reading.headset
            self._is_on = reading.headset >= LEAST_HEADSET
        seconds = max(0.0, (time_ns - self._time_ns) / 1e9)
        share = 1.0 - float(np.exp(-seconds / HEADSET_SECONDS))
        self._worn += share * (reading.headset - self._worn)
        if self._is_on != (is_on := self._worn >= (OFF if self._is_on else ON)):
            log.info("the headset was %s", "put on" if is_on else "taken off")
        self._is_on = is_on
        if not is_on:
            return np.zeros(image.shape[:2], np.uint8)
        if self._outline is None:
            return outline_in_frame(reading.mask, crop, image)
        points = crop.points_in_crop(mesh)
        return self._outline.drawn(reading.mask, crop, self._cut, points, image)

    def _scan(self, image: ImageU8) -> None:
        """Look at one crop of the search now and then, for other people in view."""
        self._frames += 1
        if self._frames < (SCAN_FRAMES if self._is_on else BARE_SCAN_FRAMES) or self._crop is None:
            return
        self._frames, self._scans = 0, self._scans + 1
        crops = search_crops(image.shape)
        turn = self._scans % len(crops)
        seen = look(self._reader, image, crops[turn])
        if turn == 0:
            self._others = []
        self._others = distinct([*seen, *self._others])
        if turn == len(crops) - 1:  # the whole frame was seen
            self._tell(self._others)
        if not self._is_on:
            self._change_to_wearer()

    def _change_to_wearer(self) -> None:
        """Whoever is followed wears no headset: go over to somebody who does."""
        chosen = choose_person(self._others, self._person)
        if chosen is None or self._crop is None or chosen.headset < ON:
            return
        own = Candidate(self._crop.centre, self._crop.side_px, 1.0, 0.0)
        if not is_same(chosen, own):
            log.info("another person wears the headset: following that one")
            self.reset()
            self._crop = chosen.crop

    def _tell(self, found: list[Candidate]) -> None:
        count, note = len(found), ""
        is_missing = self._person.isdigit() and 0 < count < int(self._person)
        if is_missing and self._crop is None:  # else whoever it was is followed
            people = "one person is" if count == 1 else f"{count} people are"
            note = f"only {people} in view: there is no number {self._person} from the left"
        elif count > 1:
            note = f"{count} people in view: following the {self._whom()}"
        if note and not self.note:
            log.warning("%s", note)
        self.note = note

    def _whom(self) -> str:
        if self._person.isdigit():
            return f"one that is number {self._person} from the left"
        return {"nearest": "nearest", "left": "leftmost", "right": "rightmost"}[
            self._person
        ] + " with a headset"


def _span(mesh: Float32Array) -> float:
    return float(np.linalg.norm(mesh[LEFT_EYE.outer_corner] - mesh[RIGHT_EYE.outer_corner]))
