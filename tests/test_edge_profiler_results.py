"""From what was recorded to figures: core time, parts of the age, budgets, comparison, layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from profiled_session import MS, session
from rich.console import Console

from edge.profiler.budget import (
    choose_budget,
    judge,
    load_budgets,
    value_at,
    verdict_tree,
)
from edge.profiler.comparison import Change, compare, differences, failures, read_share
from edge.profiler.core_time import core_ms, cores, thread_cores
from edge.profiler.layers import layer_times, summarise
from edge.profiler.overhead import overhead
from edge.profiler.recorder import Recording
from edge.profiler.result import age_parts_ms, result_tree, stage_means_ms
from edge.profiler.stage_order import OTHER_COLOUR, by_thread, colour_of, sorted_stages
from edge.profiler.subject import Wanted, chosen_session
from models.shipped import SHIPPED_NETWORK
from streaming.errors import UserError


@pytest.mark.parametrize("dropped_each", [0, 3])
def test_core_time_goes_to_whom_it_belongs(dropped_each: int) -> None:
    found = core_ms(*session(dropped_each=dropped_each))
    # 25 of the 50 frames are between the two samples at which frames arrived.
    assert found == pytest.approx(
        {
            "network": 15 + 4,
            "tracker": 6 + 1,
            "rest": 5 + 2 + 7 + 2,  # fill without network, publish, elsewhere, decode
            "simulation": 3,
            "client": 4,
            "eyes": 10,
        },
        rel=0.01,
    )


def test_profiling_tells_what_it_costs_itself() -> None:
    recording, spans = session()
    found = overhead(spans, core_ms(recording, spans), us_per_span=4.0)
    assert found["spans_per_frame"] == 6  # decode, simulate, track, network, fill, publish
    assert found["share"] == pytest.approx(6 * 4e-3 / (19 + 7 + 16 + 10), rel=0.02)
    assert overhead({}, {}, 4.0) == {}
    tree = result_tree({"stages_ms": {}}, recording, spans)
    assert 0 < tree["profiling"]["us_per_span"] < 500
    assert tree["profiling"]["share"] > 0


def test_cores_are_means_over_the_time_in_which_frames_arrived() -> None:
    recording, spans = session()
    assert [sample.time_ns for sample in recording.steady] == [1500 * MS, 2000 * MS, 2500 * MS]
    found = cores(recording)
    assert found["hmd_capture"] == pytest.approx(0.3)
    assert found["others"] == pytest.approx(0.5)
    assert found["edge"] == pytest.approx(25 * 45e-3)
    threads = thread_cores(recording, spans.values())
    assert threads["edge/network pool"] == pytest.approx(0.1)
    assert threads["edge/pipeline"] == pytest.approx(0.7)
    assert set(threads) == {
        *(f"edge/{name}" for name in ("pipeline", "camera", "network pool", "tracker pool")),
        "hmd_capture/pipeline",
    }


def test_nothing_recorded_gives_no_figures() -> None:
    assert core_ms(Recording(), {}) == {}
    assert cores(Recording()) == {}
    assert age_parts_ms([], None) == {}


def test_the_parts_of_the_age_add_up_to_it() -> None:
    recording, spans = session()
    parts = age_parts_ms(recording.arrivals, spans["edge"])
    means = {name: part["mean"] for name, part in parts.items()}
    assert means == pytest.approx({"wait": 5, "pipeline": 26, "encode": 1.5, "transport": 0.5})


def test_a_stage_inside_another_one_is_shown_beside_it() -> None:
    _, spans = session()
    rows = dict(by_thread(spans))
    assert rows["camera"] == pytest.approx({"decode": 2, "simulate": 3})
    assert rows["pipeline"] == pytest.approx(
        {"track": 6, "fill (rest)": 5, "network": 15, "publish": 2}
    )
    assert stage_means_ms(spans["edge"])["fill"] == pytest.approx(20)


def test_every_stage_of_a_session_has_its_place_and_colour() -> None:
    """Two of them stood last and in one grey, as if nobody knew them."""
    ahead = ["track", "fuse", "prepare", "identity"]
    then = ["fill", "composite", "publish", "show", "light"]
    assert sorted_stages(reversed(ahead + then)) == ahead + then
    assert OTHER_COLOUR not in map(colour_of, ahead + then)


def test_the_shipped_budgets_can_be_read_and_say_where_their_figures_are_from() -> None:
    budgets = load_budgets()
    assert {"cpu-2-cores", "orin-nano", "orin-nx", "orin-agx", "desktop"} <= set(budgets)
    limits = {line.key: line.most for line in budgets["cpu-2-cores"].lines}
    assert [limits[f"core_ms.{part}"] for part in ("network", "tracker", "eyes", "rest")] == [
        24,
        14,
        8,
        15,
    ]


@pytest.mark.parametrize(
    ("kind", "cores_", "name"),
    [
        ("cpu", 2, "cpu-2-cores"),
        ("cpu", 16, "cpu-2-cores"),
        ("cpu", 1, None),
        ("orin-nx", 8, "orin-nx"),
        ("gpu", 8, "desktop"),
        ("abacus", 8, None),
    ],
)
def test_the_budget_is_the_machines_own(kind: str, cores_: int, name: str | None) -> None:
    chosen = choose_budget(load_budgets(), {"kind": kind, "cores": cores_})
    assert (chosen and chosen.name) == name


def own_budget(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "budgets.toml"
    path.write_text(text)
    return path


def test_each_line_passes_fails_or_was_not_measured(tmp_path: Path) -> None:
    path = own_budget(
        tmp_path,
        '[mine]\nkind = "cpu"\nlines = [{ key = "age_ms.p99", most = 50 },'
        '{ key = "fps", least = 30.0, origin = "measured" }, { key = "power.w", most = 5 }]',
    )
    budget = load_budgets(path)["mine"]
    verdicts = judge(budget, {"age_ms": {"p99": 50.0}, "fps": 29.9})
    assert [(v.is_held, v.limit) for v in verdicts] == [
        (True, "≤ 50"),
        (False, "≥ 30"),
        (None, "≤ 5"),
    ]
    assert verdict_tree(budget, verdicts)["is_held"] is False
    assert verdict_tree(budget, verdicts[:1])["is_held"] is True
    assert verdict_tree(budget, [verdicts[0], verdicts[2]])["is_held"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mine]\nlimit = 3", "no budget"),
        ('[mine]\nkind = "cpu"\nlines = [{ key = "fps" }]', "no single limit"),
        ('[mine]\nkind = "cpu"\nlines = [{ key = "fps", most = 1, least = 2 }]', "no single limit"),
        ('[mine]\nkind = "cpu"\nlines = [{ key = "fps", max = 1 }]', "cannot be understood"),
        (
            '[mine]\nkind = "cpu"\nlines = [{ key = "fps", most = 1, origin = "hope" }]',
            "no single limit",
        ),
        ("mine = [", "not valid TOML"),
    ],
)
def test_a_budget_that_cannot_be_understood_is_told(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_budgets(own_budget(tmp_path, text))


def test_numbers_are_found_by_dotted_keys() -> None:
    tree = {"stages_ms": {"read eye": {"p50": 1.5}}, "ok": True, "fps": 3}
    assert value_at(tree, "stages_ms.read eye.p50") == 1.5
    assert value_at(tree, "fps") == 3.0
    assert value_at(tree, "ok") is None
    assert value_at(tree, "stages_ms.track.p50") is None


def result(**changes: Any) -> dict[str, Any]:
    tree = {
        "fps": 25.0,
        "capacity_fps": 30.0,
        "age_ms": {"p50": 40.0, "p99": 60.0},
        "stages_ms": {
            "track": {"p50": 10.0, "p99": 14.0},
            "fuse": {"p50": 0.2, "p99": 0.3},
        },
        "core_ms": {"network": 24.0},
        "device": "a",
    }
    return tree | changes


def test_what_became_slower_is_marked_and_what_is_too_small_is_not() -> None:
    slower = {"track": {"p50": 11.5, "p99": 30.0}, "fuse": {"p50": 0.4, "p99": 0.4}}
    changes = compare(result(), result(stages_ms=slower, capacity_fps=20.0, device="b"))
    verdicts = {change.key: change.verdict for change in changes}
    assert verdicts["stages_ms.track.p50"] == "slower"
    assert verdicts["stages_ms.fuse.p50"] == ""  # twice as slow, by a fifth of a millisecond
    assert verdicts["capacity_fps"] == "slower"
    assert verdicts["age_ms.p50"] == ""
    # A tail alone is no failure.
    assert [c.key for c in failures(changes, 0.10)] == ["capacity_fps", "stages_ms.track.p50"]
    assert [c.key for c in failures(changes, 0.20)] == ["capacity_fps"]
    assert differences(result(), result(device="b")) == ["device: a / b"]


def test_a_rate_counts_the_other_way_round() -> None:
    assert Change("capacity_fps", 20.0, 30.0).slowdown == pytest.approx(2 / 3)
    assert Change("age_ms.p50", 20.0, 30.0).slowdown == pytest.approx(1.5)
    assert Change("core_ms.eyes", 0.0, 3.0).slowdown == 1.0


def test_shares_are_percent_or_fractions() -> None:
    assert read_share("10%") == pytest.approx(0.1)
    assert read_share("0.25") == 0.25
    for wrong in ("ten", "-5%", "nan%"):
        with pytest.raises(UserError, match="no share"):
            read_share(wrong)


def test_every_layer_of_the_shipped_network_is_timed() -> None:
    layers = layer_times(SHIPPED_NETWORK, threads=1, runs=2)
    assert {"Conv"} <= {layer.kind for layer in layers}
    assert sum(layer.share for layer in layers) == pytest.approx(1.0, abs=0.01)
    assert layers == sorted(layers, key=lambda layer: -layer.mean_ms)
    assert layers[0].mean_ms > 0


def test_the_first_runs_of_a_layer_do_not_count() -> None:
    durations = [9000] * 5 + [1000, 3000]
    events = [
        {"cat": "Node", "name": "a_kernel_time", "dur": us, "args": {"op_name": "Conv"}}
        for us in durations
    ]
    events.append({"cat": "Session", "name": "model_run", "dur": 99})
    (layer,) = summarise(events)
    assert (layer.name, layer.kind, layer.mean_ms, layer.share) == ("a", "Conv", 2.0, 1.0)
    assert np.isfinite(layer.share)
    json.dumps(vars(layer))


def test_measuring_leaves_the_report_of_the_last_real_session_alone(tmp_path: Path) -> None:
    """`unvisor profile --config` wrote its own runs over it, last the one without pace."""
    config = tmp_path / "unvisor.toml"
    config.write_text('[edge]\nprofile = "anna"\nreport = "session.json"\n')
    with chosen_session(Wanted(config=config), Console(quiet=True)) as settings:
        assert settings.edge.report == ""
