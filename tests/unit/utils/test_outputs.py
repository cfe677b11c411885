"""Which outputs are refused because they are inputs, by whatever name."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from canthus.utils.errors import ConfigError
from canthus.utils.outputs import check_beside, check_files, check_folder, is_inside, places_in


def names_of(file: Path) -> dict[str, Path]:
    """Other names of a file: relative, through a folder's link, a link, a hard link."""
    folder = file.parent
    (folder.parent / "linked").symlink_to(folder, target_is_directory=True)
    (folder / "soft").symlink_to(file)
    (folder / "hard").hardlink_to(file)
    return {
        "itself": file,
        "roundabout": folder / ".." / folder.name / file.name,
        "relative": Path(os.path.relpath(file)),
        "folder's link": folder.parent / "linked" / file.name,
        "link": folder / "soft",
        "hard link": folder / "hard",
    }


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    file = tmp_path / "films" / "größe.mp4"
    file.write_bytes(b"film")
    return file


def test_every_name_of_an_input_is_refused(film: Path) -> None:
    names = names_of(film)
    for (_, written), (_, read) in itertools.product(names.items(), repeat=2):
        with pytest.raises(ConfigError, match="which is the same file; name another output"):
            check_files([film.parent / "new.mp4", written], {"source": [read]})
    assert film.read_bytes() == b"film"


def test_other_files_are_free(film: Path) -> None:
    copy = film.with_name("copy.mp4")
    copy.write_bytes(b"film")
    check_files(
        [copy, film.parent / "new.mp4", film.parent / "no" / "folder"], {"source": [film], "boxes": [Path("no")]}
    )
    check_files([Path("x" * 5000), Path("a\0b")], {"source": [Path("y" * 5000)]})  # no files at all


def test_a_file_system_that_takes_both_cases_for_one(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = os.stat

    def insensitive(path: Path, **options: object) -> os.stat_result:
        place = Path(path)
        here = {name.lower(): name for name in os.listdir(place.parent)}
        return stat(place.with_name(here.get(place.name.lower(), place.name)))

    check_files([film.with_name("GRÖSSE.MP4"), film.with_name("GRÖßE.MP4")], {"source": [film]})
    monkeypatch.setattr(os, "stat", insensitive)
    with pytest.raises(ConfigError, match="same file"):
        check_files([film.with_name("GRÖßE.MP4")], {"source": [film]})


def test_inside_agrees_with_where_files_land(tmp_path: Path) -> None:
    """Random trees with links: what is written into a folder is found below the source, or it is not."""
    random = np.random.default_rng(0)
    for trial in range(60):
        root = tmp_path / str(trial)
        root.mkdir()
        folders = [root]
        for number in range(6):
            place = folders[random.integers(len(folders))] / f"f{number}"
            target = folders[random.integers(len(folders))]
            if random.random() < 0.3 and not place.resolve().is_relative_to(target.resolve()):
                place.symlink_to(target, target_is_directory=True)
            else:
                place.mkdir()
            folders.append(place)
        source, output = (folders[random.integers(len(folders))] for _ in range(2))
        target = output / "new" / "deep" if random.random() < 0.5 else output
        said = is_inside(target, source)
        target.mkdir(parents=True, exist_ok=True)
        (target / "mark").write_text("")
        mark = os.path.realpath(target / "mark")
        real = {os.path.join(at, name) for at, _, names in os.walk(os.path.realpath(source)) for name in names}
        assert said == (mark in real)


def test_folders_of_inputs_and_of_trainings(film: Path, tmp_path: Path) -> None:
    for output in (film.parent, tmp_path / "films" / "..", tmp_path / "films"):
        inside = output == film.parent
        with pytest.raises(ConfigError, match=r"is run=.* itself, whose records would be lost"):
            check_folder(output, {"run": [output]})
        if inside:
            with pytest.raises(ConfigError, match=r"holds predictions=.*which results could be written over"):
                check_folder(output, {"predictions": [film]})
    check_folder(tmp_path / "new", {"run": [tmp_path, tmp_path / "no"], "predictions": [film]})
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is the folder of a training"):
        check_folder(tmp_path / "run", {})


def test_places_of_data(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "labels.csv").write_text("")
    data = {"root": str(tmp_path), "test_parts": ["part", "gone"], "labels": "labels.csv", "size": 3, "scheme": "???"}
    data |= {"seed": "${seed}", "box": None}
    assert places_in(OmegaConf.create(data)) == [tmp_path, tmp_path / "part", tmp_path / "labels.csv"]
    assert places_in(OmegaConf.create({"root": str(tmp_path / "part"), "name": "..", "test_parts": []})) == [
        tmp_path / "part"
    ]
    assert places_in(OmegaConf.create({"root": None, "test_parts": [str(tmp_path / "part")]})) == [tmp_path / "part"]


def test_files_beside_an_output(tmp_path: Path) -> None:
    page, tables = tmp_path / "summary.html", [tmp_path / "summary.md", tmp_path / "summary.csv"]
    check_beside(page, tables)
    tables[0].write_text("of an evaluation")
    with pytest.raises(ConfigError, match=r"summary\.md would be written over, which is of something else"):
        check_beside(page, tables)
    page.write_text("of an earlier report")
    check_beside(page, tables)
