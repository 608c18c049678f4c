"""Learning to compare persons: cut-out faces, views, a short run, the fit, the figures."""

from __future__ import annotations

import errno
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from edge.identity.evidence import EvidenceSettings
from edge.identity.likeness import Fitted, Look, Weights
from hmd_capture.headset_render import ProceduralHeadset
from models.export import export_face_print
from models.identity.face_chip import BARE, LOWER, network_input
from models.identity.network import BLOCKS, FacePrintNet
from models.identity.reader import FacePrintReader
from training.helper_weights import HelperWeightsError
from training.identity.faces import PersonFaces, Source, cut_faces, held_back, portrait_sources
from training.identity.fitting import choose_settings, fit_weights, flagged_share
from training.identity.looks import Trial, outcome
from training.identity.report import area, flagged_at, plot, scores
from training.identity.teacher import NAMES, teacher_embeddings, teacher_weights
from training.identity.trainer import IdentitySettings, IdentityTrainer, likenesses
from training.identity.views import view
from training.run.checkpoint import CheckpointError
from training.scenes.bare_faces import BareFace, is_held_back

DECISION = EvidenceSettings(6, 2, -6, 3, -10, 10)


@pytest.fixture(scope="module")
def teacher() -> dict[str, torch.Tensor]:
    """Random weights in the port's shapes."""
    made = torch.Generator().manual_seed(0)
    widths = {spec.name: (spec.channels_in, spec.channels_out) for spec in BLOCKS}
    found: dict[str, torch.Tensor] = {"fc": torch.randn(256, 128, generator=made)}

    def layer(name: str, channels_in: int, channels_out: int, size: int) -> None:
        filters = torch.randn(channels_out, channels_in, size, size, generator=made)
        found[f"{name}.conv.filters"] = filters / (channels_in * size * size) ** 0.5
        found[f"{name}.conv.bias"] = torch.zeros(channels_out)
        found[f"{name}.scale.weights"] = torch.full((channels_out,), 0.7)
        found[f"{name}.scale.biases"] = torch.zeros(channels_out)

    layer("conv32_down", 3, 32, 7)
    for name in NAMES:
        channels_in, channels_out = widths.get(name, (256, 256))
        layer(f"{name}.conv1", channels_in, channels_out, 3)
        layer(f"{name}.conv2", channels_out, channels_out, 3)
    return found


@pytest.fixture(scope="module")
def faces(face_in_spans, teacher) -> PersonFaces:  # type: ignore[no-untyped-def]
    """Six painted persons, three pictures each."""
    sources = []
    for person in range(6):
        coarse = np.random.default_rng(person).integers(0, 255, (20, 20, 3), np.uint8)
        image = np.asarray(cv2.resize(coarse, (256, 256)), np.uint8)
        for shift in range(3):
            mesh = (face_in_spans * 75 + [126 + shift, 110, 0]).astype(np.float32)
            sources.append(Source(BareFace(image, mesh), f"p{person}", f"clip{person}"))
    return cut_faces(iter(sources), [ProceduralHeadset(None, s) for s in range(2)], teacher, 0)


def test_a_covered_view_shows_less_than_a_bare_one(faces: PersonFaces) -> None:
    random = np.random.default_rng(0)
    for index in range(len(faces)):
        bare, lower = (view(faces, index, window, random) for window in (BARE, LOWER))
        shown = [int(chip.visible.sum()) for chip in (bare, lower)]
        assert 0 < shown[1] < 0.7 * shown[0]
        assert not lower.image[lower.visible == 0].any()


def test_persons_held_back_are_the_same_everywhere(faces: PersonFaces) -> None:
    apart = held_back(faces)
    assert [is_held_back(person) for person in faces.persons] == apart.tolist()
    assert len(faces.chosen(apart)) == apart.sum()


def test_kept_faces_come_back_and_are_for_the_owner_only(
    faces: PersonFaces, tmp_path: Path
) -> None:
    path = tmp_path / "run" / "faces.npz"
    faces.save(path)
    assert path.stat().st_mode & 0o077 == 0
    again = PersonFaces.load(path)
    assert all(np.array_equal(value, vars(again)[name]) for name, value in vars(faces).items())


