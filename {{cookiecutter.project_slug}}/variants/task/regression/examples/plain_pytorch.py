"""The reference run as a plain PyTorch loop: the same data, steps and weights, with nothing of Lightning.

The README shows where each part went. Run it: python examples/plain_pytorch.py
"""

import math

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

EPOCHS, PATIENCE, PEAK_LR, WARMUP = 100, 20, 0.25, 0.05


def main() -> dict[str, Tensor]:
    """Train, print the test error, and return the weights: {"weight": (1, 1), "bias": (1,)} float32."""
    torch.manual_seed(0)
    network = nn.Linear(1, 1)
    data = load_diabetes()
    rows = torch.tensor(data.data[:, [2]] * math.sqrt(len(data.data)), dtype=torch.float32)
    targets = torch.tensor(data.target, dtype=torch.float32).unsqueeze(1)
    training = TensorDataset(rows[:-20], targets[:-20])
    order = torch.Generator()
    batches = DataLoader(training, batch_size=422, sampler=RandomSampler(training, generator=order))

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=PEAK_LR)
    best, epochs_without_better, step = math.inf, 0, 0
    for epoch in range(EPOCHS):
        order.manual_seed(epoch)
        network.train()
        for features, target in batches:
            for group in optimizer.param_groups:
                group["lr"] = PEAK_LR * warmup_cosine(step, EPOCHS * len(batches))
            loss = F.mse_loss(network(features.to(device)), target.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        print(f"epoch {epoch}: training loss {loss.item():.2f}")
        epochs_without_better = 0 if loss.item() < best else epochs_without_better + 1
        best = min(best, loss.item())
        if epochs_without_better == PATIENCE:
            break

    network.eval()
    with torch.no_grad():
        error = F.mse_loss(network(rows[-20:].to(device)), targets[-20:].to(device))
    print(f"mean squared error on the last 20 rows: {error.item():.2f}")
    return network.state_dict()


def warmup_cosine(step: int, total_steps: int) -> float:
    """Fraction of the peak learning rate at `step`: a straight rise, then half a cosine."""
    rise = WARMUP * total_steps
    if step < rise:
        return step / rise
    return (1 + math.cos(math.pi * (step - rise) / (total_steps - rise))) / 2


if __name__ == "__main__":
    main()
