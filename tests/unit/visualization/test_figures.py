"""Figures look the same whatever a matplotlibrc or a notebook has set, and change nothing there."""

from pathlib import Path

import matplotlib

from canthus.visualization.curves import ced_figure


def drawn(path: Path) -> bytes:
    ced_figure({"all": [2.0, 5.0, 12.5, 6.0]}, path, threshold=8.0, normaliser="box")
    return path.read_bytes()


def test_what_matplotlib_is_set_to_changes_no_figure(tmp_path: Path) -> None:
    usual = drawn(tmp_path / "usual.png")
    mine = {
        "font.size": 21.0,
        "lines.linestyle": ":",
        "axes.facecolor": "black",
        "savefig.dpi": 31,
        "legend.shadow": True,
    }
    with matplotlib.rc_context(mine):
        assert drawn(tmp_path / "mine.png") == usual
        assert {key: matplotlib.rcParams[key] for key in mine} == mine
