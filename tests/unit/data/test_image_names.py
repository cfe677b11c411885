"""One rule of names for labels, boxes and predictions: the exact file, else the only one that it can be."""

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canthus.data.image_names import FolderImages, ImageNames
from canthus.data.readers import CsvLabels
from canthus.inference.sources import boxes_by_image, read_boxes
from canthus.utils.errors import ConfigError, DataError


def files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("there", "name", "found"),
    [
        (["IMG_0.JPG", "img_0.jpg"], "IMG_0.JPG", "IMG_0.JPG"),
        (["IMG_0.JPG", "img_0.jpg"], "img_0.jpg", "img_0.jpg"),
        (["img_0.jpg"], "IMG_0.JPG", "img_0.jpg"),
        (["p.jpg"], "p.png", "p.jpg"),
        (["p.jpg"], "P", "p.jpg"),
        (["p.jpg", "p.png"], "p.png", "p.png"),
        (["p.jpg", "P.PNG"], "p.png", "P.PNG"),
        (["p.q.jpg"], "p.q", "p.q.jpg"),
        (["p.txt"], "p.jpg", None),
        (["q.heic"], "q.heic", "q.heic"),
        (["q.avif"], "q.avif", "q.avif"),
        (["more/p.jpg"], "p.jpg", None),
        (["p.jpg"], "../p.jpg", None),
    ],
)
def test_a_file_by_its_name(tmp_path, there, name, found):
    root = files(tmp_path / "root", *there)
    assert FolderImages(root).find(name) == (found and root / found)


@pytest.mark.parametrize(
    ("there", "name"),
    [(["IMG_0.JPG", "img_0.jpg"], "Img_0.jpg"), (["p.jpg", "p.png"], "p"), (["p.jpg", "p.PNG"], "p.bmp")],
)
def test_a_name_of_several_files_is_refused(tmp_path, there, name):
    with pytest.raises(DataError, match=r"may be any of 2 images .*; give the exact name"):
        FolderImages(files(tmp_path, *there)).find(name)


def test_a_file_that_another_name_means_is_no_stand_in(tmp_path):
    images = FolderImages(files(tmp_path, "p.jpg", "q.jpg"))
    assert images.find_all(["p.png", "p.jpg", "q.png"]) == [None, tmp_path / "p.jpg", tmp_path / "q.jpg"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_an_exact_name_always_means_its_file(tmp_path_factory, data):
    """Whatever else lies beside it; and every other spelling means one file or is refused."""
    letters = st.sampled_from(["a", "A", "b"])
    name = st.builds("{}{}{}".format, letters, letters, st.sampled_from([".jpg", ".JPG", ".png", ".jpeg"]))
    there = data.draw(st.lists(name, min_size=1, max_size=6, unique=True))
    root = files(tmp_path_factory.mktemp("names"), *there)
    one_folder, listed = FolderImages(root), ImageNames([root / file for file in there], root)
    for file in there:
        assert one_folder.find(file) == listed.find(file) == root / file
    wanted = data.draw(name)
    answers = []
    for names in (one_folder, listed):
        try:
            answers.append(names.find(wanted))
        except DataError:
            answers.append("refused")
    assert answers[0] == answers[1]
    alike = [file for file in there if file.lower() == wanted.lower()]
    if wanted not in there and len(alike) == 1:
        assert answers[0] == root / alike[0]
    elif wanted not in there and len(alike) > 1:
        assert answers[0] == "refused"


def labels(root: Path, names: list[str], **columns: str) -> Path:
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *(f"{axis}{i}" for i in range(5) for axis in "xy"), *columns])
        for i, name in enumerate(names):
            writer.writerow([name, 10, 10 + i, 30, 11, 20, 20, 12, 30, 28, 31, *columns.values()])
    return root


def test_rows_of_files_that_differ_in_capitals_are_two_faces(tmp_path):
    root = labels(files(tmp_path, "img_0.jpg", "IMG_0.JPG"), ["img_0.jpg", "IMG_0.JPG"])
    faces = CsvLabels(root, label_scheme=5).faces(["train"])
    assert [face.image.name for face in faces] == ["img_0.jpg", "IMG_0.JPG"]
    assert [face.photo for face in faces] == ["img_0.jpg", "IMG_0.JPG"]


