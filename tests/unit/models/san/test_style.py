"""SAN's first two steps: clusters and domains of style, and CycleGAN's losses, order and schedule."""

import functools
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from torch import nn

from canthus.callbacks.seeding import EpochSeed
from canthus.data import face_data
from canthus.data.corruptions import face_keys
from canthus.models.san.classifier_module import SANClassifierModule
from canthus.models.san.discovery import choose_domains, cluster, read_domains, write_clusters
from canthus.models.san.style_module import DomainPairs, SANStyleModule, adversarial_loss
from canthus.utils.errors import DataError

ADAM = functools.partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))


def gan(clusters: object = "nowhere", **options) -> SANStyleModule:
    torch.manual_seed(0)
    return SANStyleModule(ADAM, str(clusters), **{"width": 0.05, "blocks": 1, "size": 32, "pool": 4, **options})


# -- styles ----------------------------------------------------------------------------------------------------------


def test_clusters_are_numbered_by_size() -> None:
    random = np.random.default_rng(0)
    sizes, centres = (60, 10, 30), np.eye(3) * 20
    features = np.concatenate([centre + random.normal(size=(n, 3)) for n, centre in zip(sizes, centres, strict=True)])
    labels = cluster(features.astype(np.float32), 3, seed=0)
    assert np.bincount(labels).tolist() == [10, 30, 60]
    assert (labels[60:70] == 0).all()
    assert (labels == cluster(features.astype(np.float32), 3, seed=0)).all()
    with pytest.raises(DataError, match="2 faces cannot make 3 clusters"):
        cluster(features[:2].astype(np.float32), 3, seed=0)


@pytest.mark.parametrize(
    ("sizes", "minimum", "domains"),
    [((100, 300, 600), 0.05, (0, 2)), ((44, 456, 500), 0.05, (1, 2)), ((44, 456, 500), 0.0, (0, 2))],
)
def test_domains_are_the_smallest_and_largest_that_are_large_enough(sizes, minimum, domains) -> None:
    assert choose_domains(np.repeat(np.arange(3), sizes), minimum) == domains


def test_without_two_domains_the_sizes_are_said() -> None:
    with pytest.raises(DataError, match=r"have 10, 20, 970 faces, and two domains need 5% of 1000"):
        choose_domains(np.repeat(np.arange(3), (10, 20, 970)), 0.05)


def test_clusters_are_found_again_by_the_faces_names(tmp_path: Path) -> None:
    keys, labels = [f"afw|{i}|{i}.jpg|0" for i in range(6)], np.array([0, 2, 1, 2, 0, 2])
    write_clusters(tmp_path, keys, labels, (0, 2), ["original", "grey"])
    assert read_domains(tmp_path, keys, "model.clusters") == ([0, 4], [1, 3, 5])
    assert read_domains(tmp_path, keys[::-1], "model.clusters") == ([1, 5], [0, 2, 4])
    with pytest.raises(DataError, match=r"1 of 1 faces are in no cluster there, other for one"):
        read_domains(tmp_path, ["other"], "model.clusters")
    with pytest.raises(DataError, match=r"model.clusters=.*: no clusters of style there"):
        read_domains(tmp_path / "nowhere", keys, "model.clusters")


def test_a_classifier_learns_to_tell_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = SANClassifierModule(ADAM, backbone="resnet10t", pretrained=False, size=32, styles=["original", "dark"])
    monkeypatch.setattr(model, "log", lambda *_, **__: None)
    coarse = torch.rand(4, 3, 4, 4)
    batch = {"image": torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")}
    optimizer = torch.optim.Adam(model.network.parameters(), lr=2e-3)
    losses = []
    for step in range(8):
        optimizer.zero_grad()
        loss = model.training_step(batch, step)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 < losses[0]
    features = model.eval().features(batch["image"])
    assert features.shape == (4, 512)
    assert features.dtype == np.float32


def test_weights_of_a_classifier_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    torch.manual_seed(1)
    trained = timm.create_model("resnet10t", num_classes=7).state_dict()
    torch.save(trained, tmp_path / "weights.pt")
    model = SANClassifierModule(ADAM, backbone="resnet10t", pretrained=str(tmp_path / "weights.pt"))
    model.setup("fit")
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, trained[name]) or name.startswith("fc"), name
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(DataError, match="not the weights of resnet10t"):
        SANClassifierModule(ADAM, backbone="resnet10t", pretrained=str(tmp_path / "weights.pt")).setup("fit")
    model = SANClassifierModule(ADAM, backbone="resnet10t", pretrained=True)

    def no_network(*_, **__):
        raise FileNotFoundError("cannot find the requested files in the local cache")

    monkeypatch.setattr(timm, "create_model", no_network)
    with pytest.raises(DataError, match=r"weights of resnet10t cannot be had .*model.pretrained=FILE.*=false"):
        model.setup("fit")


def test_wrong_settings_of_a_classifier() -> None:
    with pytest.raises(ValueError, match=r"model.backbone=resnet11: timm has no such model"):
        SANClassifierModule(ADAM, backbone="resnet11", pretrained=False)
    with pytest.raises(DataError, match="at least two styles"):
        SANClassifierModule(ADAM, backbone="resnet10t", pretrained=False, styles=["grey"])


# -- CycleGAN --------------------------------------------------------------------------------------------------------


def test_the_adversarial_loss_is_least_squares() -> None:
    judged = torch.tensor([0.0, 0.5, 1.0])
    assert float(adversarial_loss(judged, real=True)) == pytest.approx(1.25 / 3)
    assert float(adversarial_loss(judged, real=False)) == pytest.approx(1.25 / 3)
    assert float(adversarial_loss(torch.ones(4), real=True)) == 0


