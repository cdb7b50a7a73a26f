"""How tests/data/encoder was made: `python pretrain.py FOLDER`, in eight minutes of one core.

A small DistilBERT learns to guess masked bytes in lines of the packages that are installed. The standard library, which
the recipe is about, is not among them.
"""

import math
import random
import sys
import sysconfig
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, ByT5Tokenizer, DistilBertConfig, DistilBertForMaskedLM

SECONDS = 450  # of the processor
CONTEXT = 96
BATCH = 128
LEARNING_RATE = 4e-3


def package_lines() -> list[str]:
    """Lines of code, comments and docstrings, without the white space around them."""
    files = sorted(Path(sysconfig.get_path("purelib")).rglob("*.py"))
    texts = (file.read_text(encoding="utf-8", errors="ignore") for file in files if "test" not in str(file))
    return [stripped for text in texts for line in text.splitlines() if 8 <= len(stripped := line.strip()) < CONTEXT]


def spans(ids: Tensor) -> Tensor:
    """Where to mask: runs of one to four bytes, about a sixth of all."""
    begin = torch.rand(ids.shape) < 0.07
    chosen = begin.clone()
    for length in range(1, 4):
        chosen[:, length:] |= begin[:, :-length] & (torch.rand(len(ids), 1) < 1 - length / 4)
    return chosen & (ids > 2)  # no padding, no end of a line


def main(folder: str) -> None:
    random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    ByT5Tokenizer(extra_ids=1).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    mask = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT, "dim": 32, "hidden_dim": 64}
    config = DistilBertConfig(**sizes, n_layers=2, n_heads=2, dropout=0.0, attention_dropout=0.0)
    model = DistilBertForMaskedLM(config)
    head = nn.Sequential(model.vocab_transform, nn.GELU(), model.vocab_layer_norm, model.vocab_projector)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98))
    lines = package_lines()
    begun, done, losses = time.process_time(), 0.0, []
    while done < 1:
        texts = random.sample(lines, BATCH)
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
        ids, chosen = inputs["input_ids"], spans(inputs["input_ids"])
        states = model.distilbert(ids.masked_fill(chosen, mask), inputs["attention_mask"]).last_hidden_state
        loss = F.cross_entropy(head(states[chosen]), ids[chosen])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1, len(losses) / 300, math.cos(math.pi / 2 * done) ** 2)
        optimizer.step()
        losses.append(loss.item())
        done = (time.process_time() - begun) / SECONDS
        if len(losses) % 100 == 0:
            print(f"{len(losses)} steps, {sum(losses[-100:]) / 100 / math.log(2):.3f} bits per masked byte", flush=True)
    config.update({"dropout": 0.1, "attention_dropout": 0.1})  # for fine-tuning, which has fewer samples
    model.distilbert.save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