def test_the_split_goes_by_the_file(tmp_path):
    """Two spellings of one file never fall on both sides of a split."""
    root = labels(files(tmp_path, "more/a.jpg"), ["more/a.jpg", "more/A.jpg", "more\\a.jpg", "more/a"])
    assert {face.photo for face in CsvLabels(root, label_scheme=5).faces(["train"])} == {"more/a.jpg"}


def test_a_column_photo_goes_before(tmp_path):
    root = labels(files(tmp_path, "a.jpg"), ["A.jpg"], photo="film 3")
    assert CsvLabels(root, label_scheme=5).faces(["train"])[0].photo == "film 3"


def test_a_missing_image_is_not_another_labelled_one(tmp_path):
    root = labels(files(tmp_path, "p.jpg"), ["p.png", "p.jpg"])
    with pytest.raises(DataError, match=r"train\.csv:2: .*p\.png does not exist; 1 of 2 listed"):
        CsvLabels(root, label_scheme=5).faces(["train"])
    faces = CsvLabels(root, label_scheme=5, allow_partial=True).faces(["train"])
    assert [face.extra["line"] for face in faces] == [3]


def boxes_file(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "boxes.csv"
    path.write_text("image,x1,y1,x2,y2\n" + "".join(f"{row},1,2,3,4\n" for row in rows))
    return path


def test_boxes_by_path_by_its_end_and_by_name(tmp_path):
    images = [tmp_path / "set" / name for name in ("a.jpg", "one/x.jpg", "two/x.jpg", "two/y.jpg")]
    rows = ("A.JPG", "one/x.jpg", str(images[2]), "y", "nobody.jpg")
    found, strangers = boxes_by_image(read_boxes(boxes_file(tmp_path, *rows)), images, str(tmp_path / "set"))
    assert list(found) == images
    assert strangers == ["nobody.jpg"]


def test_boxes_of_a_name_in_two_folders_are_refused(tmp_path):
    images = [tmp_path / "one/x.jpg", tmp_path / "two/x.jpg"]
    with pytest.raises(ConfigError, match=r"x\.jpg may be any of 2 images .*and more of the path"):
        boxes_by_image(read_boxes(boxes_file(tmp_path, "x.jpg")), images, str(tmp_path))


def test_boxes_under_two_names_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"is called both a\.jpg and A\.jpg"):
        boxes_by_image(read_boxes(boxes_file(tmp_path, "a.jpg", "A.jpg")), [tmp_path / "a.jpg"], str(tmp_path))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_boxes_in_the_encodings_of_spreadsheets(tmp_path, encoding):
    path = tmp_path / "boxes.csv"
    path.write_bytes("image,x1,y1,x2,y2\né.jpg,1,2,3,4\n".encode(encoding))
    assert list(read_boxes(path)) == ["é.jpg"]


@pytest.mark.parametrize("content", ["é".encode("latin-1"), "é".encode("utf-16-le"), b"\xff\xfea"])
@pytest.mark.parametrize("name", ["boxes.csv", "boxes.json"])
def test_boxes_in_other_encodings_are_refused_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(b"image,x1,y1,x2,y2\n" * (not content.startswith(b"\xff")) + content)
    with pytest.raises(ConfigError, match=r"boxes\.(csv|json)") as error:
        read_boxes(tmp_path / name)
    assert "\n" not in str(error.value)


def test_only_a_folder_called_as_the_root_leads_into_it():
    """A path of another machine: below another data set lies another image."""
    root = Path("/data/w300")
    image = root / "afw" / "1.jpg"
    names = ImageNames([image], root)
    for name in ("/home/somebody/w300/afw/1.jpg", "w300/afw/1.jpg", "afw/1.jpg", "1.jpg", "./afw/1.jpg", r"afw\1.jpg"):
        assert names.find(name) == image, name
    for name in ("/home/somebody/w300-copy/afw/1.jpg", "aflw/afw/1.jpg", "/x/menpo/1.jpg", "w300/ibug/1.jpg", "2.jpg"):
        assert names.find(name) is None, name
