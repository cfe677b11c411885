import functools
from types import SimpleNamespace

import lightning
import pytest
import torch
from torch import nn
from torchvision.ops import box_iou

from canthus.callbacks.detection_evaluator import DetectionEvaluator
from canthus.callbacks.evaluator import Evaluator
from canthus.callbacks.seeding import EpochSeed
from canthus.callbacks.stages import StageSchedule
from canthus.data import face_data
from canthus.data.augment import Augmentation
from canthus.data.batch import Batch
from canthus.data.detection.collage import Collages
from canthus.data.detection.datamodule import ImageDataModule
from canthus.data.synthetic import Synthetic
from canthus.geometry.windows import decode_points
from canthus.models.mtcnn.detect import Detector
from canthus.models.mtcnn.losses import masked_losses
from canthus.models.mtcnn.module import MTCNNModule, WindowEstimates
from canthus.models.mtcnn.network import Outputs, normalised
from canthus.models.mtcnn.windows import LANDMARK, Windows


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def make_model(**options):
    torch.manual_seed(0)
    return MTCNNModule(functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.1), candidates=12, **options)


@pytest.fixture
def make_data(cache):
    def make(model, **options):
        settings = {"size": 16, "resolution": 96, "train_parts": ["train"], "test_parts": ["test"], "scheme": "5"}
        settings |= {"validation": 0.25, "batch_size": 4, "landmark_faces": 6, "cache": cache, "name": "synthetic"}
        settings |= {"augmentation": Augmentation(rotation=3, scale=0.1, shift=0.08, contrast=0.2), "view": "image"}
        return face_data(model.input, "canthus.data.synthetic.Synthetic", **settings | options)

    return make


@pytest.fixture
def make_trainer(tmp_path):
    def make(**options):
        settings = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "num_sanity_val_steps": 0}
        settings |= {"enable_model_summary": False, "enable_checkpointing": False, "default_root_dir": tmp_path}
        settings["callbacks"] = [Evaluator("inter_pupil"), DetectionEvaluator(), StageSchedule(), EpochSeed(0)]
        return lightning.Trainer(use_distributed_sampler=False, **settings | options)

    return make


def test_slopes_have_no_weight_decay():
    model = make_model()
    optimizer = model.configure_optimizers()
    slopes = {id(p) for m in model.modules() if isinstance(m, nn.PReLU) for p in m.parameters()}
    assert slopes
    for group in optimizer.param_groups:
        decayed = group["weight_decay"] > 0
        assert group["params"]
        assert all((id(parameter) in slopes) != decayed for parameter in group["params"])
    count = sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
    assert count == 6_962 + 101_468 + 389_040


def test_as_a_landmark_method_it_answers_in_the_square_of_the_given_box():
    model = make_model().eval()
    for net in model.network.stages:
        nn.init.zeros_(net.landmarks.weight)
        net.landmarks.bias.data = torch.tensor([0.2, 0.8, 0.5, 0.3, 0.7, 0.3, 0.3, 0.5, 0.8, 0.8])
    box = torch.tensor([[20.0, 30.0, 60.0, 50.0]])
    batch = Batch(image=torch.rand(1, 3, 96, 96), box=box, index=torch.tensor([0]))
    points = model.estimates(batch).points
    assert len(points) == 3
    square = torch.tensor([[20.0, 20.0, 60.0, 60.0]])
    for stage in points:
        assert torch.allclose(stage, decode_points(square, net.landmarks.bias[None]))
        assert stage[0, 0].tolist() == pytest.approx([28, 32])
    model.train_stages([1])
    assert len(model.estimates(batch).points) == 2


def test_networks_see_the_square_of_the_face(monkeypatch):
    """A bright square on black fills the windows of all networks."""
    model = make_model().eval()
    seen = []
    for net in model.network.stages:
        net.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    image = torch.zeros(1, 3, 96, 96)
    image[:, :, 24:72, 24:72] = 1
    model.estimates(Batch(image=image, box=model.input.reference[None]))
    assert [tuple(windows.shape[2:]) for windows in seen] == [(12, 12), (24, 24), (48, 48)]
    for windows in seen:
        assert torch.allclose(windows, torch.full_like(windows, 127.5 / 128))


def test_windows_come_three_to_one_to_one_to_two(make_data):
    model = make_model()
    data = make_data(model, landmark_faces=8)
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    batch["faces"] = data.to_input(batch["faces"], "train", augment=True)
    model.trainer = SimpleNamespace(datamodule=data)
    model._trainer = SimpleNamespace(datamodule=data)
    model.train_stages([0])
    model.train()
    estimates = model.estimates(batch)
    assert torch.bincount(estimates.windows.kind).tolist() == [12, 4, 4, 8]
    marked = estimates.windows.kind == LANDMARK
    good = marked & (estimates.windows.weight > 0)
    assert estimates.windows.landmarks[good].gt(0).all()
    assert estimates.windows.landmarks[~good].eq(0).all()
    losses = model.losses(batch, estimates)
    assert set(losses) == {"face", "box", "landmarks"}
    model.joint_landmarks = False
    assert model.losses(batch, estimates)["landmarks"] == 0


