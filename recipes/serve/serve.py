"""Serve an exported model: POST /predict answers a batch of raw inputs, GET /info has its signature, GET /health.

python serve.py runs/first/export --port 8000
"""

import argparse
import json
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
from fastapi import Depends, HTTPException, Request, Response
from litserve import LitAPI, LitServer
from litserve.loops import BatchedLoop
from starlette.requests import ClientDisconnect

MAX_SIZE = 1024  # of the batch, and of any other dimension that the signature leaves free
MAX_VALUES = 2**16  # in a request, and in what is computed together; one input may always have as many as it needs
BYTES_PER_VALUE = 32  # of a body, at most; a float64 has up to 25 characters
UNREAD = 2**26  # bytes of a body that are passed over: many clients read no answer before they have sent it


async def checked(request: Request) -> np.ndarray:
    """The inputs in a request's body. HTTPException with a 4xx and one line if they cannot be used."""
    api: Exported = request.app.state.api
    name, most = api.inputs["name"], api.max_values
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the body must be JSON, with the header Content-Type: application/json")
    body, received = bytearray(), 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received <= most * BYTES_PER_VALUE:
                body += chunk
            elif received > UNREAD:
                break
        if received > most * BYTES_PER_VALUE:
            raise HTTPException(413, f"the body has more than {most * BYTES_PER_VALUE} bytes")
        if body.count(b",") >= most:  # counted before an object is made of each value
            raise HTTPException(413, f"the body has more than {most} values")
        content = json.loads(body)
    except ClientDisconnect:
        raise HTTPException(400, "the body is not complete") from None
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is no JSON: {error}") from None
    if not isinstance(content, dict) or content.keys() != {name}:
        found = f"has {', '.join(content)[:80]!r}" if isinstance(content, dict) else "is none"
        raise HTTPException(422, f"the body must be an object with the name {name!r} alone, and {found}")
    try:
        return array_of(content[name], api.dtype, api.inputs["shape"])
    except ValueError as error:
        raise HTTPException(422, f"{name!r} {error}") from None


def array_of(values: Any, dtype: np.dtype, shape: list[int | str]) -> np.ndarray:
    """Nested lists as an array. ValueError unless they have this dtype and shape; a size with a name is free."""
    array = np.array(values, dtype=object)
    types = set(map(type, array.reshape(-1)))
    if list in types:  # numpy leaves lists in it that do not match those beside them
        raise ValueError("is ragged: lists beside each other must have the same length")
    if not array.size:
        raise ValueError("is empty")
    if wrong := types - {"f": {int, float}, "b": {bool}}.get(dtype.kind, {int}):
        raise ValueError(f"must hold {dtype} alone, and has {', '.join(sorted(kind.__name__ for kind in wrong))}")
    sizes = zip(shape, array.shape, strict=False)
    fits = [found <= MAX_SIZE if isinstance(size, str) else found == size for size, found in sizes]
    if array.ndim != len(shape) or not all(fits):
        asked = ", ".join(f"{size} <= {MAX_SIZE}" if isinstance(size, str) else str(size) for size in shape)
        raise ValueError(f"must have the shape [{asked}], and has {list(array.shape)}")
    # An integer is an index or a grey level. ONNX takes a negative index for a place from the end, torch does not.
    high = float(np.finfo(dtype).max) if dtype.kind == "f" else 1 if dtype.kind == "b" else int(np.iinfo(dtype).max)
    low = -high if dtype.kind == "f" else 0
    if not all(low <= value <= high for value in array.flat):  # nan is not
        raise ValueError(f"must be finite and from {low} to {high}, for {dtype}")
    return array.astype(dtype)


