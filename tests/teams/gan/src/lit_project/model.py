"""Model: two networks that learn against each other (Goodfellow et al. 2014), each with an optimizer of its own."""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Model(pl.LightningModule):
    """A generator of points on a circle, and a discriminator that tells them from real ones.

    Args:
        noise: numbers from which a point is made.
        width: of the hidden layers.
        lr: learning rate of both.
    """

    def __init__(self, noise: int, width: int, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.automatic_optimization = False
        self.noise = noise
        self.lr = lr
        self.generator = nn.Sequential(nn.Linear(noise, width), nn.ReLU(), nn.Linear(width, 2))
        self.discriminator = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(width, 1))

    def forward(self, noise: Tensor) -> Tensor:
        return self.generator(noise)

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        (real,) = batch
        generators, discriminators = self.optimizers()
        made = self(torch.randn(len(real), self.noise, device=real.device))

        self.toggle_optimizer(discriminators)
        judged = torch.cat([self.discriminator(real), self.discriminator(made.detach())])
        truth = torch.cat([torch.ones(len(real), 1), torch.zeros(len(real), 1)]).to(judged)
        loss = F.binary_cross_entropy_with_logits(judged, truth)
        discriminators.zero_grad()
        self.manual_backward(loss)
        discriminators.step()
        self.untoggle_optimizer(discriminators)
        self.log("train/discriminator", loss)

        self.toggle_optimizer(generators)
        loss = F.softplus(-self.discriminator(made)).mean()
        generators.zero_grad()
        self.manual_backward(loss)
        generators.step()
        self.untoggle_optimizer(generators)
        self.log("train/generator", loss, prog_bar=True)

    def predict_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        parts = (self.generator, self.discriminator)
        return [torch.optim.Adam(part.parameters(), lr=self.lr, betas=(0.5, 0.9)) for part in parts]
