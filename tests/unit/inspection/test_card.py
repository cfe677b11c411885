"""The measures of faces and the card that compares sets by them."""

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest

from canthus.geometry.generic_face import generic_face
from canthus.inspection.card import Measured, write_card
from canthus.inspection.collection import Collection
from canthus.inspection.measures import MEASURES, face_measures, point_measures, write_measures
from canthus.inspection.report import write_report
from canthus.schemes import load_scheme
from canthus.utils.errors import DataError
from tests.unit.inspection.conftest import FACES, Spoiled

ALL = np.ones((1, 68), dtype=bool)


def generic():
    return generic_face().points[None, :, :2].double().numpy()


def test_measures_of_a_known_face():
    face = generic()
    face[0, [61, 62, 63]] = face[0, [67, 66, 65]]
    measures = point_measures(3 * face + 200, ALL)
    assert list(measures) == list(MEASURES)
    assert measures["mouth_opening"] == [0]
    low, high = face[0].min(0), face[0].max(0)
    np.testing.assert_allclose(measures["aspect"], (high - low)[0] / (high - low)[1])
    np.testing.assert_allclose(measures["size"], 3 * (high - low).mean())
    for angle in ("yaw", "pitch", "roll"):
        assert abs(measures[angle][0]) < 4
    face[0, [37, 38, 43, 44]] = face[0, [41, 40, 47, 46]]
    assert point_measures(face, ALL)["eye_opening"] == [0]
    assert 0.2 < measures["eye_opening"][0] < 0.4


def test_mirrored_faces_turn_the_other_way():
    faces = FACES[:40]
    flip = list(load_scheme("68").flip)
    measures = face_measures(faces)
    known = np.degrees([face.pose[0] for face in faces])
    assert np.corrcoef(measures["yaw"], known)[0, 1] > 0.95
    mirrored = face_measures([replace(face, landmarks=face.landmarks[flip] * (-1, 1) + (95, 0)) for face in faces])
    for angle, sign in (("yaw", -1), ("pitch", 1), ("roll", -1)):
        np.testing.assert_allclose(mirrored[angle], sign * measures[angle], atol=0.05)
    for name in ("aspect", "eye_opening", "mouth_opening"):
        np.testing.assert_allclose(mirrored[name], measures[name], atol=0.0011)


def test_unlabelled_points_give_no_number():
    labelled = ALL.copy()
    labelled[0, 61] = False
    measures = point_measures(generic(), labelled)
    assert np.isnan(measures["mouth_opening"][0])
    assert np.isfinite(measures["eye_opening"][0])
    nothing = point_measures(generic(), np.zeros_like(ALL))
    assert all(np.isnan(values).all() for values in nothing.values())


def written(folder, name, reader=None):
    data = Collection.read(reader or Spoiled(train=30, test=5), ["train"], ["test"])
    write_report(folder / "report.json", name, {}, [])
    assert write_measures(folder / "measures.csv", data)
    return data


def test_a_card_of_two_sets(tmp_path):
    data = written(tmp_path / "one", "synthetic")
    narrow = Spoiled(train=30, test=5)
    for i in range(30):
        narrow.change(i, landmarks=lambda points: points * (0.7, 1), attributes=frozenset())
    written(tmp_path / "two", "narrow", narrow)
    with (tmp_path / "one/measures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [str(face.image) for face in data.faces]
    sets = [Measured.read(tmp_path / name) for name in ("one", "two", "one")]
    assert [(one.name, one.faces, one.split) for one in sets] == [
        ("synthetic", 30, "train"), ("narrow", 30, "train"), ("synthetic", 30, "train")
    ]  # fmt: skip
    written_files = write_card(tmp_path / "one", sets)
    assert [path.name for path in written_files] == ["card.md", "card.png"]
    lines = written_files[0].read_text().splitlines()
    assert any(line.endswith("| KS narrow | KS synthetic (2) |") for line in lines)
    aspect = next(line for line in lines if line.startswith("| aspect")).strip("| ").split(" | ")
    assert float(aspect[-2]) > 0.9
    assert float(aspect[-1]) == 0
    condition = sorted(sets[0].attributes)[0]
    share = f"{100 * sets[0].attributes[condition]:.1f}"
    assert f"| {condition} | {share} | - | {share} |" in lines
    assert cv2.imread(str(written_files[1])).std() > 10


def test_what_is_no_output_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no report.json and measures.csv of canthus-data"):
        Measured.read(tmp_path)


def test_no_measures_without_the_68_points(tmp_path):
    from canthus.data.labels import reduced_face

    reader = Spoiled(train=3, test=1)
    for i in range(3):
        reader.parts["train"][i] = reduced_face(reader.parts["train"][i], "5")
    data = Collection.read(reader, ["train"], [])
    assert not write_measures(tmp_path / "measures.csv", data)
    assert not (tmp_path / "measures.csv").exists()
