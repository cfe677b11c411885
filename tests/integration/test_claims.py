"""`canthus claims`: a true and a false claim about rendered faces, stopped twice, judged, and judged again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from canthus.runs.children import Ended, Step
from tests.helpers.places import REPOSITORY

FITTED = [
    "data=synthetic", "model=sdm", "trainer=cpu", "data.size=200", "data.resolution=96", "data.validation=0.25",
    "data.difficulty=easy", "model.sizes=[60]", "data.scheme=5", "normaliser=inter_pupil", "trainer.max_epochs=1",
    "~callbacks.overlays", "~callbacks.progress",
]  # fmt: skip
STIFF = [*FITTED, "model.ridge=1000000000"]
CLAIM = {
    "model": "sdm",
    "paper": "nobody",
    "place": "nowhere",
    "measured": "rendered faces",
    "effect": 0.5,
    "measure": {"normaliser": "inter_pupil"},
    "arms": {"fitted": {"train": FITTED, "minutes": 0.2}, "stiff": {"train": STIFF}},
    "evaluate": ["split=test"],
}
TRUE = CLAIM | {
    "claim": "Training helps.",
    "contrasts": [{"better": {"arm": "fitted"}, "worse": {"arm": "stiff"}}],
}
FALSE = CLAIM | {
    "claim": "Training does harm, and the same network differs from itself.",
    "contrasts": [
        {"better": {"arm": "stiff"}, "worse": {"arm": "fitted"}},
        {"better": {"arm": "fitted", "stage": 1}, "worse": {"arm": "fitted"}},
    ],
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of configs with two claims."""
    folder = tmp_path / "conf"
    (folder / "claim").mkdir(parents=True)
    for name, content in (("helps", TRUE), ("harms", FALSE)):
        (folder / "claim" / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture
def words(own: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("CANTHUS_CACHE", str(cache))
    monkeypatch.setenv("CANTHUS_LOGS", str(tmp_path / "logs"))
    return [
        "--config-dir", str(own), f"data.root={tmp_path}", f"output={tmp_path / 'out'}", "claims=[helps,harms]",
        "seeds=[0,1]", "jobs=1",
    ]  # fmt: skip


class Runner:
    """In place of `run_steps`: runs the steps in this process, and is stopped before some."""

    def __init__(self, call, stopped: list[int]) -> None:
        self.call, self.stopped, self.ran = call, stopped, list[list[str]]()

    def __call__(self, steps: list[Step], jobs: int, environment: dict[str, str]) -> Ended:
        self.ran.append([])
        number, done = self.stopped.pop(0) if self.stopped else len(steps), {step.name for step in steps if step.done}
        waiting = [step for step in steps if not step.done]
        while waiting:
            step = next(one for one in waiting if set(one.after) <= done)
            if len(self.ran[-1]) == number:
                raise KeyboardInterrupt
            waiting.remove(step)
            step.log.parent.mkdir(parents=True, exist_ok=True)
            assert self.call(step.module, *step.words) == 0, step.words
            done.add(step.name)
            self.ran[-1].append(step.name)
        return Ended()


@pytest.mark.slow
def test_a_true_and_a_false_claim(
    run_command, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Stopped after one step and after three more; the third time it ends, the fourth finds nothing to do."""
    runner = Runner(run_command, [1, 3])
    monkeypatch.setattr("canthus.commands.claims.run_steps", runner)
    for status in (130, 130, 0):
        assert run_command("claims", *words) == status
    assert [len(ran) for ran in runner.ran] == [1, 3, 4]
    names = [name for ran in runner.ran for name in ran]
    assert len(set(names)) == 8  # two recipes, shared by both claims, two seeds, an evaluation each
    out = tmp_path / "out"
    first = (out / "claims.json").read_bytes()
    found = {claim["name"]: claim for claim in json.loads(first)["claims"]}
    assert {name: claim["verdict"] for name, claim in found.items()} == {"helps": "holds", "harms": "does not hold"}
    helps = found["helps"]
    assert (helps["source"], helps["unit"]) == ("2 trainings (seeds 0, 1), 40 test faces", "% of inter-pupil")
    (contrast,) = helps["contrasts"]
    for seed in ("0", "1"):
        for figure, arm in zip(contrast["seeds"][seed], ("fitted", "stiff"), strict=True):
            (recipe,) = (
                folder
                for folder in (out / "runs").glob(f"sdm-*-seed{seed}")
                if ("ridge: 1000000000" in (folder / "config.yaml").read_text()) == (arm == "stiff")
            )
            (evaluation,) = (recipe / "claims").glob("plain-*/metrics.json")
            nme = json.loads(evaluation.read_text())["subsets"]["full"]["nme"]
            assert figure == pytest.approx(nme, abs=1e-3)
    assert contrast["difference"] == pytest.approx(contrast["means"][1] - contrast["means"][0], abs=2e-4)
    low, high = contrast["interval"]
    assert 0 < low < contrast["difference"] < high
    same = found["harms"]["contrasts"][1]
    assert (same["difference"], same["interval"]) == (0, [0, 0])

    (out / "claims.json").unlink()
    assert run_command("claims", *words) == 0
    assert runner.ran[-1] == []
    assert (out / "claims.json").read_bytes() == first
    capfd.readouterr()
    assert run_command("claims", *words, "--dry-run") == 0
    said = capfd.readouterr().out
    assert "2 claims, 4 trainings, 0 to do: about 0.0 core-hours" in said
    assert said.count(": done") == 8


@pytest.mark.slow
def test_killed_twice_and_resumed(words: list[str], tmp_path: Path) -> None:
    """By SIGKILL, its children with it, while a training runs; in the end every run was finished, once."""
    command = [sys.executable, "-m", "canthus", "claims", *words]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    killed = 0
    for _ in range(2):
        before = set((tmp_path / "out").rglob("provenance.json"))
        process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 300
        while process.poll() is None and not set((tmp_path / "out").rglob("provenance.json")) - before:
            assert time.monotonic() < end
            time.sleep(0.1)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        process.kill()
        process.wait()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
            killed += 1
    assert killed >= 2
    assert subprocess.run(command, env=environment).returncode == 0
    verdicts = {c["name"]: c["verdict"] for c in json.loads((tmp_path / "out/claims.json").read_text())["claims"]}
    assert verdicts == {"helps": "holds", "harms": "does not hold"}
    statuses = [json.loads(path.read_text())["status"] for path in (tmp_path / "out/runs").rglob("provenance.json")]
    assert statuses == ["finished"] * 8
