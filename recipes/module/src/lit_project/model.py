"""Model, the LightningModule: one from elsewhere, as it is, and names for what it answers."""

from torch import Tensor

from .lit_autoencoder import LitAutoEncoder


class Model(LitAutoEncoder):
    """An autoencoder, which answers with the numbers into which it squeezes a picture."""

    def answers(self, outputs: Tensor) -> dict[str, Tensor]:
        """What `predict --input` writes, by column: (batch, code) -> what each picture is squeezed into."""
        return {"code": outputs}
