from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from board_views import GOOD_VIEWS, KnownLens, board_picture
from saved_profiles import OLD, small_profile

from calibration.camera.board import (
    CELLS,
    TOP_MM,
    BoardDetector,
    board_pattern,
    board_sheet,
    dark_boxes,
)
from calibration.camera.coverage import MIN_VIEWS, Coverage
from calibration.camera.measure import collect, measured_lens
from calibration.camera.pictures import pictures_of_webcam
from edge.__main__ import main
from edge.lens.lens import CalibratedLens
from edge.lens.store import lens_for, lens_path, load_lens
from edge.marker.pose import nominal_lens, square_poses
from edge.marker.sheet import POINTS_PER_MM, as_pdf, as_png
from edge.profile import load_profile, save_profile
from edge.settings import CameraSettings
from edge.webcam import Webcam
from streaming.errors import UserError
from streaming.records import ImageU8

WEBCAM = KnownLens((380, 380), (204, 147), size=(400, 300))
WIDE = KnownLens((330, 332), (197, 154), -0.28, 0.09, 0.001, -0.0008, (400, 300))
EYE = KnownLens((170, 170), (118, 121), -0.3, 0.1, size=(240, 240))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@functools.cache
def good_pictures(lens: KnownLens) -> tuple[ImageU8, ...]:
    """The views of somebody who follows the advice, as far away as fills the picture alike."""
    nearer = lens.focal[0] / lens.size[1] / 1.28
    return tuple(
        board_picture(lens, tilt, (x, y, z * nearer), seed=index)
        for index, (tilt, (x, y, z)) in enumerate(GOOD_VIEWS)
    )


def watched(pictures: object, *, is_moving: bool = False) -> Coverage:
    return collect(pictures, lambda *_: None, is_moving=is_moving, until_complete=False)  # type: ignore[arg-type]


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate-camera", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("known", [WEBCAM, WIDE, EYE], ids=["webcam", "wide", "eye"])
def test_the_lens_comes_back_within_one_percent(known: KnownLens) -> None:
    lens = measured_lens(watched(good_pictures(known)), "webcam:0")
    assert lens.focal_px == pytest.approx(np.mean(known.focal), rel=0.01)
    assert lens.size_px == known.size
    assert lens.rms_px < 0.3
    sides = np.array(known.size)
    places = np.array([(x, y) for x in (0.1, 0.5, 0.9) for y in (0.1, 0.5, 0.9)]) * sides
    off = np.linalg.norm(lens.pixels(known.rays(places)) - places, axis=1)
    assert off.max() < 0.01 * sides.max()  # distortion included, out to the borders


def test_corners_are_found_without_a_shift() -> None:
    """OpenCV's own detector is half a pixel off."""
    view = BoardDetector().find(board_picture(WEBCAM, noise=0))
    assert view is not None
    points = view.places - [3, 4, 0] + [0, 0, 12]
    true = WEBCAM.pixels(points[:, :2] / points[:, 2:])
    assert len(true) == 35
    assert np.abs((view.points - true).mean(axis=0)).max() < 0.05


@pytest.mark.parametrize("square_mm", [6.0, 28.0])
def test_the_printed_board_is_found_whole_and_at_its_true_size(square_mm: float) -> None:
    sheet = board_sheet(square_mm)
    page = cv2.imdecode(np.frombuffer(as_png(sheet), np.uint8), cv2.IMREAD_GRAYSCALE)
    per_mm = page.shape[1] / 210.0
    small = cv2.resize(page, None, fx=6 / per_mm * 6 / square_mm, fy=6 / per_mm * 6 / square_mm)
    view = BoardDetector().find(np.asarray(small, np.uint8))
    assert view is not None
    assert len(view.points) == 35
    numbers = re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re f", as_pdf(sheet))
    boxes = np.array(numbers).astype(float) / POINTS_PER_MM
    squares = boxes[np.isclose(boxes[:, 2:], square_mm, atol=1e-3).all(axis=1)]
    assert len(squares) == 24
    assert np.unique(squares[:, 0].round(2)) == pytest.approx(
        105 - 3 * square_mm + np.arange(6) * square_mm, abs=0.02
    )
    assert max(box[3] for box in sheet.boxes) < 279 - 3  # on A4 and on US Letter
    assert min(box[1] for box in sheet.boxes) == TOP_MM


