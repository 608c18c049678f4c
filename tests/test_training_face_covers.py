"""CoverNet's training: covers hide what their labels say, and a step learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.covers.contract import REGIONS, SIZE_PX, cover_net_contract
from models.covers.network import CoverNet
from models.covers.reader import SHIPPED_COVER_NET, CoverReader
from models.export import export_cover_net
from models.shipped import SHIPPED_NETWORK
from streaming.errors import UserError
from training.face_covers import train
from training.face_covers.continuation import continued
from training.face_covers.covers import COVERS, Cover, dark_glasses, face_mask
from training.face_covers.samples import covered_shares, prepared, sample
from training.face_covers.shadows import brim_shadow
from training.face_covers.train import draw, validate
from training.scenes.bare_faces import BareFace
from training.trainer import TrainingDiverged


@pytest.fixture
def face(textured_image: NDArray[np.uint8], canonical_mesh: NDArray[np.float32]) -> BareFace:
    return prepared(BareFace(textured_image, canonical_mesh))


@pytest.mark.parametrize("cover", COVERS, ids=lambda cover: cover.__name__)
def test_a_cover_changes_what_it_says_it_hides_and_little_else(
    cover: Cover, face: BareFace
) -> None:
    random = np.random.default_rng(4)
    for _ in range(5):
        image, hidden = cover(face, random)
        change = np.abs(image.astype(int) - face.image).sum(axis=2)
        assert image.shape == face.image.shape
        if (hidden > 127).sum() > 30:
            assert change[hidden > 127].mean() > 4 * change[hidden == 0].mean()


@pytest.mark.parametrize(
    ("cover", "regions"),
    [(dark_glasses, {"right eye", "left eye"}), (face_mask, {"mouth", "chin"})],
)
def test_labels_name_the_parts_that_are_hidden(
    cover: Cover, regions: set[str], face: BareFace
) -> None:
    _, hidden = cover(face, np.random.default_rng(1))
    shares = dict(zip(REGIONS, covered_shares(hidden, face.mesh), strict=True))
    assert {name for name, share in shares.items() if share > 0.9} >= regions
    assert shares["forehead"] < 0.1


def test_samples_are_of_the_contracts_shape_and_range(face: BareFace) -> None:
    random = np.random.default_rng(0)
    drawn = [sample(face, random) for _ in range(40)]
    assert {each.crop.shape for each in drawn} == {cover_net_contract().inputs[0].shape[1:]}
    assert all(each.crop.min() >= 0 and each.crop.max() <= 1 for each in drawn)
    assert 0.2 < np.mean([each.covered.any() for each in drawn]) < 0.9


def test_an_exported_network_says_what_the_trained_one_says(face: BareFace, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CoverNet().eval()
    export_cover_net(network, tmp_path / "cover.onnx", {})
    reader = CoverReader(tmp_path / "cover.onnx")
    batch = draw([face], 1, np.random.default_rng(0))
    (said,) = reader._session.run(None, {"crop": batch.crops.numpy()})
    with torch.no_grad():
        assert said == pytest.approx(torch.sigmoid(network(batch.crops)).numpy(), abs=1e-5)
    assert set(reader.covered(face.image, face.mesh)) == set(REGIONS)
    assert face.image.shape[0] > SIZE_PX


def test_an_untrained_network_finds_about_as_much_as_chance(
    face: BareFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "VALIDATION_SAMPLES", 256)
    torch.manual_seed(0)
    assert validate(CoverNet(), [face])["mean"] < 0.3


def test_training_goes_on_where_an_exported_network_stopped(face: BareFace) -> None:
    reader = CoverReader()
    crops = draw([face], 8, np.random.default_rng(3)).crops
    network = continued(SHIPPED_COVER_NET, crops)
    (said,) = reader._session.run(None, {"crop": crops[:1].numpy()})
    with torch.no_grad():
        assert torch.sigmoid(network(crops[:1])).numpy() == pytest.approx(said, abs=1e-4)
        # So does training's normalisation, by the statistics of these very crops.
        network.head[1].p = 0.0
        taught = torch.sigmoid(network.train()(crops))[:1].numpy()
    assert taught == pytest.approx(said, abs=1e-3)


def test_gradients_that_are_not_numbers_end_the_training_at_its_last_step(face: BareFace) -> None:
    """No loss came after them that would have told: a network of no numbers was exported."""
    network = CoverNet()
    next(network.parameters()).register_hook(lambda slope: slope * float("inf"))
    batches = iter([draw([face], 2, np.random.default_rng(0))])
    with pytest.raises(TrainingDiverged, match=r"gradients are not finite after 0 steps"):
        train._fit(network, batches, 1e-3, minutes=1e-9)


def test_a_file_that_is_no_cover_net_is_refused(tmp_path: Path, face: BareFace) -> None:
    with pytest.raises(UserError, match="no CoverNet to go on with"):
        continued(SHIPPED_NETWORK, draw([face], 2, np.random.default_rng(0)).crops)
    with pytest.raises(UserError, match="no CoverNet to go on with"):
        continued(tmp_path / "missing.onnx", draw([face], 2, np.random.default_rng(0)).crops)


def test_a_shadow_darkens_the_eyes_and_leaves_the_chin(face: BareFace) -> None:
    shaded = brim_shadow(face.image, face.mesh, np.random.default_rng(2)).astype(float)
    change = shaded.mean(axis=2) / np.maximum(face.image.astype(float).mean(axis=2), 1)
    brow, chin = (np.round(face.mesh[point, :2]).astype(int) for point in (10, 152))
    assert change[brow[1], brow[0]] < 0.9
    assert change[chin[1] - 2, chin[0]] == pytest.approx(1, abs=0.05)
