"""What claims need: recipes that are shared, arms that begin with others, what is done and what is not."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from canthus.commands import schemas
from canthus.commands.claims import estimate, read_settings
from canthus.commands.claims_plan import Settings, core_hours, plan
from canthus.runs.children import Step
from canthus.studies.claims.config import read_claim
from canthus.utils.errors import ConfigError

CLAIM = {
    "model": "dan", "paper": "p", "place": "t", "claim": "c", "measured": "m", "effect": 0.1,
    "arms": {"a": {"train": ["model=dan"], "minutes": 60}, "b": {"train": ["model=dan", "init_from=@a"]}},
    "contrasts": [{"better": {"arm": "a"}, "worse": {"arm": "b"}}],
}  # fmt: skip


def composed(words: Sequence[str]):
    """As Hydra would, of words whose order says nothing."""
    values = dict(word.split("=", 1) for word in words)
    if "wrong" in values:
        raise ConfigError("unknown key 'wrong'")
    data = {"root": "???", "cache": "anywhere"} if values.pop("data", "w300") == "w300" else {}
    return OmegaConf.create({"data": data, "seed": 0, "paths": {"log_dir": "l"}, **values})


def settings(tmp_path: Path, *contents: dict, **options) -> Settings:
    claims = []
    for number, content in enumerate(contents):
        path = tmp_path / f"claim{number}.yaml"
        path.write_text(yaml.safe_dump(CLAIM | content))
        claims.append(read_claim(path))
    given = {"claims": claims, "seeds": [0, 1], "evaluate": ["split=test"], **options}
    return Settings(tmp_path / "data", tmp_path / "out", **given)


def finished(step: Step, status: str = "finished", **more) -> None:
    output = next(word for word in step.words if word.startswith(("output=", "hydra.run.dir=")))
    folder = Path(output.partition("=")[2].strip("'"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "provenance.json").write_text(json.dumps({"status": status, **more}))
    (folder / "config.yaml").touch()


def by_module(steps: Sequence[Step], module: str) -> list[Step]:
    return [step for step in steps if step.module == module]


def test_an_arm_is_trained_with_every_seed_and_evaluated_once(tmp_path: Path) -> None:
    made = plan(settings(tmp_path, {}), composed)
    trainings, evaluations = by_module(made.steps, "train"), by_module(made.steps, "evaluate")
    assert (len(trainings), len(evaluations), len(made.steps)) == (4, 4, 8)
    assert trainings[0].name.startswith("dan-")  # the longest, of which the minutes are known
    assert all(f"data.root='{tmp_path}/data'" in step.words for step in trainings)
    assert sorted(w for s in trainings for w in s.words if w.startswith("seed=")) == ["seed=0"] * 2 + ["seed=1"] * 2
    assert all(step.after[0] in {t.name for t in trainings} and "split=test" in step.words for step in evaluations)
    assert "# 1 claims, 4 trainings, 4 to do: about 2.0 core-hours, 2.0 for all, and evaluations" in estimate(
        made, settings(tmp_path, {})
    )


def test_an_arm_that_begins_with_another_waits_for_the_same_seed(tmp_path: Path) -> None:
    made = plan(settings(tmp_path, {}), composed)
    (place,) = made.places.values()
    for seed in (0, 1):
        (step,) = (s for s in by_module(made.steps, "train") if s.after and f"seed={seed}" in s.words)
        assert f"init_from='{place.run('a', seed)}'" in step.words
        assert step.after == (f"{place.recipes['a'].key} seed {seed} train",)


def test_recipes_are_shared_by_what_they_compose(tmp_path: Path) -> None:
    """Not by their words; and what an arm begins with is part of its recipe."""
    same = {"arms": {"x": {"train": ["data=w300", "model=dan"]}, "y": {"train": ["init_from=@x", "model=dan"]}}}
    same |= {"contrasts": [{"better": {"arm": "x"}, "worse": {"arm": "y"}}]}
    other = {"arms": {"a": {"train": ["model=dan", "width=2"]}, "b": {"train": ["model=dan", "init_from=@a"]}}}
    made = plan(settings(tmp_path, {}, same), composed)
    assert len(made.steps) == 8
    assert made.needs["claim0"] == made.needs["claim1"]
    made = plan(settings(tmp_path, {}, other), composed)
    assert len(made.steps) == 16


def test_what_is_finished_is_done_and_what_was_stopped_goes_on(tmp_path: Path) -> None:
    asked = settings(tmp_path, {})
    first = plan(asked, composed)
    stopped, ended = by_module(first.steps, "train")[:2]
    finished(stopped, "interrupted")
    finished(ended, seconds=1800, earlier=[{"seconds": 1800}])
    of_stopped = next(s for s in by_module(first.steps, "evaluate") if s.after == (stopped.name,))
    of_ended = next(s for s in by_module(first.steps, "evaluate") if s.after == (ended.name,))
    finished(of_stopped)  # of a training that somebody has made longer since
    finished(of_ended)
    again = {step.name: step for step in plan(asked, composed).steps}
    assert again[stopped.name].words[0].startswith("resume=")
    assert [name for name, step in again.items() if step.done] == [ended.name, of_ended.name]
    assert core_hours([ended.log.parent], 2) == 2.0
    said = estimate(plan(asked, composed), asked)[0]
    assert "4 trainings, 3 to do" in said


def test_conditions_have_evaluations_of_their_own(tmp_path: Path) -> None:
    contrasts = [
        {"better": {"arm": "a", "corruption": "blur"}, "worse": {"arm": "a", "stage": 1}},
        {"better": {"arm": "a", "stage": 2}, "worse": {"arm": "a", "style": "sketch"}},
    ]
    made = plan(settings(tmp_path, {"contrasts": contrasts, "arms": {"a": CLAIM["arms"]["a"]}}, seeds=[3]), composed)
    shown = [step.words[-1] for step in by_module(made.steps, "evaluate")]
    assert shown == ["data.severity=3", "split=test", "data.styles=[sketch]"]


def test_studies_go_over_all_arms_of_a_seed(tmp_path: Path) -> None:
    measure = {"measure": {"kind": "verification"}}
    left = settings(tmp_path, measure)
    assert plan(left, composed).steps == []
    assert "ytf68=DIR is needed" in estimate(plan(left, composed), left)[-1]
    made = plan(settings(tmp_path, measure, study=["data=ytf68"]), composed)
    (place,) = made.places.values()
    studies = by_module(made.steps, "evaluate")
    assert [step.words[0] for step in studies] == ["study=alignment"] * 2
    for seed, step in enumerate(studies):
        assert step.words[1] == f"runs=['{place.run('a', seed)}','{place.run('b', seed)}']"
        assert len(step.after) == 2
        assert step.words[-1] == "data=ytf68"


def test_a_run_that_is_there_is_not_trained(tmp_path: Path) -> None:
    arms = {"arms": {"a": {"run": "zoo/dan"}, "b": CLAIM["arms"]["a"]}}
    made = plan(settings(tmp_path, arms), composed)
    assert len(by_module(made.steps, "train")) == 2
    (zoo,) = (step for step in by_module(made.steps, "evaluate") if "run=zoo/dan" in step.words)
    assert zoo.after == ()


def test_words_that_compose_nothing_are_named(tmp_path: Path) -> None:
    wrong = {"arms": CLAIM["arms"] | {"a": {"train": ["wrong=1"]}}}
    with pytest.raises(ConfigError, match="claim claim0: arm a: unknown key 'wrong'"):
        plan(settings(tmp_path, wrong), composed)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"claims": ["dan_stage"]}, r"claims=dan_stage: did you mean 'dan_stages'"),
        ({"claims": []}, r"claims=\[\] names none"),
        ({"claims": None}, r"claims=null"),
        ({"seeds": [-1]}, r"seeds=\[-1\]: whole numbers"),
        ({"data": {"root": "/nowhere"}}, r"data\.root=/nowhere: no such folder"),
        ({"ytf68": "/nowhere"}, r"ytf68=/nowhere: no such folder"),
        ({"options": "epochs"}, r"'epochs' is no key=value"),
    ],
)
def test_wrong_values_are_one_line(words: dict, message: str) -> None:
    cfg = OmegaConf.merge(OmegaConf.structured(schemas.ClaimsConfig), {"data": {"root": "."}, "output": "out"}, words)
    with pytest.raises(ValueError, match=message) as caught:
        read_settings(cfg)
    assert "\n" not in str(caught.value)


def test_what_is_asked_for(tmp_path: Path) -> None:
    asked = {"data": {"root": str(tmp_path)}, "output": "out", "claims": "mdm_steps dan_stages", "seeds": "0 2"}
    asked |= {"ytf68": str(tmp_path), "study": ["data=ytf68"], "options": "a=1 b=2"}
    found = read_settings(OmegaConf.merge(OmegaConf.structured(schemas.ClaimsConfig), asked))
    assert ([claim.name for claim in found.claims], found.seeds) == (["mdm_steps", "dan_stages"], [0, 2])
    assert (found.study, found.options) == (["data=ytf68", f"data.root='{tmp_path}'"], ["a=1", "b=2"])