def test_few_boxes_draw_the_same_board() -> None:
    drawn = np.full_like(board_pattern(), 255)
    boxes = dark_boxes(board_pattern())
    for left, top, right, low in boxes:
        drawn[int(top) : int(low), int(left) : int(right)] = 0
    assert (drawn == board_pattern()).all()
    assert len(boxes) < (board_pattern() == 0).sum() / 5
    assert CELLS == 8


def flat(picture_count: int) -> list[ImageU8]:
    places = [(x, y) for y in (-1.6, 0, 1.6) for x in (-3.5, -1, 1, 3.5)]
    return [
        board_picture(WEBCAM, (0, 0), (*places[i % 12], 13 + 0.2 * i), seed=i)
        for i in range(picture_count)
    ]


@pytest.mark.parametrize(
    ("pictures", "told"),
    [
        (lambda: [], "0 usable pictures"),
        (lambda: [np.full((300, 400), 128, np.uint8)] * 12, "0 usable pictures"),
        (lambda: good_pictures(WEBCAM)[:6], "6 usable pictures"),
        (lambda: good_pictures(WEBCAM)[:4] * 4, "much alike.*of the camera's picture"),
        (lambda: flat(12), "much alike.*Tilt the board"),
        (
            lambda: [board_picture(WEBCAM, a, p, bow=0.35, seed=3) for a, p in GOOD_VIEWS],
            "flat and still",
        ),
    ],
    ids=["none", "empty", "few", "one place", "untilted", "bent board"],
)
def test_bad_sets_are_refused_with_advice(pictures: object, told: str) -> None:
    with pytest.raises(UserError, match=told):
        measured_lens(watched(pictures()), "webcam:0")  # type: ignore[operator]


def test_a_view_that_does_not_fit_the_others_is_left_out() -> None:
    coverage = watched(good_pictures(WEBCAM))
    coverage.views[3].points[::2] += 3.0
    lens = measured_lens(coverage, "webcam:0")
    assert lens.views == len(coverage.views) - 1
    assert lens.focal_px == pytest.approx(380, rel=0.01)


def test_the_advice_follows_what_was_shown() -> None:
    detector, coverage = BoardDetector(), Coverage()

    def show(tilt: tuple[float, float], place: tuple[float, float, float]) -> list[str]:
        view = detector.find(board_picture(WEBCAM, tilt, place))
        assert view is not None
        coverage.add(view)
        return coverage.missing()

    wanted = show((0, 0), (-3, -1.3, 18))
    assert "lower right" in wanted[0]
    assert any("right edge" in text for text in wanted)
    wanted = show((25, 0), (3, 1.3, 16))
    assert not any("right edge" in text for text in wanted)
    assert any("left edge" in text for text in wanted)
    assert any("upper edge" in text for text in wanted)
    wanted = show((0, -25), (0, 0, 13))
    assert not any("upper edge" in text for text in wanted)
    assert any("lower edge" in text for text in wanted)


def test_a_view_like_another_one_is_not_counted_twice() -> None:
    coverage = watched([good_pictures(WEBCAM)[0]] * 4, is_moving=True)
    assert len(coverage.views) == 1


def test_in_a_film_the_board_must_rest() -> None:
    moving = [board_picture(WEBCAM, (0, 0), (0.25 * i, 0, 13)) for i in range(-3, 4)]
    assert not watched(moving, is_moving=True).views
    assert watched([moving[3], moving[3]], is_moving=True).views


def write_pictures(folder: Path, pictures: tuple[ImageU8, ...]) -> None:
    folder.mkdir()
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index:02d}.png"), picture)


