"""Configs of claims: the shipped ones hold, wrong ones are explained in one line."""

from pathlib import Path

import pytest
import yaml

from canthus.studies.claims.config import claim_files, read_claim, referred
from canthus.utils.files import conf_path

GOOD = {
    "model": "dan", "paper": "p", "place": "t", "claim": "c", "measured": "m", "effect": 0.1,
    "arms": {"a": {"train": ["model=dan"]}, "b": {"train": ["model=dan", "init_from=@a"]}},
    "contrasts": [{"better": {"arm": "a"}, "worse": {"arm": "b"}}],
}  # fmt: skip


def read(folder: Path, content: object):
    path = folder / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return read_claim(path)


def test_the_shipped_ones_can_be_read() -> None:
    files = claim_files([Path(conf_path())])
    assert len(files) >= 18
    for path in files.values():
        claim = read_claim(path)
        assert all(arm.run or arm.minutes for arm in claim.arms.values()), path
        used = {quantity.arm for quantity, _ in claim.wanted} - {"labels"}
        begun = {other for arm in claim.arms.values() for other in referred(arm.train)}
        assert set(claim.arms) == used | begun, path


def test_what_contrasts_share(tmp_path: Path) -> None:
    contrast = {"better": {"stage": 2}, "worse": {"stage": 1, "normaliser": "box"}, "allowed": 1}
    claim = read(tmp_path, GOOD | {"measure": {"arm": "a", "normaliser": "inter_pupil"}, "contrasts": [contrast]})
    (pair,) = claim.pairs
    assert (pair.better.normaliser, pair.worse.normaliser, pair.better.stage, pair.worse.stage) == (
        "inter_pupil", "box", 2, 1,
    )  # fmt: skip
    assert (pair.unit, pair.effect, pair.allowed, claim.name) == ("% of inter-pupil", 0.1, 1.0, "mine")
    assert claim.lower_is_better(pair)


def test_one_s_own_claim_goes_before_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "claim").mkdir()
    (tmp_path / "claim/mdm_steps.yaml").touch()
    files = claim_files([tmp_path, Path(conf_path())])
    assert files["mdm_steps"].parent == tmp_path / "claim"
    assert files["mdm_joint"].parent == Path(conf_path()) / "claim"


def arms(**changes) -> dict:
    return {"arms": GOOD["arms"] | changes}


def contrast(better: object, worse: object, **more) -> dict:
    return {"contrasts": [{"better": better, "worse": worse, **more}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("a: [", "no YAML"),
        ("[]", "a claim has keys"),
        ({"claims": "c"}, "unknown key 'claims': did you mean 'claim'"),
        ({"effect": "much"}, "effect"),
        ({"effect": -1}, "effect=-1"),
        ({"side": "left"}, "side=left"),
        ({"arms": {}}, "arms and contrasts"),
        (arms(a={"train": ["x=1"], "run": "zoo/dan"}), r"arms\.a: either train"),
        (arms(a={"tran": ["x=1"]}), "tran"),
        (arms(labels={"train": ["x=1"]}), r"arms\.labels"),
        (arms(b={"train": ["init_from=@c"]}), r"arms\.b: @c"),
        (arms(a={"train": ["init_from=@b"]}), "begins with its own end"),
        (arms(a={"train": ["seed=1"]}), r"'seed=1' is the command's own"),
        (contrast({"arm": "c"}, {"arm": "b"}), r"contrasts\[0\]\.better: arm=c"),
        (contrast({"arm": "a"}, {}), r"contrasts\[0\]\.worse: arm=None"),
        (contrast({"arm": "a"}, 1), r"contrasts\[0\]\.worse=1"),
        (contrast({"arm": "a"}, {"arm": "b"}, better_by=1), "unknown key 'better_by'"),
        (contrast({"arm": "a"}, {"arm": "b"}, allowed=-1), r"allowed=-1"),
        (contrast({"arm": "a", "kind": "recall"}, {"arm": "b"}), "error and recall cannot be compared"),
        (contrast({"value": 1}, {"value": 2}), "two numbers cannot be compared"),
        (contrast({"arm": "a", "kind": "nme"}, {"arm": "b"}), "kind=nme"),
        (contrast({"arm": "a", "less": "c"}, {"arm": "b"}), "less=c"),
        (contrast({"arm": "a", "stage": 0}, {"arm": "b"}), "stage=0"),
        (contrast({"arm": "a", "severity": 6}, {"arm": "b"}), "severity=6"),
        (contrast({"arm": "a", "yaw": [30, 0]}, {"arm": "b"}), "yaw="),
        (contrast({"arm": "a", "yaw": [30]}, {"arm": "b"}), "yaw="),
        (contrast({"arm": "a", "corruption": "blur", "style": "dark"}, {"arm": "b"}), "one of them"),
        (contrast({"kind": "rank_correlation", "arms": ["a", "b"]}, {"value": 0}), "between="),
    ],
)
def test_wrong_ones_are_explained(change, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, change if isinstance(change, str) else GOOD | change)
    assert "\n" not in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needed but not given: paper"):
        read(tmp_path, {key: value for key, value in GOOD.items() if key != "paper"})
