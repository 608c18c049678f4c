"""Whether two profiles are of one person: their prints compared, as a session compares looks."""

from __future__ import annotations

import logging

import numpy as np

from edge.identity.evidence import Evidence
from edge.identity.face_print import IdentityPrint
from edge.identity.likeness import Look, evidence_of, fitted
from edge.identity.person_check import FIRST_NS
from edge.identity.print_making import print_of_views
from edge.profile import SessionProfile
from models.identity.face_chip import BARE
from models.identity.reader import FacePrintReader
from models.weights_error import WeightsError
from streaming.errors import UserError

log = logging.getLogger(__name__)


def is_same_person(new: SessionProfile, old: SessionProfile) -> bool | None:
    """Whether the bare faces of `new` speak for the owner of `old`; None where nobody can tell.

    Each face counts as one look, as in the first seconds of a session: what they add up to
    (`edge.identity.evidence`) is above zero for the owner.
    """
    try:
        reader = FacePrintReader()
        seen, known = _print_of(new, reader), _print_of(old, reader)
        counted = fitted()
        if counted.network != reader.version:
            raise WeightsError(f"weights for {counted.network}, not {reader.version}")
    except (WeightsError, UserError, ValueError) as error:
        log.warning("not compared whether both profiles are of one person: %s", error)
        return None
    evidence = Evidence(counted.evidence)
    template, shape = known.template(BARE), known.shape
    for index, (face, proportions) in enumerate(zip(seen.bare, seen.shapes, strict=True)):
        away = proportions - shape
        look = Look(BARE.name, float(face @ template), float(np.sqrt((away * away).mean())))
        evidence.add(evidence_of(look, counted.windows), index * FIRST_NS)
    return evidence.sum > 0


def _print_of(profile: SessionProfile, reader: FacePrintReader) -> IdentityPrint:
    own = profile.identity
    if own is None or own.network != reader.version:
        return print_of_views(profile.references, reader)
    return own