def test_the_command_keeps_the_lens_for_the_camera_and_the_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path / "shots", good_pictures(WEBCAM))
    (tmp_path / "shots" / "notes.txt").write_text("no picture")
    save_profile(small_profile(OLD), tmp_path / "anna")
    arguments = ["--camera", "0", "--pictures", "shots", "--profile", str(tmp_path / "anna")]
    assert run_main(*arguments, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["camera"] == "webcam:0"
    lens = load_lens(lens_path("webcam:0"))
    assert lens.to_json() == told
    profile = load_profile(tmp_path / "anna")
    assert profile.camera is not None
    assert profile.camera.to_json() == told
    # The session finds it by the camera's id; the profile's counts where there is no other.
    assert lens_for(CameraSettings(), profile) is not None
    lens_path("webcam:0").unlink()
    assert lens_for(CameraSettings(), profile) is not None
    assert lens_for(CameraSettings(), small_profile(OLD)) is None
    assert lens_for(CameraSettings("webcam:1"), profile) is None
    assert lens_for(CameraSettings(lens="none"), profile) is None


def test_a_profile_that_is_not_there_is_told_before_the_board_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was told after two minutes before the camera."""
    looked: list[object] = []

    def watched(*given: object, **options: object) -> None:
        looked.append(given)
        raise UserError("The board was looked at.")

    monkeypatch.setattr("calibration.camera.command._watched", watched)
    assert run_main("--camera", "0", "--profile", "nobody") == 1
    assert "nobody" in capsys.readouterr().err
    assert not looked


def test_a_folder_that_cannot_be_made_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path / "shots", good_pictures(WEBCAM))
    (tmp_path / "file").write_text("no folder")
    assert run_main("--pictures", "shots", "--out", "file/lens.json") == 1
    assert "Cannot write file/lens.json" in capsys.readouterr().err


def test_an_eye_cameras_lens_is_kept_beside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path / "shots", good_pictures(EYE))
    assert run_main("--eye", "left", "--camera", "uvc:2", "--pictures", "shots") == 0
    assert load_lens(lens_path("eye:left:uvc:2")).size_px == (240, 240)
    assert "Focal length" in capsys.readouterr().err
    config = tmp_path / "unvisor.toml"
    config.write_text('[hmd_capture.right]\nsource = "mjpeg:http://10.0.0.5"\n')
    write = ["--eye", "right", "--config", "unvisor.toml", "--pictures", "shots"]
    assert run_main(*write) == 0
    assert load_lens(lens_path("eye:right:mjpeg:http://10.0.0.5")).views >= MIN_VIEWS


def test_a_film_of_the_board_is_enough(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "board.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = 400, 300, "yuv420p"
        for picture in good_pictures(WEBCAM):
            for _ in range(3):  # the board is moved between, which is not filmed here
                frame = av.VideoFrame.from_ndarray(picture, "gray")
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert run_main("--video", "board.mp4", "--out", "lens.json") == 0
    assert load_lens(tmp_path / "lens.json").focal_px == pytest.approx(380, rel=0.01)
    settings = CameraSettings(lens=str(tmp_path / "lens.json"))
    assert lens_for(settings, small_profile(OLD)) is not None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "No camera was named"),
        (["--camera", "0", "--pictures", "."], "no pictures"),
        (["--board", "board.doc"], ".pdf"),
        (["--board", "board.pdf", "--square-mm", "99"], "4 to 30"),
        (["--board", "/nowhere/at all/board.pdf"], "Cannot write"),
        (["--eye", "left", "--camera", "uvc:0", "--profile", "anna"], "--profile"),
        (["--eye", "left", "--camera", "nonsense"], "names no eye camera"),
        (["--camera", "0", "--video", "nowhere.mp4"], "nowhere.mp4"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(*arguments) == 1
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown


def test_the_board_is_written_and_the_next_step_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("--board", "board.pdf") == 0
    assert (tmp_path / "board.pdf").read_bytes().startswith(b"%PDF")
    assert "--camera ID" in capsys.readouterr().err
    assert run_main("--board", "eye.pdf", "--eye", "left") == 0
    assert b"Squares of 6 mm" in (tmp_path / "eye.pdf").read_bytes()


def as_measured(known: KnownLens) -> CalibratedLens:
    matrix = np.array(
        [[known.focal[0], 0, known.middle[0]], [0, known.focal[1], known.middle[1]], [0, 0, 1]]
    )
    bent = np.array([known.k1, known.k2, known.p1, known.p2, 0.0])
    return CalibratedLens("webcam:0", known.size, matrix, bent, 0.1, 14, "")


def test_a_lens_follows_the_size_of_the_picture() -> None:
    lens = as_measured(WIDE)
    places = np.array([(10.0, 10.0), (380.0, 250.0), (200.0, 20.0)])
    rays = lens.rays(places)
    assert rays == pytest.approx(WIDE.rays(places), abs=1e-6)
    assert lens.pixels(rays) == pytest.approx(places, abs=1e-4)
    twice = lens.at_shape((600, 800, 3))
    assert twice is not None
    assert twice.pixels(rays) == pytest.approx((places + 0.5) * 2 - 0.5, abs=1e-3)
    assert lens.at_shape((400, 400, 3)) is None  # cut, not scaled: what was measured does not hold


def test_a_markers_pose_is_true_with_the_measured_lens_only() -> None:
    turn = np.asarray(cv2.Rodrigues(np.array([np.pi - 0.3, 0.1, 0.0]))[0])
    corners = np.array([(-0.5, 0.5, 0), (0.5, 0.5, 0), (0.5, -0.5, 0), (-0.5, -0.5, 0)])
    place = np.array([4.0, 2.0, 12.0])
    seen = corners @ turn.T + place
    pixels = WIDE.pixels(seen[:, :2] / seen[:, 2:])
    measured = square_poses(as_measured(WIDE).rays(pixels))[0]
    assumed = square_poses(nominal_lens((300, 400, 3)).rays(pixels))[0]
    assert measured.place == pytest.approx(place, rel=1e-3)
    assert np.linalg.norm(assumed.place - place) > 1.0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 9}', "null", "[" * 9000]
)
def test_a_damaged_lens_says_how_to_make_it_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "lens.json").write_text(text)
    with pytest.raises(UserError, match="calibrate-camera"):
        load_lens(tmp_path / "lens.json")


@pytest.mark.parametrize(
    "change",
    [
        {"matrix": [[0, 0, 0]] * 3},
        {"matrix": "x"},
        {"distortion": [1]},
        {"size_px": [0, 5]},
        # These ended in a traceback, the last two in the session that scaled the lens.
        {"rms_px": 10**400},
        {"distortion": [10**400] * 5},
        {"size_px": [float("inf"), 5]},
        {"size_px": [10**400, 10**400]},
    ],
)
def test_impossible_lenses_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    tree = as_measured(WIDE).to_json() | change
    (tmp_path / "lens.json").write_text(json.dumps(tree))
    with pytest.raises(UserError, match="damaged"):
        load_lens(tmp_path / "lens.json")


class GoneAfterOne:
    """A camera that gives one picture and is unplugged."""

    def __init__(self) -> None:
        self.left = 1

    def isOpened(self) -> bool:
        return self.left > 0

    def read(self) -> tuple[bool, ImageU8]:
        self.left -= 1
        return self.left >= 0, np.zeros((4, 4, 3), np.uint8)

    def release(self) -> None:
        """Nothing to free."""


def test_a_camera_that_is_lost_is_looked_at_no_longer_than_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was waited for, without end if need be."""
    monkeypatch.setattr("edge.webcam.FIRST_PAUSE_S", 3.0)
    monkeypatch.setattr(
        "calibration.camera.pictures.Webcam",
        lambda camera_id: Webcam(camera_id, open_device=lambda address, fps: GoneAfterOne()),
    )
    assert len(list(pictures_of_webcam("0", 0.3))) == 1  # it is back when the time is over
