"""What ``trainer.precision=auto`` chooses, that a run keeps it, and that training steps are right in bfloat16."""

import pytest
import torch
from omegaconf import OmegaConf

from canthus.commands.session import Session
from canthus.runs.precision import GAIN, choose_precision, has_native_bf16
from tests.helpers.tiny import MAKERS, tiny


@pytest.fixture
def machine(monkeypatch):
    """A machine with or without bfloat16 of its own, and a GPU."""

    def make(*, bf16: bool, amx: bool = False, gpu: bool = False) -> None:
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: gpu)

    return make


def test_detection(machine, monkeypatch) -> None:
    for bf16, amx in ((False, False), (True, False), (False, True)):
        machine(bf16=bf16, amx=amx)
        assert has_native_bf16() == (bf16 or amx)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert not has_native_bf16()  # a torch that cannot tell


@pytest.mark.parametrize(
    "method", ["cfan", "dan", "dcnn", "facepose", "fan_zhou", "mdm", "mtcnn", "san", "of_somebody"]
)
def test_methods_that_gain_have_it_on_processors_that_have_it(machine, method: str) -> None:
    gains = method in ("dan", "dcnn", "facepose", "fan_zhou", "mdm", "san")
    machine(bf16=True)
    assert choose_precision("auto", method, "cpu")[0] == ("bf16-mixed" if gains else "32-true")
    assert choose_precision("auto", method, "auto")[0] == ("bf16-mixed" if gains else "32-true")
    machine(bf16=True, gpu=True)
    assert choose_precision("auto", method, "auto")[0] == "32-true"
    assert choose_precision("auto", method, "gpu")[0] == "32-true"
    assert choose_precision("auto", method, "cpu")[0] == ("bf16-mixed" if gains else "32-true")
    machine(bf16=False)
    assert choose_precision("auto", method, "cpu")[0] == "32-true"


def test_what_was_asked_for_stands(machine) -> None:
    for bf16 in (False, True):
        machine(bf16=bf16)
        for asked in ("32-true", "bf16-mixed", 32, "64-true"):
            chosen, reason = choose_precision(asked, "dan", "cpu")
            assert chosen == asked
            assert ("ten times" in reason) == (asked == "bf16-mixed" and not bf16)


def session(folder, *, resume=None, precision="auto") -> Session:
    cfg = OmegaConf.create(
        {
            "model": {"_target_": "canthus.models.dan.module.DANModule"},
            "trainer": {"precision": precision, "accelerator": "cpu"},
            "paths": {"output_dir": str(folder)},
            "resume": resume,
        }
    )
    return Session(cfg, None, trained=False)


def test_a_run_keeps_its_precision_on_another_machine(machine, monkeypatch, tmp_path) -> None:
    machine(bf16=True)
    first = session(tmp_path)
    assert "2.2 times" in first._settle_precision()
    assert first.cfg.trainer.precision == "bf16-mixed"

    machine(bf16=False)
    monkeypatch.setattr("canthus.runs.loading.load_config", lambda run: first.cfg)
    resumed = session(tmp_path, resume=str(tmp_path), precision="bf16-mixed")  # as `resume=` composes it
    requeued = session(tmp_path, resume=str(tmp_path))  # with the words of the first start
    for later in (resumed, requeued):
        assert later._settle_precision() == "as this run began"
        assert later.cfg.trainer.precision == "bf16-mixed"


def test_auto_is_no_change_of_a_run(monkeypatch, tmp_path) -> None:
    from canthus.runs import resume

    saved = {"trainer": {"precision": "bf16-mixed", "max_epochs": 3}}
    monkeypatch.setattr(resume, "load_config", lambda run: OmegaConf.create(saved))
    monkeypatch.setattr(resume, "relocated", lambda config, run: config)

    def changed(precision):
        now = OmegaConf.create({"trainer": {"precision": precision, "max_epochs": 3}})
        return list(resume.changed_settings(tmp_path, now))

    assert changed("auto") == []
    assert changed("32-true") == [("trainer.precision", "bf16-mixed", "32-true")]


@pytest.mark.parametrize("method", sorted(set(MAKERS) & set(GAIN)))
def test_a_step_in_bfloat16_is_that_of_float32_but_for_rounding(method: str) -> None:
    model, batch = tiny(method, count=4)
    found = []
    for mixed in (False, True):
        model.zero_grad()
        torch.manual_seed(1)
        # torch's own bfloat16, which any processor has; oneDNN would take minutes to emulate it
        with torch.backends.mkldnn.flags(enabled=False), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            estimates = model.estimates(batch)
            loss = torch.stack(list(model.losses(batch, estimates).values())).sum()
            loss.backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients)
        found.append((loss.detach(), estimates.points, torch.stack([one.norm() for one in gradients]).norm()))
    (whole, points, slope), (rounded, other, steep) = found
    assert rounded.dtype == torch.float32
    assert rounded != whole  # it was bfloat16
    torch.testing.assert_close(rounded, whole, rtol=0.05, atol=0)
    assert 0.5 < steep / slope < 2
    for right, near in zip(points, other, strict=True):
        assert near.dtype == torch.float32
        assert (near - right).norm(dim=-1).median() < 0.01 * model.input.size