class Exported(LitAPI):
    """An exported folder. Requests that come while an answer is computed are computed together next."""

    def __init__(self, folder: Path) -> None:
        super().__init__(max_batch_size=64, loop=Waiting())
        self.file = str(folder / "model.onnx")
        self.signature = json.loads((folder / "signature.json").read_text(encoding="utf-8"))
        self.inputs = self.signature["inputs"][0]
        self.dtype = np.dtype(self.inputs["dtype"])
        self.names = [output["name"] for output in self.signature["outputs"]]
        self.max_values = max(MAX_VALUES, math.prod(size for size in self.inputs["shape"] if isinstance(size, int)))

    def load(self) -> onnxruntime.InferenceSession:
        onnxruntime.set_default_logger_severity(4)  # what is wrong with inputs is told to whoever sent them alone
        options = onnxruntime.SessionOptions()
        # Threads that wait without sleeping take half of the processor time, which the other processes need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(self.file, options, providers=["CPUExecutionProvider"])

    def setup(self, device: str) -> None:
        leave_with_parent()
        self.session = self.load()

    def decode_request(self, request: Annotated[np.ndarray, Depends(checked)]) -> np.ndarray:
        return request

    def batch(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return inputs

    def predict(self, requests: list[np.ndarray]) -> list[Response]:
        alike = groupby(requests, key=lambda inputs: inputs.shape[1:])
        return [response for _, group in alike for response in self.compute(list(group))]

    def compute(self, requests: list[np.ndarray]) -> list[Response]:
        """The responses to requests of one shape: in halves if they are too large, or if the model cannot take one."""
        half = len(requests) // 2
        if half and sum(inputs.size for inputs in requests) > self.max_values:
            return self.compute(requests[:half]) + self.compute(requests[half:])
        try:
            answers = self.session.run(self.names, {self.inputs["name"]: np.concatenate(requests)})
        except Exception as error:
            if half:
                return self.compute(requests[:half]) + self.compute(requests[half:])
            return [respond(422, {"detail": f"the model cannot take these inputs: {error}".partition("\n")[0]})]
        ends = np.cumsum([len(inputs) for inputs in requests])[:-1]
        parts = zip(*(np.split(answer, ends) for answer in answers), strict=True)
        return [respond(200, dict(zip(self.names, map(np.ndarray.tolist, part), strict=True))) for part in parts]


def respond(status: int, content: dict[str, Any]) -> Response:
    try:
        return Response(json.dumps(content, allow_nan=False), status, media_type="application/json")
    except ValueError:
        return respond(422, {"detail": "the model's answer to these inputs is not finite"})


class Waiting(BatchedLoop):
    """LitServe's own loop asks for requests without a pause, on two cores. This one sleeps until there is one."""

    def get_batch_requests(self, lit_api: LitAPI, request_queue: Any, transport: Any) -> tuple[list[Any], list[Any]]:
        consumer, uid, _, inputs = request_queue.get()
        others, late = super().get_batch_requests(lit_api, request_queue, transport)
        return [(consumer, uid, inputs), *others], late


def leave_with_parent() -> None:
    """In a child: get no signal of the terminal, so that the parent can end all in order, and end if it is killed."""
    os.setpgid(0, 0)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what `export` wrote, with model.onnx")
    parser.add_argument("--host", default="127.0.0.1", choices=["127.0.0.1", "0.0.0.0"])
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    parent = os.getpid()

    def stop(*_: Any) -> None:
        if os.getpid() == parent:
            for signum in (signal.SIGINT, signal.SIGTERM):
                signal.signal(signum, signal.SIG_IGN)
            raise KeyboardInterrupt  # with which LitServe ends in order

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    multiprocessing.set_start_method("fork")
    os.register_at_fork(after_in_child=leave_with_parent)
    try:
        api = Exported(args.folder)
        api.load()
        socket.create_server((args.host, args.port)).close()
        server = LitServer(api, accelerator="cpu", disable_openapi_url=True, model_metadata=api.signature)
        server.app.state.api = api
        server.run(host=args.host, port=args.port, num_api_servers=1, generate_client_file=False, access_log=False)
    except KeyboardInterrupt:
        pass  # before it was ready
    except Exception as error:
        sys.exit(f"serve.py: error: {args.folder}: {error or 'a process of the server has died'}".partition("\n")[0])
    finally:
        for child in multiprocessing.active_children():
            child.kill()


if __name__ == "__main__":
    main()
