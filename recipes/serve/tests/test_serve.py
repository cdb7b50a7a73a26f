"""What serve.py promises: the model's answers, a 4xx for what cannot be used, batches, and nothing left behind."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
import torch
from conftest import DATA, NAME, SHORT, SMALL_BATCHES

from lit_project import load
from lit_project.__main__ import main

ROOT = Path(__file__).parents[1]
JSON = {"Content-Type": "application/json"}
# serve.py where there is neither torch nor the project, and with a note of what is computed together.
PROGRAM = f"""
import sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "pytorch_lightning", "lit_project"):
            raise ImportError(name + " is forbidden here")
sys.meta_path.insert(0, Forbidden())
sys.path.insert(0, {str(ROOT)!r})
import serve
class Exported(serve.Exported):
    def compute(self, requests):
        print("together:", len(requests), flush=True)
        return super().compute(requests)
serve.Exported = Exported
if __name__ == "__main__":
    serve.main()
"""


class Server:
    """serve.py in a process of its own, once it is ready, with its output in a file."""

    def __init__(self, folder, exported, program=ROOT / "serve.py"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.mark = f"{NAME}-{uuid.uuid4()}".encode()  # inherited by all its processes
        self.log = folder / "log.txt"
        command = [sys.executable, program, exported, "--port", str(self.port)]
        environment = {**os.environ, "MARK": self.mark.decode()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        wait(self.is_ready)

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            return self.ask("GET", "/health")[0] == 200

    def ask(self, method, path, body=b"", headers=JSON):
        """The status and the content of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        with contextlib.suppress(ValueError):
            return response.status, json.loads(text)
        return response.status, text

    def predict(self, inputs):
        return self.ask("POST", "/predict", json.dumps({"inputs": inputs}))

    def under_way(self, inputs, meanwhile=lambda: None):
        """The answers to requests that all wait for the process that computes while something happens."""
        (worker,) = [pid for pid in self.processes() if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        answers = {}
        threads = [
            threading.Thread(target=lambda n=n, one=one: answers.update({n: self.predict(one)}))
            for n, one in enumerate(inputs)
        ]
        os.kill(worker, signal.SIGSTOP)
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        meanwhile()
        time.sleep(0.3)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)
        for thread in threads:
            thread.join()
        return [answers[number] for number in range(len(inputs))]

    def processes(self):
        """Those that run; one that has ended has no environment."""
        found = []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                found += [int(environment.parent.name)] if self.mark in environment.read_bytes() else []
        return found


def wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    shutil.copytree(DATA, folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(["fit", "--run=one", *SHORT, *SMALL_BATCHES])
        main(["export", "--run=one", "--format=onnx"])
    return folder / "runs/one/export"


@pytest.fixture(scope="module")
def server(tmp_path_factory, exported):
    folder = tmp_path_factory.mktemp("server")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    started = Server(folder, exported, program)
    yield started
    started.process.terminate()
    assert started.process.wait(30) == 0


@pytest.fixture
def examples(parts):
    """Raw inputs as the DataModule gives them, each as a batch of one."""
    return [example.unsqueeze(0) for example in parts[1].examples()]


def test_answers_are_those_of_the_model(server, exported, examples):
    model = load(exported.parent)
    for inputs in (*examples, examples[0].repeat_interleave(3, dim=0)):
        status, answers = server.predict(inputs.tolist())
        assert status == 200
        assert_close(answers, model(inputs))


def assert_close(answers, expected):
    """The same but for rounding, which differs with the size of a batch."""
    assert list(answers) == list(expected)
    for name, answer in expected.items():
        answer = torch.as_tensor(answer)
        torch.testing.assert_close(torch.tensor(answers[name], dtype=answer.dtype), answer, rtol=1e-4, atol=1e-5)


def filled(inputs, value):
    """The same lists with another value at each place."""
    return [filled(part, value) for part in inputs] if isinstance(inputs, list) else value


def bad_requests(good, floats):
    """By what is wrong: the status that it must get, the body, and the headers."""

    def named(inputs):
        return json.dumps({"inputs": inputs})

    wrong = {"true": True, "null": None, "text": "1", "objects": {}, "infinite": 1e999, "a googol": 10**100}
    wrong |= {} if floats else {"a fraction": 0.5, "negative": -1}
    return {
        "no body": (400, "", JSON),
        "no JSON": (400, '{"inputs": [', JSON),
        "no text": (400, b'{"inputs": \xff}', JSON),
        "too deep": (400, named(0).replace("0", "[" * 100_000 + "]" * 100_000), JSON),
        "deep": (422, named(0).replace("0", "[" * 50 + "1" + "]" * 50), JSON),
        "too many digits": (400, named(0).replace("0", "1" * 9999), JSON),
        "no object": (422, json.dumps(good), JSON),
        "another name": (422, json.dumps({"input": good}), JSON),
        "a name too many": (422, json.dumps({"inputs": good, "x": 1}), JSON),
        "a number": (422, named(1), JSON),
        "no batch": (422, named(good[0]), JSON),
        "a dimension too many": (422, named([good]), JSON),
        "ragged": (422, named([good[0], good[0] + good[0]]), JSON),
        "ragged in depth": (422, named([good[0], 1]), JSON),
        "empty": (422, named([]), JSON),
        "empty lists": (422, named([[], []]), JSON),
        "nan": (422, named(filled(good, float("nan"))), JSON),
        **{what: (422, named(filled(good, value)), JSON) for what, value in wrong.items()},
        "one of another type": (422, named(good).replace("[", "[true, ", 1), JSON),
        "a long body": (413, " " * 50_000_000, JSON),
        "a body of unknown length": (413, iter([b"[1, " * 100_000] * 100), JSON),
        "many values": (413, named(good * 70_000), JSON),
        "no type": (415, named(good), {}),
        "another type": (415, named(good), {"Content-Type": "text/plain"}),
        "a form": (415, "inputs=1", {"Content-Type": "application/x-www-form-urlencoded"}),
    }


def test_what_cannot_be_used_gets_a_4xx_with_one_line(server, examples):
    good = examples[0].tolist()
    for what, (expected, body, headers) in bad_requests(good, examples[0].is_floating_point()).items():
        status, content = server.ask("POST", "/predict", body, headers)
        print(f"{what:25} {status} {content}")
        assert status == expected, what
        assert content.keys() == {"detail"}, what
        assert 10 < len(content["detail"].splitlines()[0]) == len(content["detail"]) < 500, what
    assert server.predict(good)[0] == 200
    assert "Traceback" not in server.log.read_text()


def test_largest_numbers_and_a_client_that_leaves_are_no_error_of_the_server(server, examples):
    largest = 3e38 if examples[0].is_floating_point() else torch.iinfo(examples[0].dtype).max
    assert server.predict(filled(examples[0].tolist(), largest))[0] in (200, 422)
    head = b"POST /predict HTTP/1.1\r\nHost: me\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head)
    assert server.predict(examples[0].tolist())[0] == 200
    assert "Traceback" not in server.log.read_text()


def test_requests_that_wait_are_computed_together_and_a_bad_one_spoils_none(server, examples):
    good = examples[0].tolist()
    _, expected = server.predict(good)
    begun = len(server.log.read_text())
    for status, answers in server.under_way([good] * 8):
        assert status == 200
        assert_close(answers, expected)
    together = [int(line.split()[1]) for line in server.log.read_text()[begun:].splitlines() if "together:" in line]
    assert sum(together) == 8
    assert max(together) >= 4
    if not examples[0].is_floating_point():  # an index that the model may not have
        (before, _), _, (after, _) = server.under_way([good, filled(good, torch.iinfo(examples[0].dtype).max), good])
        assert (before, after) == (200, 200)


def test_signature_is_shown_and_nothing_is_written_or_offered_besides(server, exported):
    status, info = server.ask("GET", "/info")
    assert (status, info["model"]) == (200, json.loads((exported / "signature.json").read_text()))
    assert [server.ask("GET", path)[0] for path in ("/docs", "/openapi.json", "/nosuch")] == [404] * 3
    assert server.ask("GET", "/predict")[0] == 405
    assert server.ask("POST", "/shutdown")[0] == 404
    assert {path.name for path in server.log.parent.iterdir()} <= {"log.txt", "program.py", "__pycache__"}
    address = f"{socket.inet_aton('127.0.0.1')[::-1].hex().upper()}:{server.port:04X}"
    sockets = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if " 0A " in line]
    assert [local for local in sockets if local.endswith(f":{server.port:04X}")] == [address]


def test_port_that_is_in_use_and_folder_that_is_no_export_are_one_line(server, exported, tmp_path):
    for arguments in ([exported, "--port", str(server.port)], [tmp_path], [exported, "--port", "80"]):
        command = [sys.executable, ROOT / "serve.py", *arguments]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("serve.py: error: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_server_that_is_stopped_answers_what_is_under_way_and_leaves_no_process(tmp_path, exported, examples, signum):
    server = Server(tmp_path, exported)
    good = examples[0].tolist()
    assert len(server.processes()) > 1
    if signum == signal.SIGKILL:
        server.process.kill()
    else:
        # To all of its group, as Ctrl-C in a terminal does.
        answers = server.under_way([good] * 4, lambda: os.killpg(server.process.pid, signum))
        assert [status for status, _ in answers] == [200] * 4
    assert server.process.wait(30) == (-signum if signum == signal.SIGKILL else 0)
    wait(lambda: not server.processes(), seconds=10)
