"""Pose labels of a data set."""

import csv

import numpy as np
import pytest

from canthus.inspection.collection import Collection
from canthus.inspection.poses import pose_labels, write_poses
from canthus.utils.errors import DataError
from tests.unit.inspection.conftest import Spoiled


def test_a_row_for_every_face(tmp_path) -> None:
    reader = Spoiled(train=12, test=3)
    reader.change(3, landmarks=lambda points: points[np.random.default_rng(0).permutation(68)])
    data = Collection.read(reader, ["train"], ["test"])
    poses = pose_labels(data)
    write_poses(tmp_path / "poses.csv", data, poses)
    with (tmp_path / "poses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == ["train"] * 12 + ["test"] * 3
    assert [row["file"] for row in rows] == [str(face.image) for face in data.faces]
    assert rows[3]["accepted"] == "0"
    accepted = [i for i, row in enumerate(rows) if row["accepted"] == "1"]
    assert len(accepted) >= 12
    # the renderer knows the yaw; its faces are not the generic one, so within some degrees
    known = np.degrees([data.faces[i].pose[0] for i in accepted])
    found = np.array([float(rows[i]["yaw"]) for i in accepted])
    assert np.abs(found - known).mean() < 8
    assert np.corrcoef(found, known)[0, 1] > 0.95
    assert all(2000 < float(rows[i]["tz"]) < 4500 for i in accepted)


def test_other_points_have_no_pose() -> None:
    from canthus.data.labels import reduced_face

    reader = Spoiled(train=3, test=1)
    for i in range(3):
        reader.parts["train"][i] = reduced_face(reader.parts["train"][i], "5")
    reader.scheme = "5"
    with pytest.raises(DataError, match="poses=pnp needs the 68 points"):
        pose_labels(Collection.read(reader, ["train"], []))
