"""The larger language model beside file compressors, in bits per byte of the same held-out files.

From the template's folder; about an hour on two CPU cores:

    python3 tools/uv.py run cookiecutter . --no-input --output-dir build project_slug=lit-language task=language
    python3 tools/uv.py run --directory build/lit-language python ../../benchmarks/language.py
"""

import bz2
import json
import lzma
import zlib
from pathlib import Path

import yaml
from lit_language.__main__ import main
from lit_language.data import DataModule

RUN = Path("runs/large")


def bits_per_byte() -> dict[str, float]:
    settings = yaml.safe_load((RUN / "config.yaml").read_text())["data"]
    text = (DataModule(**settings).folder / "test").read_bytes()
    packed = {
        "gzip -9": zlib.compress(text, 9),
        "bzip2 -9": bz2.compress(text, 9),
        "xz -9": lzma.compress(text, preset=9),
    }
    rates = {name: 8 * len(data) / len(text) for name, data in packed.items()}
    return {**rates, "fit --preset large": json.loads((RUN / "test.json").read_text())["test/bits_per_byte"]}


if __name__ == "__main__":
    if not RUN.exists():
        main(["fit", "--preset", "large", "--run", RUN.name])
    main(["test", "--run", RUN.name])
    for name, rate in bits_per_byte().items():
        print(f"{name:20}{rate:.3f} bits per byte")
