"""Readers that never met their real files say so in every list of data sets."""

import json
import logging
import re
from pathlib import Path

import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf

from canthus.data.making import make_reader
from canthus.inspection.report import write_report
from canthus.utils.files import conf_path
from tests.helpers.places import REPOSITORY

MET = {"w300", "w300_style", "ytf68", "csv", "coco", "synthetic", "synthetic_scenes"}
CONFIGS = {path.stem: path for path in sorted((Path(conf_path()) / "data").glob("*.yaml")) if path.stem != "base"}


def assumed(name: str) -> str | None:
    reader = OmegaConf.load(CONFIGS[name if name != "w300_style" else "w300"]).reader
    return get_class(reader).experimental


@pytest.mark.parametrize("name", CONFIGS)
def test_the_help_and_the_page_say_so(name: str) -> None:
    assert (assumed(name) is None) == (name in MET)
    head = CONFIGS[name].read_text().partition("\n")[0]
    assert head.startswith("# experimental; ") == (name not in MET)


def test_the_page_has_what_was_assumed() -> None:
    text = (REPOSITORY / "docs/commands.md").read_text().partition("| experimental | assumed |\n")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text.partition("\n\n")[0], re.MULTILINE))
    assert rows == {name: assumed(name) for name in CONFIGS if name not in MET}


@pytest.mark.parametrize(("name", "said"), [("WFLW", True), ("W300", False)])
def test_the_log_says_so(name: str, said: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        reader = make_reader(f"canthus.data.readers.{name}", {"root": tmp_path})
    lines = [record.message for record in caplog.records]
    expected = "WFLW is experimental: it never met the real files. Assumed: coordinates count from 0"
    assert lines == ([expected] if said else [])
    write_report(tmp_path / "report.json", "x", {}, [], experimental=reader.experimental)
    assert json.loads((tmp_path / "report.json").read_text())["experimental"] == reader.experimental
