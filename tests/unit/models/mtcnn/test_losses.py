import pytest
import torch

from canthus.models.mtcnn.losses import ALPHA, hardest, masked_losses
from canthus.models.mtcnn.network import Outputs
from canthus.models.mtcnn.windows import LANDMARK, NEGATIVE, PART, POSITIVE, Windows


def windows_of(kinds, *, weight=None):
    count, generator = len(kinds), torch.Generator().manual_seed(1)
    return Windows(
        image=torch.zeros(count, 3, 12, 12),
        kind=torch.tensor(kinds),
        offsets=torch.randn(count, 4, generator=generator),
        landmarks=torch.rand(count, 10, generator=generator),
        weight=torch.ones(count) if weight is None else weight,
    )


def outputs_of(count):
    generator = torch.Generator().manual_seed(0)
    return Outputs(*(torch.randn(count, n, generator=generator).requires_grad_() for n in (2, 4, 10)))


def test_mining_keeps_seven_tenths_of_the_windows_that_are_classified():
    kinds = [NEGATIVE] * 48 + [POSITIVE] * 16 + [PART] * 32 + [LANDMARK] * 32
    order = torch.randperm(128, generator=torch.Generator().manual_seed(2))
    windows, outputs = windows_of([kinds[i] for i in order]), outputs_of(128)
    loss = masked_losses(outputs, windows)["face"]
    loss.backward()
    learnt = outputs.logits.grad.abs().sum(1) > 0
    assert learnt.sum() == 44  # 7 * 64 // 10
    target = (windows.kind == POSITIVE).long()
    entropy = torch.nn.functional.cross_entropy(outputs.logits, target, reduction="none")
    classified = windows.kind <= POSITIVE
    assert not learnt[~classified].any()
    assert entropy[learnt].min() >= entropy[classified & ~learnt].max()
    assert loss.item() == pytest.approx(entropy[learnt].mean().item(), rel=1e-6)


def test_without_mining_all_of_them_count():
    windows, outputs = windows_of([NEGATIVE] * 30 + [POSITIVE] * 10 + [PART] * 5), outputs_of(45)
    masked_losses(outputs, windows, ohem=False)["face"].backward()
    assert (outputs.logits.grad.abs().sum(1) > 0).tolist() == [True] * 40 + [False] * 5


def test_another_share():
    windows, outputs = windows_of([NEGATIVE] * 30 + [POSITIVE] * 10 + [PART] * 5), outputs_of(45)
    masked_losses(outputs, windows, share=(50, 100))["face"].backward()
    assert int((outputs.logits.grad.abs().sum(1) > 0).sum()) == 20


@pytest.mark.parametrize(("count", "kept"), [(0, 0), (1, 1), (2, 1), (10, 7), (70, 49)])
def test_number_of_hard_examples(count, kept):
    losses = torch.arange(1.0, count + 1).requires_grad_()
    mean = hardest(losses)
    mean.backward()
    assert int((losses.grad > 0).sum()) == kept
    assert mean.item() == pytest.approx(sum(range(count - kept + 1, count + 1)) / max(kept, 1))


def test_windows_that_do_not_count_are_neither_hard_nor_counted():
    losses, counted = torch.arange(20.0).requires_grad_(), torch.arange(20) < 10
    mean = hardest(losses, counted)
    mean.backward()
    assert mean.item() == pytest.approx(sum(range(3, 10)) / 7)
    assert torch.nonzero(losses.grad).flatten().tolist() == list(range(3, 10))


@pytest.mark.parametrize(
    ("kind", "learning"),
    [
        (NEGATIVE, {"logits"}),
        (POSITIVE, {"logits", "offsets"}),
        (PART, {"offsets"}),
        (LANDMARK, {"landmarks"}),
    ],
)
def test_each_kind_teaches_its_own_tasks_alone(kind, learning):
    outputs = outputs_of(20)
    losses = masked_losses(outputs, windows_of([kind] * 20))
    sum(losses.values()).backward()
    taught = {name for name, part in outputs._asdict().items() if part.grad.abs().sum() > 0}
    assert taught == learning
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_regression_is_the_squared_distance_averaged_over_windows():
    windows, outputs = windows_of([POSITIVE] * 6 + [LANDMARK] * 4), outputs_of(10)
    losses = masked_losses(outputs, windows)
    box = (outputs.offsets - windows.offsets)[:6].square().sum(1).mean()
    points = (outputs.landmarks - windows.landmarks)[6:].square().sum(1).mean()
    assert losses["box"].item() == pytest.approx(box.item(), rel=1e-6)
    assert losses["landmarks"].item() == pytest.approx(points.item(), rel=1e-6)


def test_windows_of_no_weight_teach_nothing():
    weight = torch.tensor([1.0, 0.0, 1.0, 0.0])
    outputs = outputs_of(4)
    sum(masked_losses(outputs, windows_of([LANDMARK] * 4, weight=weight)).values()).backward()
    assert (outputs.landmarks.grad.abs().sum(1) > 0).tolist() == [True, False, True, False]


def test_weights_of_the_tasks():
    assert ALPHA == {"pnet": (1, 0.5, 0.5), "rnet": (1, 0.5, 0.5), "onet": (1, 0.5, 1)}
