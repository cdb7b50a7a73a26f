"""How many requests per second `recipes/serve` answers, and how soon, beside a plain loop over the same model.

    python3 benchmarks/serve.py              # from the template's folder: bakes, measures, writes docs/speed.md

The requests come from a process of their own, over one connection or many; each connection sends its next request when
it has the answer to the one before.
"""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from report import ENVIRONMENT, ROOT, UV, bake, table, where, write_section

RECIPE = ROOT / "recipes/serve"
TASKS = ("regression", "vision", "language")
CONNECTIONS = (1, 16, 64)
ROUNDS, SECONDS = 3, 2.0
COSTS = ("us of processor time each, plain loop", "served")
LAST = 0.99  # of the requests
TEXT = """\
Requests with one input each, for {seconds} seconds, the median of {rounds} rounds; in brackets, the time in which 99%
of them had their answer.
{where}, by `python3 benchmarks/serve.py`.

{table}

The plain loop gives the inputs to the same `model.onnx` one by one, in the process that has them: no HTTP, no JSON. A
request to the served model passes through three processes of LitServe, which share the cores with the process that
asks. Their processor time is counted together, with most connections.
"""


def main() -> None:
    rows = []
    for task in TASKS:
        project = bake(f"serve-{task}", task=task, logger="csv")
        readme = (RECIPE / "README.md").read_text(encoding="utf-8")
        added = shlex.split(re.search(r"^uv add (.*)$", readme, re.MULTILINE)[1])
        quiet = {"check": True, "capture_output": True, "encoding": "utf-8", "env": ENVIRONMENT}
        subprocess.run([*UV, "add", "--directory", str(project), *added], **quiet)
        words = [*UV, "run", "--directory", str(project), "--extra", "export", "python", __file__, "measure"]
        done = subprocess.run(words, **quiet)
        rows.append([task, *json.loads(done.stdout.splitlines()[-1])])
    served = [f"served, {count} connection{'s' if count > 1 else ''}" for count in CONNECTIONS]
    columns = ["requests per second (ms)", "plain loop", *served, *COSTS]
    text = TEXT.format(seconds=f"{SECONDS:.0f}", rounds=ROUNDS, where=where(), table=table(columns, rows))
    write_section("A served model", text)


def measure() -> list[str]:
    """In a project: the cells of its row."""
    program = [sys.executable, "-m", "lit_project"]
    limits = ["--trainer.max_epochs=1", "--trainer.max_steps=3", "--trainer.val_check_interval=1.0"]
    limits += ["--trainer.limit_train_batches=3", "--trainer.limit_val_batches=1"]
    subprocess.run([*program, "fit", "--run=first", *limits], check=True)
    subprocess.run([*program, "export", "--run=first", "--format=onnx"], check=True)
    exported = Path("runs/first/export")
    (inputs,) = json.loads((exported / "signature.json").read_text())["inputs"]
    example = {"shape": sizes(inputs["shape"]), "dtype": inputs["dtype"]}
    ways = {0: [], **{count: [] for count in CONNECTIONS}}
    _, idle = served(exported, example, 0)
    for _ in range(ROUNDS):
        ways[0].append(loop(exported, **example))
        for count in CONNECTIONS:
            times, seconds = served(exported, example, count)
            ways[count].append((times, seconds - idle))
    cells = []
    for rounds in ways.values():
        rate = statistics.median(len(times) / SECONDS for times, _ in rounds)
        last = statistics.median(sorted(times)[int(LAST * len(times))] for times, _ in rounds)
        cells.append(f"{rate:,.0f} ({1000 * last:.3g})")
    for count in (0, CONNECTIONS[-1]):
        cost = statistics.median(seconds / len(times) for times, seconds in ways[count])
        cells.append(f"{1e6 * cost:,.0f}")
    return cells


def sizes(shape: list[int | str]) -> list[int]:
    """Of a batch with one input; what is free is that of the language task's context."""
    return [1, *(size if isinstance(size, int) else 128 for size in shape[1:])]


def loop(exported: Path, shape: list[int], dtype: str) -> tuple[list[float], float]:
    """Seconds of each answer of a plain loop, and its processor time."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(exported / "model.onnx", providers=["CPUExecutionProvider"])
    inputs = np.ones(shape, dtype)
    used, times, end = time.process_time(), [], time.perf_counter() + SECONDS
    while (begun := time.perf_counter()) < end:
        session.run(None, {"inputs": inputs})
        times.append(time.perf_counter() - begun)
    return times, time.process_time() - used


def served(exported: Path, example: dict, connections: int) -> tuple[list[float], float]:
    """Seconds of each answer of a server, asked over so many connections, and the server's processor time."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(RECIPE / "serve.py"), str(exported), "--port", str(port)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    while not is_ready(port):
        time.sleep(0.1)
    asking = [sys.executable, __file__, "ask", str(port), str(connections), json.dumps(example)]
    times = json.loads(subprocess.run(asking, check=True, capture_output=True).stdout)
    process.send_signal(signal.SIGTERM)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return times, usage.ru_utime + usage.ru_stime


def is_ready(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health").status == 200
    except OSError:
        return False


async def ask(port: int, connections: int, shape: list[int], dtype: str) -> list[float]:
    """Seconds of each answer, over all connections."""
    inputs: list | float = 1.0 if dtype.startswith("float") else 1
    for size in reversed(shape):
        inputs = [inputs] * size
    body = json.dumps({"inputs": inputs}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    request = head.encode() + b"\r\n\r\n" + body
    times, end = [], time.perf_counter() + SECONDS

    async def ask_in_turn() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (begun := time.perf_counter()) < end:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", answer)[1]))
            times.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(ask_in_turn() for _ in range(connections)))
    return times


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure()))
    elif sys.argv[1:2] == ["ask"]:
        print(json.dumps(asyncio.run(ask(int(sys.argv[2]), int(sys.argv[3]), **json.loads(sys.argv[4])))))
    else:
        main()
