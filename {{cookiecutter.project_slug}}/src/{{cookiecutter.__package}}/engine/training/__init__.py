"""What a training does: steps, batches, callbacks, metrics, and going on where it stopped."""
