"""Step 2 of SAN: CycleGAN between two domains of style, as a LightningModule that steps its optimisers itself.

Legend: A and B are the domains; G_A turns faces of A into faces of B, G_B the reverse; D_A tells real faces of B from
those of G_A, D_B likewise for A. Images are (B, 3, H, W) in [-1, 1].
"""

from collections.abc import Callable, Iterable, Sequence
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from canthus.data.batch import Batch, InputSpec
from canthus.data.corruptions import face_keys
from canthus.data.sampling import mix
from canthus.geometry.boxes import centred_box
from canthus.models.san.cascade import BOX_SHARE
from canthus.models.san.discovery import read_domains
from canthus.models.san.gan import Discriminator, Generator, ImagePool
from canthus.utils.errors import DataError

if TYPE_CHECKING:
    from canthus.data.datamodule import FaceDataModule

__all__ = ["DomainPairs", "SANStyleModule", "adversarial_loss"]

log = getLogger(__name__)


def adversarial_loss(judged: Tensor, *, real: bool) -> Tensor:
    """LSGAN: squared distance of a discriminator's verdict from 1 or 0."""
    return functional.mse_loss(judged.float(), torch.full_like(judged, float(real), dtype=torch.float32))


class DomainPairs:
    """Order of the faces: in every batch the first half is of A and the second of B.

    An epoch is as long as the larger domain; A is gone through in shuffled order, again and again if need be, and B is
    drawn at random beside it.

    Args:
        first: faces of A.
        second: faces of B.
        batch_size: faces of a batch, even.
        seed: of the run.

    Raises:
        DataError: an odd batch size, or one whose half is larger than both domains.
    """

    def __init__(self, first: Sequence[int], second: Sequence[int], batch_size: int, seed: int) -> None:
        if batch_size % 2:
            raise DataError(f"data.batch_size is {batch_size}; half a batch is of one style and half of the other")
        if batch_size // 2 > max(len(first), len(second)):
            raise DataError(
                f"data.batch_size is {batch_size}, and the styles have {len(first)} and {len(second)} faces: half a "
                "batch has to be smaller"
            )
        self.first, self.second = torch.tensor(first), torch.tensor(second)
        self.half, self.seed = batch_size // 2, seed

    def __call__(self, epoch: int) -> list[int]:
        """Faces of an epoch."""
        random = torch.Generator().manual_seed(mix(self.seed, epoch))
        pairs = max(len(self.first), len(self.second)) // self.half * self.half
        rounds = [
            self.first[torch.randperm(len(self.first), generator=random)] for _ in range(-(-pairs // len(self.first)))
        ]
        first = torch.cat(rounds)[:pairs]
        second = self.second[torch.randint(len(self.second), (pairs,), generator=random)]
        return torch.cat([first.view(-1, self.half), second.view(-1, self.half)], 1).flatten().tolist()


class SANStyleModule(lightning.LightningModule):
    """CycleGAN.

    Args:
        optimizer: takes parameters, returns an optimiser; made twice, for generators and discriminators. The released
            code: Adam, 2e-4, betas 0.5 and 0.999.
        clusters: run folder of ``model=san_classifier``, which says what A and B are.
        width: factor of the channels.
        blocks: residual blocks of a generator.
        size: side of the images, pixels; divides by 4.
        cycle: weight of the cycle loss (lambda, 10).
        identity: weight of the identity loss, as a share of ``cycle``.
        pool: images in each discriminator's pool.
        constant: share of the epochs at the full rate, which then falls to 0 in a line; the released code: 98 of 200.
    """

    name = "san_style"
    used_by: ClassVar[str] = "model=san model.generators"
    """Where the next step names this one's run."""

    def __init__(
        self,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        clusters: str,
        width: float = 1.0,
        blocks: int = 6,
        size: int = 128,
        cycle: float = 10.0,
        identity: float = 0.1,
        pool: int = 50,
        constant: float = 0.49,
    ) -> None:
        super().__init__()
        if size % 4:
            raise ValueError(f"model.size is {size}; the generators need a multiple of 4")
        self.save_hyperparameters(ignore=["optimizer"])
        self.automatic_optimization = False
        self.generators = nn.ModuleList(Generator(width, blocks) for _ in "AB")
        self.discriminators = nn.ModuleList(Discriminator(width) for _ in "AB")
        self.pools = nn.ModuleList(ImagePool(pool, size) for _ in "AB")
        self._optimizer, self.clusters = optimizer, clusters
        self.cycle, self.identity, self.constant = cycle, identity, constant
        self.input = InputSpec(size, 3, centred_box(size, BOX_SHARE), "signed")
        self.domains: tuple[list[int], list[int]] = ([], [])

    def setup(self, stage: str) -> None:
        """Find the faces of both domains among the training faces, and have them served in pairs.

        Raises:
            DataError: clusters of other faces, or more than one process.
        """
        if stage != "fit":
            return
        if self.trainer.world_size > 1:
            raise DataError("model=san_style trains in one process: its batches are pairs; set trainer.devices=1")
        data: FaceDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        self.domains = read_domains(Path(self.clusters), face_keys(data.faces("train")), "model.clusters")
        data.order = DomainPairs(*self.domains, data.batch_size, data.seed)
        log.info("%d faces of style A, %d of style B", *map(len, self.domains))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimiser for all generators, one for all discriminators: D_A and D_B share no weight."""
        epochs = self.trainer.max_epochs
        assert epochs is not None
        begin = round(self.constant * epochs)

        def rate(epoch: int) -> float:
            return min(1.0, (epochs - epoch) / max(epochs - begin, 1))

        optimizers = [self._optimizer(networks.parameters()) for networks in (self.generators, self.discriminators)]
        return optimizers, [LambdaLR(optimizer, rate) for optimizer in optimizers]

    def generator_losses(self, a: Tensor, b: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Terms of the generators' loss, and the images that they have made: of B's style from A, and the reverse.

        Args:
            a: faces of A.
            b: faces of B.
        """
        to_b, to_a = self.generators
        fake_b, fake_a = to_b(a), to_a(b)
        terms = {
            "adversarial_A": adversarial_loss(self.discriminators[0](fake_b), real=True),
            "adversarial_B": adversarial_loss(self.discriminators[1](fake_a), real=True),
            "cycle_A": self.cycle * functional.l1_loss(to_a(fake_b), a),
            "cycle_B": self.cycle * functional.l1_loss(to_b(fake_a), b),
        }
        if self.identity:  # a face that has the style already stays as it is
            terms["identity_A"] = self.identity * self.cycle * functional.l1_loss(to_b(b), b)
            terms["identity_B"] = self.identity * self.cycle * functional.l1_loss(to_a(a), a)
        return terms, fake_b, fake_a

    def discriminator_losses(self, a: Tensor, b: Tensor, fake_b: Tensor, fake_a: Tensor) -> dict[str, Tensor]:
        """Half the squared errors about real images and about images from the pools."""
        terms = {}
        for number, (real, fake) in enumerate(((b, fake_b), (a, fake_a))):
            judge = self.discriminators[number]
            old = self.pools[number](fake).to(real.dtype)
            errors = adversarial_loss(judge(real), real=True) + adversarial_loss(judge(old), real=False)
            terms[f"discriminator_{'AB'[number]}"] = 0.5 * errors
        return terms

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """The generators' step, then that of the discriminators."""
        a, b = batch["image"].chunk(2)
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        of_generators, of_discriminators = optimizers
        self.toggle_optimizer(of_generators)
        terms, fake_b, fake_a = self.generator_losses(a, b)
        self._step(of_generators, terms)
        self.untoggle_optimizer(of_generators)
        self.toggle_optimizer(of_discriminators)
        judged = self.discriminator_losses(a, b, fake_b, fake_a)
        self._step(of_discriminators, judged)
        self.untoggle_optimizer(of_discriminators)
        values = {f"train/{name}": value.detach() for name, value in (terms | judged).items()}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(a))
        cycle = values["train/cycle_A"] + values["train/cycle_B"]
        self.log("cycle", cycle, prog_bar=True, logger=False, batch_size=len(a))

    def _step(self, optimizer: LightningOptimizer, terms: dict[str, Tensor]) -> None:
        optimizer.zero_grad()
        self.manual_backward(torch.stack(list(terms.values())).sum())
        optimizer.step()

    def on_train_epoch_end(self) -> None:
        """Both rates fall together."""
        schedulers = self.lr_schedulers()
        assert isinstance(schedulers, list)
        self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"])
        for scheduler in schedulers:
            scheduler.step()  # type: ignore[call-arg]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """How far held-out faces, of any style, come back from the round trip, grey levels of [-1, 1]."""
        image, (to_b, to_a) = batch["image"], self.generators
        back = (to_a(to_b(image)) - image).abs().mean() + (to_b(to_a(image)) - image).abs().mean()
        self.log("val/cycle", back / 2, batch_size=len(image))

    @torch.no_grad()
    def trips(self, image: Tensor, domain: int) -> list[Tensor]:
        """A round trip in pictures: as it is, in the other style, back again, and aggregated.

        Args:
            image: faces of one domain.
            domain: 0 for A, 1 for B.
        """
        there, back = self.generators[domain], self.generators[1 - domain]
        made = there(image)
        return [image, made, back(made), (made + back(image)) / 2]
