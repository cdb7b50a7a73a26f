"""What a training leaves on the disk: run folders and checkpoints."""
