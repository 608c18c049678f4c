from __future__ import annotations

from pathlib import Path

import pytest

from edge.settings import SessionSettings, from_json, load_toml, override, to_json
from streaming.errors import UserError


def test_settings_survive_the_trip_to_a_child_process() -> None:
    settings = override(SessionSettings(), {"edge.camera.source": "a.mp4", "models.size_px": 64})
    assert from_json(to_json(settings)) == settings
    assert settings.edge.camera.source == "a.mp4"


def test_a_toml_file_sets_only_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "unvisor.toml"
    path.write_text('[edge]\nlandmarks = "mediapipe"\n[edge.camera]\nseconds = 3\n')
    settings = load_toml(path)
    assert settings.edge.landmarks == "mediapipe"
    assert settings.edge.camera.seconds == 3.0
    assert settings.models == SessionSettings().models


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[edge]\nlandmark = 'oracle'\n", "landmark"),
        ("[edge]\nlandmarks = 'guess'\n", "guess"),
        ("[models]\nsize_px = 'big'\n", "size_px"),
        ("[models]\nsize_px = true\n", "size_px"),
        ("[edge]\ncamera = 3\n", "section"),
        ("[edge\n", "TOML"),
    ],
)
def test_a_wrong_config_file_is_one_clear_sentence(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "unvisor.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=named):
        load_toml(path)


def test_a_missing_config_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml"):
        load_toml(tmp_path / "nowhere.toml")


def test_overrides_ignore_none_and_refuse_unknown_keys() -> None:
    assert override(SessionSettings(), {"edge.profile": None}) == SessionSettings()
    with pytest.raises(UserError, match=r"edge\.speed"):
        override(SessionSettings(), {"edge.speed": 1})