def test_the_network_begins_with_the_teachers_own_features(
    teacher: dict[str, torch.Tensor],
) -> None:
    """Of a chip that shows everything it computes what the teacher's first blocks compute."""
    network = FacePrintNet()
    network.start_from(teacher)
    shallow = dict(teacher)
    for name in NAMES[len(BLOCKS) :]:  # the rest passes on what it gets, where nothing narrows
        for layer in ("conv1", "conv2"):
            shallow[f"{name}.{layer}.scale.weights"] = torch.zeros(256)
    chip = torch.rand(1, 4, 150, 150, generator=torch.Generator().manual_seed(1))
    chip[:, 3] = 1
    shallow["fc"] = torch.eye(256)
    features = network.pooled(chip)
    said = teacher_embeddings(shallow, chip[:, :3] * 255)
    # The teacher's last block halves the map, so means differ a little.
    likeness = torch.nn.functional.cosine_similarity(features, said)
    assert likeness.item() > 0.99


@pytest.fixture(scope="module")
def trained(faces: PersonFaces, teacher: dict[str, torch.Tensor]) -> IdentityTrainer:
    torch.manual_seed(0)
    settings = IdentitySettings(lower_batch=6, bare_batch=4, bfloat16=False)
    trainer = IdentityTrainer(faces, settings, torch.device("cpu"), seed=0)
    trainer.start_from(teacher)
    trainer.fit_heads(rounds=1)
    return trainer


def test_training_lowers_the_loss_and_leaves_the_first_blocks_alone(
    trained: IdentityTrainer,
) -> None:
    before = {name: value.clone() for name, value in trained.network.state_dict().items()}
    losses = []
    for _ in range(5):
        trained._random = np.random.default_rng(4)  # the same batch again
        losses.append(sum(trained.step(0.3).values()))
    assert losses[-1] < 0.9 * losses[0]
    changed = {
        name for name, value in trained.network.state_dict().items()
        if not torch.equal(value, before[name])
    }  # fmt: skip
    assert any(name.startswith("blocks.8") for name in changed)
    assert not any(name.startswith(("stem", "blocks.0.", "blocks.6.")) for name in changed)


def test_a_run_goes_on_where_it_stopped(trained: IdentityTrainer, faces: PersonFaces) -> None:
    other = IdentityTrainer(faces, trained.settings, torch.device("cpu"), seed=3)
    other.load_state_dict(trained.state_dict())
    assert other.finished_steps == trained.finished_steps
    one, two = (t.network.state_dict() for t in (trained, other))
    assert all(torch.equal(one[name], two[name]) for name in one)
    # And the same batch for both: a resumed run saw its first ones again.
    assert trained.step(0.4) == pytest.approx(other.step(0.4), rel=1e-5)


def test_the_exported_network_with_8_bit_filters_says_the_same(
    trained: IdentityTrainer, faces: PersonFaces, tmp_path: Path
) -> None:
    path = tmp_path / "face_print.onnx"
    network = trained.average
    export_face_print(network, path, {"trained_steps": 1})
    assert path.stat().st_size < 0.3 * 4 * sum(p.numel() for p in network.parameters())
    reader = FacePrintReader(path)
    for window in (BARE, LOWER):
        chip = view(faces, 0, window, np.random.default_rng(0))
        with torch.no_grad():
            wanted = network.embedding(torch.from_numpy(network_input(chip)), window.name)[0]
        assert float(reader.read(chip, window) @ wanted.numpy()) > 0.995


def test_a_missing_teacher_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HelperWeightsError, match="--helper-weights"):
        teacher_weights(tmp_path)


def test_likenesses_compare_a_persons_first_half_with_the_rest(faces: PersonFaces) -> None:
    persons = np.unique(faces.persons, return_inverse=True)[1]
    own, other = likenesses(np.eye(128)[persons], faces)
    assert (own == 1).all()
    assert (other == 0).all()


def looks(mean: float, spread: float, count: int, seed: int) -> tuple[Look, ...]:
    random = np.random.default_rng(seed)
    return tuple(
        Look("lower", float(p), float(d))
        for p, d in zip(random.normal(mean, spread, count), random.normal(0.05, 0.01, count),
                        strict=True)
    )  # fmt: skip


def trial(own: bool, seed: int, mean: float | None = None) -> Trial:
    chosen = mean if mean is not None else (0.8 if own else 0.2)
    who = "a" if own else "b"
    return Trial("a", "s1", who, "s2", "lower", 0.12, looks(chosen, 0.1, 30, seed))


