"""Learning the wearer's own face before a session: how the tracker misreads the reference."""

from __future__ import annotations

from hmd_capture.headset_style import STYLES
from hmd_capture.simulated import SimulatedHeadset
from models.face_fit import WearerFit
from models.filling import Reference
from models.headset.head_crop import crop_of_mesh
from models.headset.reader import HeadsetReader
from streaming.records import Float32Array, ImageU8

SEEDS = (0, 1)  # of every built-in headset


def wearer_fit(reference: Reference, reader: HeadsetReader) -> WearerFit:
    """Read the reference bare and under every built-in headset; takes a tenth of a second."""
    mesh = reference.mesh
    views = [reference.image]
    for style in STYLES:
        for seed in SEEDS:
            views.append(SimulatedHeadset(style, seed).wear(reference.image, mesh).camera)
    return WearerFit(mesh, [_settled(reader, view, mesh) for view in views])


def _settled(reader: HeadsetReader, image: ImageU8, mesh: Float32Array) -> Float32Array:
    """The network's mesh (478,3) px once its crop has settled, as when a head is followed."""
    found = mesh
    for _ in range(2):
        crop = crop_of_mesh(found)
        found = crop.mesh_in_frame(reader.read(crop.cut(image)).mesh)
    return found
