"""canthus-data on rendered faces and on trees in the official layouts."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from canthus.commands import checks, schemas
from canthus.data.readers import read_pts, write_pts
from canthus.utils import files
from tests.unit.data.readers.test_fddb import write as write_fddb

SMALL = ("data.size=30", "data.resolution=96")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "findings.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def inspected(run_command, tmp_path: Path):
    """Run the command; gives its status, report and findings."""

    def run(*arguments: object) -> tuple[int, dict, list[dict[str, str]]]:
        status = run_command("data", *arguments, f"output={tmp_path / 'out'}")
        report = tmp_path / "out/report.json"
        return status, json.loads(report.read_text()) if report.exists() else {}, rows(report.parent) if report else []

    return run


def test_synthetic_faces(inspected, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, report, findings = inspected(*SMALL)
    assert status == 0
    assert (report["data"], report["damage"]) == ("synthetic", 0)
    full = report["summary"]["full"]
    assert (full["faces"], full["images"], full["identities"]) == (36, 36, 36)
    assert full["yaw"]["labelled"] == 36
    assert sum(full["yaw"]["faces_by_absolute_degrees"].values()) == 36
    assert [(part["split"], part["faces"]) for part in report["summary"]["parts"]] == [
        ("train", 27), ("val", 3), ("test", 6)
    ]  # fmt: skip
    assert len(findings) == report["warnings"]
    sheet = cv2.imread(str(tmp_path / "out/faces.png"))
    assert sheet.std() > 20
    shown = capsys.readouterr().out
    assert "synthetic, scheme 68" in shown
    assert not (tmp_path / "out/poses.csv").exists()
    assert "attributes" in shown


def test_same_seed_same_sheet(inspected, tmp_path: Path) -> None:
    sheets = []
    for seed in (3, 3, 4):
        inspected("data.size=8", "data.resolution=96", "data.validation=0", "faces=4", f"seed={seed}")
        sheets.append((tmp_path / "out/faces.png").read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]


@pytest.fixture
def spoiled_300w(small_300w: Path, tmp_path: Path) -> Path:
    """The official layout in little, with a copy across splits and a mirrored label."""
    root = tmp_path / "300w"
    for source in small_300w.rglob("*.*"):
        target = root / source.relative_to(small_300w)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    (root / "ibug/image_0002_1.jpg").write_bytes((root / "afw/image_0001_1.jpg").read_bytes())
    label = root / "afw/image_0004_1.pts"
    points = read_pts(label)
    points[[36, 45]] = points[[45, 36]] - 100
    write_pts(label, points)
    return root


W300 = ("data=w300", "data.allow_partial=true", "data.validation=0.25")


def test_warnings_leave_the_status_at_0(inspected, spoiled_300w: Path, tmp_path: Path) -> None:
    status, report, findings = inspected(*W300, f"data.root={spoiled_300w}")
    assert status == 0
    assert report["damage"] == 0
    copy = next(row for row in findings if row["kind"] == "copy_across_splits")
    assert copy["file"].endswith("ibug/image_0002_1.jpg")
    assert copy["other_file"].endswith("afw/image_0001_1.jpg")
    assert (copy["severity"], copy["part"], copy["split"]) == ("warning", "ibug", "test")
    assert "tests on what was trained on" in copy["meaning"]
    outside = next(row for row in findings if row["kind"] == "points_outside")
    assert outside["file"].endswith("afw/image_0004_1.jpg")
    assert float(outside["value"]) > 20
    assert outside["unit"] == "pixels"
    for name in ("faces.png", "suspicious.png", "copies.png"):
        assert cv2.imread(str(tmp_path / "out" / name)) is not None


def test_damage_gives_status_1(inspected, spoiled_300w: Path) -> None:
    broken = spoiled_300w / "helen/testset/image_0000_1.jpg"
    broken.write_bytes(broken.read_bytes()[:2000])
    status, report, findings = inspected(*W300, f"data.root={spoiled_300w}")
    assert status == 1
    assert report["damage"] == 1
    assert report["summary"]["full"]["broken_images"] == 1
    assert findings[0]["kind"] == "broken_image"
    assert str(broken) in findings[0]["detail"]
    assert "fetch it again" in findings[0]["meaning"]


def test_limits_can_be_set(inspected, spoiled_300w: Path) -> None:
    arguments = (*W300, f"data.root={spoiled_300w}", "data.train_parts=[afw]", "data.test_parts=[]")
    _, report, _ = inspected(*arguments, "limits.tiny=1000", "limits.outside=500")
    assert report["findings"]["tiny_box"]["count"] == 8
    assert "points_outside" not in report["findings"]


def test_sets_without_points(inspected, tmp_path: Path) -> None:
    root = tmp_path / "fddb"
    write_fddb(root)
    images = sorted((root / "originalPics").rglob("*.jpg"))
    for number, file in enumerate(images):
        noise = np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(file), cv2.resize(noise, (400, 300)))
    status, report, _ = inspected(
        "data=fddb", f"data.root={root}", "data.test_parts=[fold-01]", "data.allow_partial=true"
    )
    assert status == 0
    assert report["summary"]["full"]["faces_with_points"] == 0
    assert report["summary"]["full"]["yaw"]["degrees"] is None
    assert cv2.imread(str(tmp_path / "out/faces.png")).std() > 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("data=w300", "data.root=/nowhere"), "no such folder"),
        (("data.train_parts=[]", "data.test_parts=[]"), "name parts in data.train_parts and data.test_parts"),
        (("faces=0",), "a sheet shows at least one"),
        (("limits.tinny=3",), "did you mean 'tiny'"),
    ],
)
def test_mistakes_give_status_2(run_command, tmp_path: Path, arguments, words, capsys) -> None:
    assert run_command("data", *arguments, f"output={tmp_path}") == 2
    assert words in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["biwi", "celeba", "wider_face", "csv", "coco", "aflw19", "cofw", "ytf68"])
def test_every_data_config_passes_the_checks(name: str) -> None:
    from hydra import compose, initialize_config_dir

    checks.register_schemas()
    with initialize_config_dir(files.conf_path(), version_base="1.3"):
        cfg = compose("inspect", [f"data={name}", "data.root=/nowhere", "output=/nowhere"])
    checks.check(cfg, schemas.InspectConfig)


def test_a_card_beside_other_sets(inspected, tmp_path: Path, run_command, capsys) -> None:
    tiny = ("data.size=10", "data.resolution=64", "data.validation=0", "faces=1")
    assert run_command("data", *tiny, "data.difficulty=easy", f"output={tmp_path / 'easy'}") == 0
    assert "KS" not in (tmp_path / "easy/card.md").read_text()
    assert inspected(*tiny, f"beside=[{tmp_path / 'easy'}]")[0] == 0
    assert "KS synthetic (2)" in (tmp_path / "out/card.md").read_text()
    assert cv2.imread(str(tmp_path / "out/card.png")) is not None
    assert run_command("data", *tiny, "beside=[/nowhere]", f"output={tmp_path / 'other'}") == 2
    assert "/nowhere: no report.json and measures.csv" in "".join(capsys.readouterr())


def test_poses_of_every_face(inspected, tmp_path: Path, run_command) -> None:
    assert inspected(*SMALL, "poses=pnp")[0] == 0
    with (tmp_path / "out/poses.csv").open(newline="", encoding="utf-8") as file:
        poses = list(csv.DictReader(file))
    assert len(poses) == 36
    assert sum(row["accepted"] == "1" for row in poses) > 30
    assert run_command("data", *SMALL, "poses=guess", f"output={tmp_path / 'other'}") == 2
