"""canthus-eval study=alignment and study=critique from run folders to tables and pictures."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from canthus.data.synthetic import Synthetic


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered faces as frames of YouTube Faces: 6 persons, 2 videos, 2 frames."""
    root = tmp_path_factory.mktemp("ytf68")
    (root / "training").mkdir()
    source = Synthetic(size=40, resolution=96, difficulty="easy")
    faces = iter(source.faces(["train"]))
    rows = []
    for person in "ABCDEF":
        for video in range(2):
            for frame in range(2):
                face = next(faces)
                name = f"{person}_{video}{frame}.jpg"
                cv2.imwrite(str(root / "training" / name), np.ascontiguousarray(source.pixels(face.image)[..., ::-1]))
                rows.append([name, *face.landmarks.round(1).ravel()])
    with (root / "training_frames_keypoints.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["", *range(136)], *rows])
    return root


def arguments(videos: Path, cache: Path, output: Path, *more: object) -> list[object]:
    data = [f"data.root={videos}", "data.test_parts=[training]", f"paths.cache={cache}"]
    return ["study=alignment", *data, "pairs=20", "size=64", "label_noise=[10]", f"output={output}", *more]


def test_a_study_of_a_run_and_the_references(trained, videos, run_command, cache, tmp_path, capsys) -> None:
    output = tmp_path / "study"
    words = arguments(videos, cache, output, f"runs=[{trained}]", "corruptions=[blur]", "corrupted_faces=9")
    assert run_command("evaluate", *words) == 0
    content = json.loads((output / "study.json").read_text())
    rows = {row["name"]: row for row in content["methods"]}
    references = ["ground truth", "ground truth, pose", "ground truth + 10 %", "mean shape"]
    assert list(rows) == [*references, trained.name, f"{trained.name}, pose"]
    assert rows["ground truth"]["nme_box"] < 1e-6 < rows["ground truth + 10 %"]["nme_box"]
    assert rows[trained.name]["kind"] == "run"
    assert rows[trained.name]["shift_blur"] > 0
    assert rows[f"{trained.name}, pose"]["shift_blur"] not in (0, rows[trained.name]["shift_blur"])
    assert "shift_blur" not in rows["mean shape"]
    assert (content["faces"], content["persons"]) == (24, 6)
    assert (content["link"]["methods"], content["link_of_runs"]["methods"]) == (6, 2)
    low, high = rows["mean shape"]["accuracy_interval"]
    assert low <= rows["mean shape"]["accuracy"] <= high
    with (output / "alignment.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == list(rows)
    page = (output / "alignment.md").read_text()
    assert "rank correlation" in page
    assert "on 9 faces" in page
    for picture in ("alignment.png", "aligned_faces.png"):
        assert f"({picture})" in page
        assert cv2.imread(str(output / picture)).std() > 10
    assert json.loads((output / "provenance.json").read_text())["status"] == "finished"
    assert "alignment on ytf68" in capsys.readouterr().out


def test_a_critique_of_data_and_of_a_run(trained, videos, run_command, cache, tmp_path, capsys) -> None:
    output = tmp_path / "study"
    words = arguments(videos, cache, output, f"runs=[{trained}]")[1:]
    assert run_command("evaluate", "study=critique", *words) == 0
    content = json.loads((output / "critique.json").read_text())
    (method,) = content["methods"]
    assert method["name"] == trained.name
    assert method["milliseconds"] > 0
    assert sum(row["faces"] for row in method["over_yaw"]) == content["faces"] - content["without_pose"] == 24
    assert content["noise_floor"][0]["nme_inter_ocular"] == pytest.approx(12.5, abs=0.5)
    page = (output / "critique.md").read_text()
    for title in ("Normalisers over yaw", "Noise of the labels", "Speed"):
        assert f"## {title}" in page
    assert cv2.imread(str(output / "critique.png")).std() > 10
    assert "a perfect method has" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("study=aligment", "did you mean 'alignment'"),
        ("size=8", "size=8: at least 32"),
        ("runs=[nowhere]", "nowhere is no run folder"),
        ("embedder=arc", "embedder=arc: hog, pixels, or a network of timm"),
        ("embedder_weights=w.pth", "embedder=hog has no weights"),
        ("align_by=[pose,angle]", "align_by=['pose', 'angle']"),
        ("corruptions=[blurr]", "did you mean 'blur'"),
        ("sizes=3", "size"),
    ],
)
def test_mistakes(word: str, message: str, videos, run_command, cache, tmp_path, capfd) -> None:
    key = word.split("=")[0] + "="
    words = [given for given in arguments(videos, cache, tmp_path / "out") if not str(given).startswith(key)]
    assert run_command("evaluate", *words, word) != 0
    captured = capfd.readouterr()
    assert message in captured.out + captured.err