def test_the_fit_gives_likelihood_ratios() -> None:
    """Gaussians of equal spread: the logarithm of the ratio is known."""
    random = np.random.default_rng(0)
    own = np.column_stack([random.normal(0.7, 0.2, 4000), random.normal(0.05, 0.01, 4000)])
    other = np.column_stack([random.normal(0.3, 0.2, 4000), random.normal(0.05, 0.01, 4000)])
    found = fit_weights(own, other)
    assert found.product == pytest.approx((0.7 - 0.3) / 0.2**2, rel=0.15)
    assert found.product * 0.5 - found.distance * 0.05 + found.constant == pytest.approx(0, abs=0.4)
    assert found.distance >= 0


def test_the_chosen_decision_flags_others_and_refuses_no_owner() -> None:
    weights = {name: Weights(10.0, 0.0, -5.0) for name in ("bare", "lower")}
    tried = [trial(True, s) for s in range(10)] + [trial(False, s) for s in range(10)]
    tried += [
        Trial(t.profile_of, t.profile_segment, t.person, t.segment, "bare", t.step_s,
              tuple(Look("bare", k.product, k.distance) for k in t.looks if k is not None))
        for t in tried
    ]  # fmt: skip
    deaf = EvidenceSettings(6, 2, -1000, 3, -10, 10)
    hasty = EvidenceSettings(6, 2, -0.001, 0.001, -10, 10)
    tried.append(trial(True, 99, mean=0.49))
    chosen = choose_settings(tried, weights, 0.005, [deaf, hasty, DECISION])
    assert chosen == DECISION
    assert flagged_share(tried, weights, chosen, own=False) == 1.0
    with pytest.raises(ValueError, match="owners"):
        choose_settings(tried, weights, 0.005, [hasty])


def test_a_trial_is_played_as_the_product_would() -> None:
    weights = {"lower": Weights(10.0, 0.0, -5.0)}
    other, own = (
        outcome(trial(False, 1), weights, DECISION),
        outcome(trial(True, 1), weights, DECISION),
    )
    assert other.flagged_s is not None
    assert 0.5 < other.flagged_s < 3
    assert other.least_sum < DECISION.wrong < own.least_sum
    assert own.flagged_s is None
    nothing = Trial("a", "s1", "b", "s2", "lower", 0.12, (None,) * 9)
    assert outcome(nothing, weights, DECISION).flagged_s is None


def test_figures_and_plot_of_trials(tmp_path: Path) -> None:
    assert area(np.array([1.0, 2.0]), np.array([0.0, 1.5])) == 0.75
    assert flagged_at(np.arange(100.0), np.array([-1.0, 0.5, 50.0]), 0.01) == pytest.approx(2 / 3)
    counted = Fitted("x", {"lower": Weights(10.0, 0.0, -5.0)}, DECISION)
    tried = [trial(True, s) for s in range(4)] + [trial(False, s) for s in range(4)]
    found = scores(tried, counted)
    assert found["decision"]["own_refused"] == 0
    assert found["decision"]["others_flagged"] == 1
    assert found["look"]["area_under_roc"] > 0.99
    plot(
        {"decision": (np.array([0, 0.5, 1.0]), np.array([0, 0.9, 1.0]))}, tmp_path / "roc.png", "t"
    )
    assert cv2.imread(str(tmp_path / "roc.png")) is not None


def test_kept_faces_are_for_their_owner_and_never_half_there(
    faces: PersonFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was there stayed readable for all, and a full disk left half of one."""
    path = tmp_path / "faces.npz"
    path.write_bytes(b"half of a file")
    path.chmod(0o644)
    with pytest.raises(CheckpointError, match="damaged; delete it"):
        PersonFaces.load(path)
    faces.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    kept = path.read_bytes()

    def full(file: object, **arrays: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(CheckpointError, match="No space left"):
        faces.save(path)
    assert path.read_bytes() == kept
    assert [each.name for each in tmp_path.iterdir()] == ["faces.npz"]


def test_a_portrait_that_is_missing_gives_nobody_anothers_face(tmp_path: Path) -> None:
    """Every face after it was taken for the next person's."""
    rows, shares = ["name,identity,file"], np.full((6, 478, 3), 0.5, np.float32)
    for number in range(6):
        rows.append(f"n{number},p{number},n{number}.png")
        if number != 2:
            cv2.imwrite(str(tmp_path / f"n{number}.png"), np.full((8, 8, 3), number, np.uint8))
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    np.savez(tmp_path / "landmarks.npz", names=[f"n{n}" for n in range(6)], lm=shares)
    found = {each.person: int(each.face.image[0, 0, 0]) for each in portrait_sources(tmp_path)}
    assert found == {f"p{number}": number for number in range(6) if number != 2}