def test_pairs_hold_both_domains_in_every_batch() -> None:
    order = DomainPairs(range(10), range(100, 125), batch_size=6, seed=0)
    faces = torch.tensor(order(0)).view(-1, 2, 3)
    assert len(faces) == 25 // 3
    assert (faces[:, 0] < 10).all()
    assert (faces[:, 1] >= 100).all()
    first = faces[:, 0].flatten()
    assert sorted(first[:10].tolist()) == sorted(first[10:20].tolist()) == list(range(10))
    assert order(0) == order(0) != order(1)
    with pytest.raises(DataError, match=r"data.batch_size is 5"):
        DomainPairs([0], [1], batch_size=5, seed=0)
    with pytest.raises(DataError, match=r"batch_size is 8, and the styles have 3 and 2 faces"):
        DomainPairs([0, 1, 2], [3, 4], batch_size=8, seed=0)


def test_swapping_the_domains_swaps_the_roles() -> None:
    model, swapped = gan(), gan()
    for networks in (swapped.generators, swapped.discriminators):
        networks[0], networks[1] = networks[1], networks[0]
    a, b = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    terms, fake_b, fake_a = model.generator_losses(a, b)
    others, other_b, other_a = swapped.generator_losses(b, a)
    assert torch.equal(fake_b, other_a)
    assert torch.equal(fake_a, other_b)
    exchange = str.maketrans("AB", "BA")
    for name, value in terms.items():
        torch.testing.assert_close(value, others[name.translate(exchange)])


def test_identity_generators_lose_nothing_but_the_adversarial_terms() -> None:
    model = gan()
    model.generators = nn.ModuleList([nn.Identity(), nn.Identity()])
    a, b = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    terms, fake_b, _ = model.generator_losses(a, b)
    assert torch.equal(fake_b, a)
    assert list(terms) == [f"{kind}_{domain}" for kind in ("adversarial", "cycle", "identity") for domain in "AB"]
    assert all(float(value) == 0 for name, value in terms.items() if not name.startswith("adversarial"))
    assert "identity_A" not in gan(identity=0.0).generator_losses(a, b)[0]


def test_weights_of_the_terms_are_the_released_codes() -> None:
    model, (a, b) = gan(), torch.rand(2, 2, 3, 32, 32) * 2 - 1
    terms, fake_b, fake_a = model.generator_losses(a, b)
    to_b, to_a = model.generators
    torch.testing.assert_close(terms["cycle_A"], 10 * (to_a(fake_b) - a).abs().mean())
    torch.testing.assert_close(terms["identity_A"], (to_b(b) - b).abs().mean())
    judged = model.discriminator_losses(a, b, fake_b, fake_a)
    first = model.discriminators[0]
    expected = 0.5 * ((first(b) - 1).square().mean() + first(fake_b.detach()).square().mean())
    torch.testing.assert_close(judged["discriminator_A"], expected)


@pytest.fixture
def data(tmp_path: Path):
    module = face_data(
        gan().input, "canthus.data.synthetic.Synthetic", name="synthetic", size=24, resolution=64, batch_size=4,
        train_parts=["train"], validation=0.25, cache=tmp_path / "cache", extent=2.0, num_workers=0,
    )  # fmt: skip
    module.prepare_data()
    module.setup("fit")
    keys = face_keys(module.faces("train"))
    write_clusters(tmp_path / "clusters", keys, np.arange(len(keys)) % 3, (0, 2), ["original", "grey"])
    return module


def trained(data, folder: Path, epochs: int, resume: Path | None = None) -> SANStyleModule:
    model = gan(folder / "clusters")
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, num_sanity_val_steps=0, callbacks=[EpochSeed(0)],
    )  # fmt: skip
    data.order = None
    trainer.fit(model, data, ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(folder / f"epoch{epochs}.ckpt")
    return model


def test_training_moves_all_networks_and_resumes_bit_for_bit(data, tmp_path: Path, monkeypatch) -> None:
    # the rate's horizon is part of the schedule, so both runs know the same one
    monkeypatch.setattr(SANStyleModule, "configure_optimizers", functools.partialmethod(_four_epochs))
    begun = gan(tmp_path / "clusters").state_dict()
    whole = trained(data, tmp_path, 4).state_dict()
    moved = {name for name, value in whole.items() if not torch.equal(value, begun[name])}
    assert {name.rpartition(".")[0] for name in moved if name.endswith("weight")} == {
        name.rpartition(".")[0] for name in begun if name.endswith("weight")
    }
    assert int(whole["pools.0.filled"]) == 4
    trained(data, tmp_path, 2)
    resumed = trained(data, tmp_path, 4, resume=tmp_path / "epoch2.ckpt").state_dict()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def _four_epochs(model: SANStyleModule):
    optimizers = [ADAM(networks.parameters()) for networks in (model.generators, model.discriminators)]
    schedules = [torch.optim.lr_scheduler.LambdaLR(one, lambda epoch: 1 - epoch / 4) for one in optimizers]
    return optimizers, schedules


def test_the_rate_is_constant_and_then_falls_to_nothing() -> None:
    model = gan()
    model.trainer = lightning.Trainer(accelerator="cpu", max_epochs=200, logger=False, enable_checkpointing=False)
    _, (schedule, _) = model.configure_optimizers()
    rate = schedule.lr_lambdas[0]
    assert [rate(epoch) for epoch in (0, 50, 98)] == [1, 1, 1]
    assert rate(149) == pytest.approx(0.5)
    assert rate(200) == 0
