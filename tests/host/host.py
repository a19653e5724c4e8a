"""How does a test get a Functions host? This one speaks to Microsoft's Python runtime as the real one does.

It starts the runtime in a process of its own, indexes and loads the functions of an app directory, and invokes them
with Service Bus messages. Everything happens on the loopback interface.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc

from boilermaker_fn.messages import Delivery
from tests.host.rpc import EVENT_STREAM, protos

ROOT: Final = Path(__file__).parents[2]

#: How long the runtime may take for one answer, in seconds, before it counts as hanging.
PATIENCE: Final = 60.0

#: What the host sets in the worker's environment whatever the app's settings are.
_HOST_SETTINGS: Final = {"FUNCTIONS_WORKER_RUNTIME": "python", "FUNCTIONS_EXTENSION_VERSION": "~4"}
_INHERITED: Final = frozenset({"PATH", "HOME", "TMPDIR", "LANG", "COVERAGE_PROCESS_CONFIG"})

_numbers = itertools.count(1)


class RuntimeDied(Exception):
    """The runtime's process ended, or did not answer; with what it wrote to stderr."""


class RequestFailed(Exception):
    """The runtime answered with a failure. For an invocation: the function raised, the host abandons its message."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as the Service Bus extension hands it to a worker."""

    body: bytes
    message_id: str | None = None
    sequence_number: int | None = field(default_factory=lambda: next(_numbers))
    delivery_count: int | None = 1
    properties: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, delivery: Delivery) -> Incoming:
        """The message of a queue of the local engine."""
        return cls(
            delivery.body,
            delivery.message_id,
            delivery.sequence_number,
            delivery.delivery_count,
            dict(delivery.properties),
        )

    def metadata(self) -> dict[str, Any]:
        """The trigger's metadata. What a message does not have is left out, not null."""
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat()
        texts = {"MessageId": self.message_id, "LockToken": "3f0c5c1e-1c3e-4d3b-9d43-0f6a2b7d9e11"}
        values = {
            "DeliveryCount": self.delivery_count,
            "SequenceNumber": self.sequence_number,
            "EnqueuedTimeUtc": now,
            "ExpiresAtUtc": "9999-12-31T23:59:59.9999999",
            "ApplicationProperties": self.properties,
            "UserProperties": self.properties,
        }
        return {name: protos.TypedData(string=text) for name, text in texts.items() if text is not None} | {
            name: protos.TypedData(json=json.dumps(value)) for name, value in values.items() if value is not None
        }


class FunctionsHost:
    """A host with one worker process, which runs the `function_app.py` in `directory`.

    `settings` are the app settings; `python` is the interpreter of the worker, which finds `tests.host.front` in
    `path`. Use it as a context manager: the process is stopped at the end, whatever happens.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str],
        *,
        python: Path = Path(sys.executable),
        path: Path = ROOT,
    ) -> None:
        self.logs: list[Any] = []
        self._directory = directory
        self._settings = settings
        self._python = python
        self._path = path
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: dict[str, Future[Any]] = {"start": Future()}
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 closed in __exit__
        self._server = grpc.server(ThreadPoolExecutor(2, "host"))
        self._process: subprocess.Popen[str] | None = None
        self._stopping = False
        self._functions: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Start the runtime, have it index the functions, and load them."""
        try:
            self._start()
            self.metadata = self._indexed()
            for function in self.metadata:
                self._load(function)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the process and the server."""
        self._stopping = True
        self._requests.put(None)
        if self._process is not None:
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._server.stop(0).wait()
        self._stderr.close()

    def terminate(self) -> None:
        """End the process now; whoever waits for it is told."""
        assert self._process is not None
        self._process.terminate()
        self._watching.join(5)

    async def invoke(self, function: str, message: Incoming) -> None:
        """Invoke a function with a message. Raises RequestFailed, RuntimeDied."""
        request = protos.InvocationRequest(
            invocation_id=f"invocation-{next(_numbers)}",
            function_id=self._functions[function],
            input_data=[protos.ParameterBinding(name="msg", data=protos.TypedData(bytes=message.body))],
            trigger_metadata=message.metadata(),
        )
        answer = self._ask(invocation_request=request)
        response = await asyncio.wait_for(asyncio.wrap_future(answer), PATIENCE)
        _check(response.invocation_response.result)

    # -- the runtime's process

    def _start(self) -> None:
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=protos.StreamingMessage.FromString,
            response_serializer=protos.StreamingMessage.SerializeToString,
        )
        _, service, method = EVENT_STREAM.split("/")
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self._process = subprocess.Popen(
            [self._python, "-W", "error", "-m", "tests.host.front", f"127.0.0.1:{port}"],
            cwd=self._directory,  # the first place where modules are looked for
            env=self._environment(),
            stdout=self._stderr,
            stderr=self._stderr,
            text=True,
        )
        self._watching = threading.Thread(target=self._watch, args=(self._process,), daemon=True)
        self._watching.start()
        self._result(self._answers["start"])

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name in _INHERITED}
        return {**inherited, "PYTHONPATH": str(self._path), **_HOST_SETTINGS, **self._settings}

    def _watch(self, process: subprocess.Popen[str]) -> None:
        """Tell all who wait when the process ends."""
        process.wait()
        if not self._stopping:
            for answer in list(self._answers.values()):
                self._fail(answer)

    def _fail(self, answer: Future[Any]) -> None:
        if not answer.done():
            answer.set_exception(RuntimeDied(f"the runtime's process has ended:\n{self._last_words()}"))

    def _last_words(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read()[-4000:]

    # -- the stream

    def _serve(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        threading.Thread(target=self._receive, args=(messages,), daemon=True).start()
        return iter(self._requests.get, None)

    def _receive(self, messages: Iterator[Any]) -> None:
        try:
            for message in messages:
                kind = message.WhichOneof("content")
                if kind == "rpc_log":
                    self.logs.append(message.rpc_log)
                else:
                    self._answers["start" if kind == "start_stream" else message.request_id].set_result(message)
        except grpc.RpcError:
            pass  # the worker went away; `_watch` says so

    def _ask(self, **content: Any) -> Future[Any]:
        request_id = f"request-{next(_numbers)}"
        answer = self._answers[request_id] = Future()
        self._requests.put(protos.StreamingMessage(request_id=request_id, **content))
        if self._process is not None and self._process.poll() is not None:
            self._fail(answer)
        return answer

    def _result(self, answer: Future[Any]) -> Any:
        try:
            return answer.result(PATIENCE)
        except TimeoutError:
            raise RuntimeDied(f"the runtime did not answer in {PATIENCE} s:\n{self._last_words()}") from None

    # -- the steps before the first message

    def _indexed(self) -> list[Any]:
        directory = str(self._directory)
        init = self._ask(worker_init_request=protos.WorkerInitRequest(function_app_directory=directory))
        _check(self._result(init).worker_init_response.result)
        request = protos.FunctionsMetadataRequest(function_app_directory=directory)
        response = self._result(self._ask(functions_metadata_request=request)).function_metadata_response
        _check(response.result)
        return list(response.function_metadata_results)

    def _load(self, function: Any) -> None:
        request = protos.FunctionLoadRequest(function_id=function.function_id, metadata=function)
        _check(self._result(self._ask(function_load_request=request)).function_load_response.result)
        self._functions[function.name] = function.function_id


def _check(result: Any) -> None:
    if result.status != protos.StatusResult.Success:
        raise RequestFailed(f"{result.exception.message}\n{result.exception.stack_trace}")
