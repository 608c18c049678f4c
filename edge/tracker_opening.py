"""The tracker that the settings name, with everything it needs for one wearer."""

from __future__ import annotations

from edge.bare_face_trackers import MediaPipeTracker, OracleTracker
from edge.covers.opening import cover_tracker
from edge.headset_tracker import HeadsetTracker
from edge.lens.store import lens_for
from edge.marker.detector import read_marker
from edge.marker.guide import MarkerGuide
from edge.profile import SessionProfile
from edge.settings import SessionSettings
from edge.tracker import Tracker
from edge.wearer import wearer_fit
from models.headset.reader import HeadsetReader
from models.mesh_register import MeshRegister
from models.outlines.reader import OutlineReader, WearersOutline
from models.weights_error import WeightsError
from streaming.errors import UserError


def make_tracker(settings: SessionSettings, profile: SessionProfile) -> Tracker:
    """The tracker that the settings name, for the wearer of a profile.

    Raises:
        UserError: its network cannot be used, or the settings name no person or no marker.
    """
    size_px = settings.models.size_px
    name = settings.edge.landmarks
    if name == "oracle":
        return OracleTracker(size_px, settings.edge.simulation.cover)
    try:
        if settings.edge.cover == "headset" and name == "mediapipe":
            return MediaPipeTracker(size_px)
        return cover_tracker(settings, profile, _headset_tracker)
    except WeightsError as error:
        raise UserError(str(error), "Or choose --landmarks mediapipe.") from error


def _headset_tracker(
    settings: SessionSettings, profile: SessionProfile, reader: HeadsetReader
) -> HeadsetTracker:
    reference = profile.references[0]
    fit = wearer_fit(reference, reader)
    is_fine = settings.edge.outline == "fine"
    drawer = OutlineReader(threads=settings.models.threads) if is_fine else None
    guide = _guide(settings, profile)
    size_px, person = settings.models.size_px, settings.edge.person
    # Where a marker says exactly how the headset lies, nothing else shall move what it hides.
    register = MeshRegister(reference) if guide is None else None
    outline = WearersOutline(reference, drawer)
    return HeadsetTracker(size_px, reader, fit, person, guide, outline, register)


def _guide(settings: SessionSettings, profile: SessionProfile) -> MarkerGuide | None:
    """What follows the marker; without one nobody needs the lens, so its file is not read."""
    choice = read_marker(settings.edge.marker)
    if choice is None:
        return None
    return MarkerGuide(choice, lens_for(settings.edge.camera, profile))
