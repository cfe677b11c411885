"""A small data set in the exact format of every reader, with the published counts replaced by its own.

Built by the generators of each reader's test file. `TREES` is what tests that hold for all readers go through.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from canthus.data.face import Face
from canthus.data.readers import (
    AFLW,
    AFLW19,
    AFLW2000,
    BIWI,
    COFW,
    COFW68,
    FDDB,
    W300,
    W300LP,
    WFLW,
    YTF68,
    BioID,
    CelebA,
    CocoKeypoints,
    CsvLabels,
    LFWNet,
    Menpo,
    WiderFace,
    lfw_net,
    w300,
    wider_face,
)
from tests.unit.data.readers import (
    test_aflw,
    test_aflw19,
    test_aflw2000,
    test_bioid,
    test_biwi,
    test_celeba,
    test_coco,
    test_cofw,
    test_cofw68,
    test_csv_labels,
    test_fddb,
    test_lfw_net,
    test_menpo,
    test_w300,
    test_w300lp,
    test_wflw,
    test_wider_difficulty,
    test_wider_face,
    test_ytf68,
)

READERS = "canthus.data.readers."


@dataclass(frozen=True)
class Tree:
    """One data set in little.

    Attributes:
        build: writes it below a folder.
        reader: class.
        part: to read.
        files: label files, below the folder.
        options: of the reader.
        counts: module attribute -> its own count, or the entries of a table of counts.
        rows: whether each line of the first file is one face, so that their order does not matter.
        counted: whether the number of faces is known, so that none can be lost.
    """

    build: Callable[[Path], None]
    reader: Callable[..., Any]
    part: str
    files: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)
    rows: bool = False
    counted: bool = True

    def read(self, root: Path) -> list[Face]:
        """Read strictly: nothing may be missing."""
        with ExitStack() as stack:
            for name, value in self.counts.items():
                target = READERS + name
                stack.enter_context(patch.dict(target, value) if isinstance(value, dict) else patch(target, value))
            return self.reader(root, **{"allow_partial": False} | dict(self.options)).faces([self.part])


def _images(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def _w300(root: Path) -> None:
    for i, stem in enumerate(("111_1", "111_2", "222_1")):
        test_w300.add(root / "afw", stem, points=test_w300.SHAPE + i)
    boxes = [(f"{stem}.jpg", [10.0 + i, 20, 80, 95]) for i, stem in enumerate(("111_1", "111_2", "222_1"))]
    test_w300.write_boxes(root / "bounding_boxes_afw.mat", boxes)


def _wflw(root: Path) -> None:
    shape = test_wflw.SHAPE
    flags = [(0, 1, 0, 0, 0, 0), (0, 0, 0, 0, 1, 0), (0, 0, 0, 0, 0, 0)]
    test_wflw.write(root, "train", [test_wflw.line(points=shape + i, flags=flags[i]) for i in range(3)])


def _cofw(root: Path) -> None:
    test_cofw.write(root / "COFW_train_color.mat", test_cofw.phis(3))


def _cofw68(root: Path) -> None:
    for number in (1, 2, 3):
        test_cofw68.label(root / "test_annotations", number, points=test_cofw68.SHAPE + number)
    test_cofw68.boxes(root / "cofw68_test_bboxes.mat", [[k, 2 * k, 30, 40] for k in range(1, 4)])
    test_cofw68.images(root / "COFW_test_color.mat", 3)


def _aflw(root: Path) -> None:
    with test_aflw.created(root) as database:
        test_aflw.add(database, 1, "0/a.jpg")
        test_aflw.add(database, 2, "0/b.jpg", features=(1, 7, 15))
    _images(root / "data/flickr/0", "a.jpg", "b.jpg")


def _aflw2000(root: Path) -> None:
    test_aflw2000.add(root / "AFLW2000", "image00002")
    test_aflw2000.add(root / "AFLW2000", "image00004", test_aflw2000.official(yaw=-1.0))


def _w300lp(root: Path) -> None:
    for stem in ("AFW_134212_1_0", "AFW_134212_1_7"):
        test_w300lp.add(root, "AFW", stem)


def _menpo(root: Path) -> None:
    for i in range(2):
        test_menpo.add(root, f"face_{i}", test_menpo.FACE + i)


def _lfw_net(root: Path) -> None:
    test_lfw_net.write(root, test_lfw_net.LINES)
    _images(root, *(line.split()[0].replace("\\", "/") for line in test_lfw_net.LINES))


def _bioid(root: Path) -> None:
    for number in (0, 7):
        test_bioid.add(root, number, points=test_bioid.TWENTY + number)


def _celeba(root: Path) -> None:
    test_celeba.write(root)
    _images(root / "img_celeba", *test_celeba.ROWS)


def _wider_face(root: Path) -> None:
    test_wider_face.write(root)
    (root / "val").mkdir()
    others = f"10 20 30 40 {'-1 ' * 15}0.1\n5 6 7 8"  # whole: a row for every box
    labels = test_wider_face.LABELS.replace("5 6 7 8", others) + "78 238 0 17\n"
    (root / "val/label.txt").write_text(labels)


def _wider_levels(root: Path) -> None:
    test_wider_face.write(root)
    test_wider_difficulty.tools(root / "ground_truth")


def _biwi(root: Path) -> None:
    for frame in (3, 9):
        test_biwi.add(root, "03", frame)


def _ytf68(root: Path) -> None:
    names = [f"A_B_0{i}.jpg" for i in range(3)]
    rows = [test_ytf68.row(name, test_ytf68.SHAPE + i) for i, name in enumerate(names)]
    (root / "training_frames_keypoints.csv").write_text("\n".join([test_ytf68.HEADER, *rows, ""]))
    _images(root / "training", *names)


def _csv(root: Path) -> None:
    header = ["image", *test_csv_labels.NAMES, *test_csv_labels.CODES, *test_csv_labels.CORNERS]
    rows = [[name, *test_csv_labels.CELLS, *"22122", 5, 6, 40 + i, 50] for i, name in enumerate(("a.jpg", "b.jpg"))]
    test_csv_labels.write(root / "train.csv", header, *rows)
    _images(root, "a.jpg", "b.jpg")


def _coco(root: Path) -> None:
    test_coco.write(root, [test_coco.annotation(), test_coco.annotation(8, 2)])


BLOCKS = ["wider_face_split/wider_face_val_bbx_gt.txt", "val/label.txt"]
CELEBA = [f"list_{name}.txt" for name in ("eval_partition", "landmarks_celeba", "bbox_celeba")]
AFW = w300._Part(("afw",), 3, 2, "afw")
TRAIN_LIST = lfw_net._List(("trainImageList.txt",), 3, 14)

TREES = {
    "w300": Tree(_w300, W300, "afw", ["afw/111_1.pts"], counts={"w300._PARTS": {"afw": AFW}}),
    "w300_boxes": Tree(
        _w300, W300, "afw", ["bounding_boxes_afw.mat"], {"box": "detector"}, {"w300._PARTS": {"afw": AFW}}
    ),
    "wflw": Tree(
        _wflw, WFLW, "train", [f"{test_wflw.LISTS}/list_98pt_rect_attr_train.txt"], {"box": "detector"},
        {"wflw._FACES": {"train": 3}}, rows=True,
    ),
    "cofw": Tree(
        _cofw, COFW, "train", ["COFW_train_color.mat"], {"box": "detector"}, {"cofw.FACES": {"train": 3}}
    ),
    "cofw68": Tree(
        _cofw68, COFW68, "test", ["test_annotations/2_points.mat", "cofw68_test_bboxes.mat", "COFW_test_color.mat"],
        {"box": "detector"}, {"cofw.FACES": {"test": 3}},
    ),
    "aflw": Tree(_aflw, AFLW, "flickr/0", ["data/aflw.sqlite"], counts={"aflw._MOST": 2, "aflw._FEWEST": 2}),
    "aflw19": Tree(
        lambda root: test_aflw19.write(root, test_aflw19.official()), AFLW19, "train", ["AFLWinfo_release.mat"],
        counts={"aflw19._FACES": test_aflw19.FACES, "aflw19._TRAIN": test_aflw19.TRAIN},
    ),
    "aflw2000": Tree(
        _aflw2000, AFLW2000, "AFLW2000", ["AFLW2000/image00004.mat"], {"box": "roi"}, {"aflw2000._FACES": 2}
    ),
    "aflw2000_2d": Tree(
        _aflw2000, AFLW2000, "AFLW2000", ["AFLW2000/image00004.mat"], {"points": "2d"}, {"aflw2000._FACES": 2}
    ),
    "w300lp": Tree(
        _w300lp, W300LP, "AFW", ["AFW/AFW_134212_1_7.mat", "landmarks/AFW/AFW_134212_1_7_pts.mat"], {"box": "roi"},
        {"w300lp._PARTS": {"AFW": 2}},
    ),
    "menpo": Tree(_menpo, Menpo, "semifrontal", ["face_1.pts"], counts={"menpo._SEMIFRONTAL": 2}),
    "lfw_net": Tree(
        _lfw_net, LFWNet, "train", ["trainImageList.txt"], counts={"lfw_net._PARTS": {"train": TRAIN_LIST}}, rows=True
    ),
    "bioid": Tree(_bioid, BioID, "bioid", ["points_20/bioid_0007.pts"], counts={"bioid._FACES": 2}),
    "bioid_eyes": Tree(_bioid, BioID, "bioid", ["BioID_0007.eye"], {"points": "eye"}, {"bioid._FACES": 2}),
    "celeba": Tree(_celeba, CelebA, "train", CELEBA, counts={"celeba._PARTS": {"train": ("0", 2)}}, rows=True),
    "wider_face": Tree(
        _wider_face, WiderFace, "val", BLOCKS, counts={"wider_face._PARTS": {"val": wider_face._Part(3, 5)}}
    ),
    "wider_levels": Tree(
        _wider_levels,
        WiderFace,
        "val",
        ["ground_truth/wider_face_val.mat", "ground_truth/wider_hard_val.mat"],
        counts={
            "wider_face._PARTS": {"val": wider_face._Part(3, 5)},
            "wider_difficulty.FACES": {"easy": 1, "medium": 2, "hard": 3},
        },
    ),
    "fddb": Tree(
        test_fddb.write, FDDB, "fold-01", ["FDDB-folds/FDDB-fold-01-ellipseList.txt", "FDDB-folds/FDDB-fold-01.txt"]
    ),
    "biwi": Tree(
        _biwi, BIWI, "03", ["03/frame_00009_pose.txt", "03/rgb.cal"],
        counts={"biwi._RECORDINGS": {"03": "F03"}, "biwi._FRAMES": 2},
    ),
    "ytf68": Tree(
        _ytf68, YTF68, "training", ["training_frames_keypoints.csv"], counts={"ytf68._OFFICIAL": {"training": 3}},
        rows=True,
    ),
    "csv": Tree(
        _csv, CsvLabels, "train", ["train.csv"], {"label_scheme": 5, "box": "detector"}, rows=True, counted=False
    ),
    "coco": Tree(
        _coco, CocoKeypoints, "train", ["train.json"], {"label_scheme": 5, "box": "detector"}, counted=False
    ),
}  # fmt: skip
"""By reader; some have two, for the files of another option."""


def signature(face: Face, root: Path) -> tuple[Any, ...]:
    """What a reader says of a face, in a form that can be compared."""
    return (
        face.image.relative_to(root).as_posix(),
        *(np.nan_to_num(array, nan=-1e30).round(9).tobytes() for array in (face.landmarks, face.box)),
        face.visibility.tobytes(),
        *(face.scheme, face.photo, face.part, tuple(sorted(face.attributes)), face.identity),
        None if face.pose is None else face.pose.round(9).tobytes(),
    )
