"""Model, the LightningModule: one from elsewhere, as it is."""

from .lit_autoencoder import LitAutoEncoder as Model

__all__ = ["Model"]
