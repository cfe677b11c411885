"""The pages of docs/ are true: their files are extracted and their commands run, as a reader would."""

import importlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from canthus.data.synthetic import Synthetic
from canthus.schemes import load_scheme, reduce_landmarks
from tests.helpers.places import REPOSITORY

COMMANDS = {"canthus-train": "train", "canthus-eval": "evaluate", "canthus-predict": "predict"}
COMMANDS |= {"canthus-data": "data"}
TINY = ["trainer=cpu", "trainer.max_epochs=1", "data.batch_size=4", "data.validation=0.25"]
DAN = ["model.width=0.05", "model.statistics_faces=8"]


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of every block of code."""
    text = (REPOSITORY / "docs" / page).read_text()
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def files(page: str) -> dict[str, str]:
    """The files of a page: blocks whose first line names them in a comment."""
    named = {}
    for language, text in blocks(page):
        first, _, rest = text.partition("\n")
        if re.fullmatch(r"# \S+\.(py|yaml|csv)", first):
            named[first[2:]] = rest if language == "csv" else text
    return named


def commands(page: str) -> list[list[str]]:
    return [shlex.split(line) for language, text in blocks(page) if language == "sh" for line in text.splitlines()]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator:
    """Writes the files of a page to a folder from which Python and the commands find them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CANTHUS_CACHE", str(cache))
    monkeypatch.setenv("CANTHUS_LOGS", str(tmp_path / "logs"))
    before = set(sys.modules)

    def write(name: str) -> dict[str, str]:
        found = files(name)
        for path, text in found.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        importlib.invalidate_caches()
        return found

    yield write
    for module in set(sys.modules) - before:
        if module.partition(".")[0] in ("glance", "mydata", "test_myfaces"):
            del sys.modules[module]


def draw(path: Path, source: Synthetic, face) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(source.pixels(face.image)[..., ::-1]))


def test_a_model_of_fewer_than_100_lines(page, run_command, images: Path, tmp_path: Path) -> None:
    found = page("adding-a-model.md")
    assert set(found) == {"glance/network.py", "glance/module.py", "conf/model/glance.yaml"}
    lines = [line for text in found.values() for line in text.splitlines() if line.strip()]
    assert len(lines) < 100
    steps = commands("adding-a-model.md")
    assert [words[0] for words in steps] == ["canthus-train", "canthus-eval", "canthus-predict"]
    extra = {"canthus-train": [*TINY, "data.size=40", "data.resolution=96"], "canthus-eval": ["overlays=2"]}
    for name, *words in steps:
        words = [str(images).join(word.split("IMAGES")) for word in words]
        assert run_command(COMMANDS[name], *words, *extra.get(name, [])) == 0, words
    metrics = json.loads(Path("RUN/metrics.json").read_text())
    assert (metrics["model"], len(metrics["subsets"]["full"]["nme_per_stage"])) == ("glance", 2)
    assert len(list(Path("OUT").rglob("*.json"))) == 1
    assert (Path("RUN/checkpoints/best.ckpt")).is_file()


def test_the_model_learns_in_both_stages(page) -> None:
    """A few steps on one batch; each stage moves its own weights and nothing else's."""
    import torch

    page("adding-a-model.md")
    module = importlib.import_module("glance.module").GlanceModule(
        lambda parameters: torch.optim.Adam(parameters, 1e-3)
    )
    torch.manual_seed(0)
    batch = {"image": torch.rand(4, 1, 64, 64), "landmarks": 20 + 24 * torch.rand(4, 68, 2)}
    batch["visibility"] = torch.full((4, 68), 2)
    owned = [{id(p) for p in module.stage_parameters(stage)} for stage in (0, 1)]
    assert not owned[0] & owned[1]
    assert owned[0] | owned[1] == {id(p) for p in module.parameters()}
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    history = []
    for _ in range(30):
        losses = module.losses(batch, module.estimates(batch))
        history.append([loss.item() for loss in losses.values()])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert all(last < 0.7 * first for first, last in zip(history[0], history[-1], strict=True))


def test_labels_in_a_csv_file(page, run_command) -> None:
    page("adding-a-data-set.md")
    source, five = Synthetic(size=20, resolution=96), []
    for number, face in enumerate(source.faces(["train"])[:14]):
        points, _ = reduce_landmarks(face.landmarks, face.visibility, load_scheme(68), "5")
        name = ("one.jpg", "two.jpg")[number] if number < 2 else f"{number}.jpg"
        draw(Path("labels") / name, source, face)
        if number >= 2:
            five.append(f"{name},{','.join(f'{value:.1f}' for value in points.flatten())},")
    table = Path("labels/train.csv")
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows, *five[:8]]) + "\n")
    table.with_name("test.csv").write_text("\n".join([header, *five[8:]]) + "\n")
    look, train = [words for words in commands("adding-a-data-set.md") if "data=csv" in words]
    assert run_command("data", *look[1:]) == 0
    assert run_command("train", *train[1:], *TINY, *DAN, "test=true") == 0
    metrics = json.loads(Path("RUN/metrics.json").read_text())
    assert (metrics["data"], metrics["scheme"], metrics["normaliser"]) == ("csv", "5", "inter_pupil")


def test_a_reader_of_ones_own(page, run_command, tmp_path: Path) -> None:
    found = page("adding-a-data-set.md")
    tests = importlib.import_module("test_myfaces")
    for name in [name for name in vars(tests) if name.startswith("test_")]:
        (tmp_path / name).mkdir()
        getattr(tests, name)(tmp_path / name)
    assert len(re.findall(r"^def test_", found["test_myfaces.py"], flags=re.MULTILINE)) == 2

    source = Synthetic(size=30, resolution=96)
    for part, faces in (("train", source.faces(["train"])[:12]), ("test", source.faces(["test"])[:3])):
        for number, face in enumerate(faces):
            draw(tmp_path / "DIR" / part / f"{number}.jpg", source, face)
            text = "\n".join(f"{x} {y}" for x, y in face.landmarks + 1)
            (tmp_path / "DIR" / part / f"{number}.txt").write_text(text + "\n")
    steps = [words for words in commands("adding-a-data-set.md") if "data=myfaces" in words]
    assert [words[0] for words in steps] == ["canthus-data", "canthus-train", "canthus-eval"]
    for name, *words in steps:
        assert run_command(COMMANDS[name], *words, *([*TINY, *DAN] if name == "canthus-train" else [])) == 0, words
    (written,) = Path("RUN/evaluation").rglob("metrics.json")
    metrics = json.loads(written.read_text())
    assert (metrics["data"], metrics["subsets"]["full"]["faces"]) == ("myfaces", 3)


PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_commands_exist(path: Path) -> None:
    """Files that pages link to are there; what they tell people to type is a command, target, group or experiment."""
    text = re.sub(r"<!--.*?-->", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
    entry_points = (REPOSITORY / "pyproject.toml").read_text()
    for command in set(re.findall(r"\bcanthus-[a-z]+", text)):
        assert f"\n{command} = " in entry_points, command
    targets = (REPOSITORY / "Makefile").read_text()
    code = "\n".join(re.findall(r"^```.*?^```", text, flags=re.DOTALL | re.MULTILINE))
    typed = re.findall(r"^make ([a-z-]+)", code, flags=re.MULTILINE) + re.findall(r"`make ([a-z-]+)", text)
    for target in set(typed):
        assert re.search(rf"^{target}\b.*:", targets, re.MULTILINE), target
    conf = REPOSITORY / "conf"
    for name in set(re.findall(r"\bexperiment=(\w+)", text)):
        assert (conf / "experiment" / f"{name}.yaml").is_file(), name
