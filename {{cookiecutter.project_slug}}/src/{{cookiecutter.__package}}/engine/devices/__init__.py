"""On how many devices a training runs, and what it needs there."""