def test_only_one_network_trains_at_a_time_and_on_images(make_data):
    model = make_model()
    model.train()
    with pytest.raises(ValueError, match=r"one network after the other, not \[1, 2, 3\] together"):
        model.losses({}, model_estimates(model))
    with pytest.raises(ValueError, match=r"data\.view=image"):
        model.estimates(Batch(image=torch.zeros(1, 3, 96, 96), box=model.input.reference[None]))
    with pytest.raises(ValueError, match="5 points"):
        make_model(scheme="68")
    with pytest.raises(ValueError, match="thresholds"):
        make_model(thresholds=(0.5, 0.5))


def model_estimates(model):
    none = torch.zeros(0, dtype=torch.long)
    windows = Windows(torch.zeros(0, 3, 12, 12), none, torch.zeros(0, 4), torch.zeros(0, 10), torch.zeros(0))
    return WindowEstimates(
        [], windows=windows, outputs=Outputs(torch.zeros(0, 2), torch.zeros(0, 4), torch.zeros(0, 10))
    )


def test_three_stages_train_and_a_resumed_run_mines_the_same(make_data, make_trainer, tmp_path):
    model = make_model()
    trainer = make_trainer(max_epochs=3)
    mined = {}
    stop = tmp_path / "middle.ckpt"

    class Watch(lightning.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            mined[trainer.current_epoch] = pl_module.mined
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(stop)

    trainer.callbacks.append(Watch())
    trainer.fit(model, make_data(model))
    assert mined[0] is None
    assert len(mined[1].begin) == len(mined[2].begin) == 13  # an image each, and the end
    evaluator, detection = trainer.callbacks[0], trainer.callbacks[1]
    assert evaluator.result.table.nme.shape == (4, 3)
    assert len(detection.result.stages) == 3
    assert len(detection.result.photo) == 4

    again = make_model()
    resumed = make_trainer(max_epochs=3)
    resumed.callbacks.append(Watch())
    before = mined[2]
    resumed.fit(again, make_data(again), ckpt_path=stop, weights_only=True)
    assert torch.equal(mined[2].box, before.box)
    assert torch.equal(mined[2].begin, before.begin)
    for one, other in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_a_image_learnt_by_heart_gives_its_faces(make_trainer, cache):
    """Fixture 10 of the reference: one picture, trained end to end with mining, and its faces are found."""
    source = Synthetic(size=8, resolution=128)
    scenes = Collages(source, source.whole_images(["train"]), 30, empty=0.0)

    def whole(image):
        boxes = torch.from_numpy(image.boxes).float()
        return boxes[(boxes[:, :2] > 0).all(1) & (boxes[:, 2:] < scenes.size).all(1)]

    image = max(scenes.scenes(), key=lambda scene: len(whole(scene)))
    assert len(whole(image)) >= 3

    class One(Collages):
        def scenes(self):
            return [image]

    one = One(source, scenes.donors, 1, empty=0.0)
    torch.manual_seed(0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR
    model = MTCNNModule(functools.partial(torch.optim.AdamW, lr=4e-3), cosine, candidates=100, dropout=0.0)
    data = ImageDataModule(
        model.input, one, name="one", train_parts=["collages"], scheme="5", validation=0, batch_size=1,
        landmark_faces=24, cache=cache, augmentation=Augmentation(mirror=0, rotation=0, scale=0.1, shift=0.08),
    )  # fmt: skip
    lengths = (700, 200, 100)
    schedule = StageSchedule([{"stages": [stage], "length": length} for stage, length in enumerate(lengths)])
    trainer = make_trainer(max_epochs=sum(lengths), limit_val_batches=0, callbacks=[schedule, EpochSeed(0)])
    trainer.fit(model, data)
    found = Detector(model.network)([torch.from_numpy(one.pixels(image.image))])[0]
    assert (box_iou(whole(image), found.boxes).amax(1) > 0.5).sum() >= 3
    assert box_iou(found.boxes, torch.from_numpy(image.boxes).float()).amax(1).min() > 0.3  # and nothing else


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_overfits_two_hundred_windows(make_data, stage):
    """Fixture 10 of the reference: 200 windows of a few images, learnt by heart."""
    model = make_model(dropout=0.0)
    data = make_data(model, landmark_faces=60, augmentation=None, size=8, validation=0)
    data.prepare_data()
    data.setup("fit")
    model._trainer = SimpleNamespace(datamodule=data)
    model.train_stages([stage])
    model.train()
    batch = next(iter(data.train_dataloader()))
    batch["faces"] = data.to_input(batch["faces"], "train", augment=False)
    windows = model.estimates(batch).windows
    assert len(windows.kind) > 200
    net = model.network.stages[stage]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.004)
    for _ in range(600 if stage == 0 else 150):
        outputs = Outputs(*(part.flatten(1) for part in net(normalised(windows.image))))
        losses = masked_losses(outputs, windows, ohem=False)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        if losses["face"] < 0.015:
            break
    assert losses["face"] < 0.02
