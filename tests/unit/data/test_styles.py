"""Renderings keep geometry and range, do what their names say, and reach the batches of a data module."""

import pytest
import torch

from canthus.data import face_data
from canthus.data.augment import Augmentation
from canthus.data.batch import InputSpec
from canthus.data.styles import STYLES, Styles, render
from canthus.geometry.boxes import centred_box
from canthus.utils.errors import DataError


def faces(count: int = 4, channels: int = 3) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, 8, 8, generator=random)
    return torch.nn.functional.interpolate(coarse, size=64, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("style", STYLES)
def test_renderings_are_pictures_and_the_same_every_time(style: str) -> None:
    image = faces()
    before = image.clone()
    rendered = render(image, style)
    assert rendered.shape == image.shape
    assert float(rendered.min()) >= 0
    assert float(rendered.max()) <= 1
    assert torch.equal(rendered, render(image, style))
    assert torch.equal(image, before)
    assert torch.equal(rendered, image) == (style == "original")
    assert render(faces(channels=1), style).shape == (4, 1, 64, 64)


@pytest.mark.parametrize("style", STYLES)
def test_renderings_move_nothing(style: str) -> None:
    """A mirrored picture is rendered to the mirrored rendering."""
    image = faces()
    torch.testing.assert_close(render(image.flip(-1), style).flip(-1), render(image, style), atol=2e-3, rtol=0)


def test_styles_are_what_they_are_called() -> None:
    image = faces()
    grey, light, dark, sketch = (render(image, name) for name in ("grey", "light", "dark", "sketch"))
    assert torch.equal(grey[:, 0], grey[:, 2])
    torch.testing.assert_close(grey[:, 0], 0.299 * image[:, 0] + 0.587 * image[:, 1] + 0.114 * image[:, 2])
    assert float(light.mean()) > float(image.mean()) + 0.1
    assert float(dark.mean()) < float(image.mean()) - 0.1
    assert torch.equal(sketch[:, 0], sketch[:, 1])
    assert len(render(image, "poster").unique()) <= 6


def test_a_sketch_is_white_paper_with_dark_strokes() -> None:
    image = torch.full((1, 3, 64, 64), 0.7)
    image[..., 30:33] = 0.1
    sketch = render(image, "sketch")[0, 0]
    assert float(sketch[:, :20].min()) > 0.99
    assert float(sketch[:, 31].max()) < 0.3


def test_faces_take_turns_in_evaluation_and_draw_in_training() -> None:
    image, styles = faces(6), Styles(["original", "grey"])
    shown = styles(image, torch.arange(6), None)
    assert torch.equal(shown[::2], image[::2])
    assert torch.equal(shown[1::2], render(image[1::2], "grey"))
    drawn = [styles(image, torch.arange(6), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2, 3)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2]) or not torch.equal(drawn[0], drawn[3])


def test_an_unknown_style_is_named() -> None:
    with pytest.raises(DataError, match=r"data.styles: there is no style 'skech'; there are: original, sketch"):
        Styles(["original", "skech"])


def module(cache, **options):
    made = face_data(
        InputSpec(48, 3, centred_box(48, 0.7), "signed"), "canthus.data.synthetic.Synthetic", name="synthetic", size=20,
        resolution=64, batch_size=4, train_parts=["train"], test_parts=["test"], validation=0.25, cache=cache,
        extent=2.0, **options,
    )  # fmt: skip
    made.prepare_data()
    made.setup("fit")
    return made


def test_a_data_module_shows_styles(tmp_path) -> None:
    plain, grey = module(tmp_path), module(tmp_path, styles=["grey"])
    before, after = plain.inputs_of("val", [0, 1]), grey.inputs_of("val", [0, 1])
    expected = render((before["image"] + 1) / 2, "grey") * 2 - 1
    torch.testing.assert_close(after["image"], expected, atol=1e-5, rtol=0)
    assert torch.equal(before["landmarks"], after["landmarks"])
    changed = module(tmp_path, styles=["grey"], augmentation=Augmentation(colour=0.5))
    batch = changed.to_input(next(iter(changed.train_dataloader())), "train", augment=True)
    assert (batch["image"][:, 0] - batch["image"][:, 2]).abs().max() > 0.05  # colour changes the rendering


def test_training_on_test_images_is_said_aloud(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    made = module(tmp_path, include_test=True)
    assert {face.part for face in made.faces("train")} == {"train", "test"}
    assert "TEST IMAGES (test) ARE TRAINED ON" in caplog.text
    caplog.clear()
    assert {face.part for face in module(tmp_path).faces("train")} == {"train"}
    assert "TEST" not in caplog.text


def test_a_model_may_choose_the_order_of_faces(tmp_path) -> None:
    made = module(tmp_path)
    made.order = lambda epoch: [epoch, 1, 2, 3, 0, 0, 1, 1, 5]
    loader = made.train_dataloader()
    loader.sampler.set_epoch(4)
    assert [batch["index"].tolist() for batch in loader] == [[4, 1, 2, 3], [0, 0, 1, 1]]
    assert made.steps_per_epoch == 2
