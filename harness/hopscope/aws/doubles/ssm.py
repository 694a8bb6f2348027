"""AWS Systems Manager's Run Command as an HTTP endpoint on loopback, for boto3 to talk to (AWS JSON 1.1).

Real clients find it by ``AWS_ENDPOINT_URL_SSM``. It knows the document AWS-RunShellScript; what it does not know, such
as parameters of the Parameter Store, it hands on to ``beyond``. Behind each instance is an ``Agent``.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hopscope.aws.doubles.agent import Agent, Invocation, execution_seconds

DOCUMENT = "AWS-RunShellScript"
PARAMETERS = {"commands", "workingDirectory", "executionTimeout"}
DELIVERY_SECONDS = 3600
LARGEST_PARAMETERS = 97 * 1024
FORWARD_SECONDS = 30
Agents = Callable[[], Mapping[str, Agent]]


class Refused(Exception):
    """An error of the service, by its name."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(code, message)
        self.code, self.message, self.status = code, message, status


@dataclass
class Weather:
    """What a day at the service is like. ``unseen_seconds`` is how long an invocation does not exist after it was sent;
    ``errors`` maps an operation to the errors it gives before it works again, in order; the next ``held`` commands are
    started beside something that keeps their pipes open. An answer about a command that still runs comes when it has
    ended, or after ``answer_seconds``: so it is asked about less often, and each time costs processor time."""

    unseen_seconds: float = 0.02
    errors: dict[str, list[str]] = field(default_factory=dict)
    held: int = 0
    answer_seconds: float = 0.0


class SsmDouble:
    """The endpoint. ``agents`` are those of the instances that are registered now; ``url`` is where it listens."""

    def __init__(self, agents: Agents, *, beyond: str | None = None) -> None:
        self.agents = agents
        self.weather = Weather()
        self.calls: list[str] = []
        """Operations in the order they came."""
        self.invocations: dict[tuple[str, str], Invocation] = {}
        self._beyond = beyond
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.double = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a call, or None for one that is not ours. Raises Refused."""
        with self._lock:
            self.calls.append(operation)
            if errors := self.weather.errors.get(operation):
                code = errors.pop(0)
                raise Refused(code, "Rate exceeded" if code == "ThrottlingException" else code)
        known = {
            "SendCommand": self._send,
            "GetCommandInvocation": self._get,
            "CancelCommand": self._cancel,
            "DescribeInstanceInformation": self._describe,
        }
        return known[operation](asked) if operation in known else None

    def beyond(self, body: bytes, headers: Message) -> tuple[int, bytes]:
        """The answer of whoever knows the rest."""
        if self._beyond is None:
            raise Refused("UnknownOperationException", headers.get("X-Amz-Target", ""))
        kept = {name: headers[name] for name in ("X-Amz-Target", "Content-Type", "Authorization") if name in headers}
        request = urllib.request.Request(self._beyond, body, kept)  # noqa: S310  an address of this machine's
        try:
            with urllib.request.urlopen(request, timeout=FORWARD_SECONDS) as response:  # noqa: S310
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def _send(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["DocumentName"].rpartition("/")[2] != DOCUMENT:
            raise Refused("InvalidDocument", f"Document with name {asked['DocumentName']} does not exist.")
        parameters = asked.get("Parameters", {})
        if set(parameters) - PARAMETERS or not parameters.get("commands"):
            raise Refused("InvalidParameters", "Parameters provided in the request don't match the document schema.")
        if len(json.dumps(parameters)) > LARGEST_PARAMETERS:
            raise Refused("MaxDocumentSizeExceeded", "The size limit of a document is 64 KB.")
        agents = self.agents()
        instances = asked.get("InstanceIds", [])
        if not instances or any(instance not in agents for instance in instances):
            raise Refused("InvalidInstanceId", f"Instances {instances} not in a valid state for account")
        identity = str(uuid.uuid4())
        for instance in instances:
            invocation = Invocation(
                identity,
                instance,
                script="\n".join(parameters["commands"]) + "\n",
                working_directory=parameters.get("workingDirectory", [""])[0],
                execution_seconds=execution_seconds(parameters.get("executionTimeout", ["3600"])[0]),
                delivery_seconds=asked.get("TimeoutSeconds", DELIVERY_SECONDS),
            )
            with self._lock:
                if self.weather.held:
                    self.weather.held -= 1
                    invocation.script = "sleep 600 &\n" + invocation.script
                self.invocations[identity, instance] = invocation
            agents[instance].accept(invocation)
        return {
            "Command": {
                "CommandId": identity,
                "DocumentName": asked["DocumentName"],
                "InstanceIds": instances,
                "Parameters": parameters,
                "Comment": asked.get("Comment", ""),
                "RequestedDateTime": time.time(),
                "Status": "Pending",
                "StatusDetails": "Pending",
                "TargetCount": len(instances),
            }
        }

    def _get(self, asked: dict[str, Any]) -> dict[str, Any]:
        invocation = self._invocation(asked["CommandId"], asked["InstanceId"])
        invocation.done.wait(self.weather.answer_seconds)
        answer = {
            "CommandId": invocation.command,
            "InstanceId": invocation.instance,
            "DocumentName": DOCUMENT,
            "PluginName": "aws:runShellScript",
            "ResponseCode": invocation.code,
            "Status": invocation.status,
            "StatusDetails": invocation.details,
            "StandardOutputContent": invocation.stdout,
            "StandardErrorContent": invocation.stderr,
        }
        if invocation.started is not None:
            elapsed = (invocation.ended or time.time()) - invocation.started
            answer["ExecutionElapsedTime"] = f"PT{elapsed:.3f}S"
        return answer

    def _invocation(self, command: str, instance: str) -> Invocation:
        invocation = self.invocations.get((command, instance))
        if invocation is None or time.time() < invocation.sent + self.weather.unseen_seconds:
            raise Refused("InvocationDoesNotExist")
        return invocation

    def _cancel(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = [each for (command, _), each in self.invocations.items() if command == asked["CommandId"]]
        if not found:
            raise Refused("InvalidCommandId")
        for invocation in found:
            if invocation.instance in asked.get("InstanceIds", [invocation.instance]):
                invocation.cancelled.set()
        return {}

    def _describe(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = [each["Values"] for each in asked.get("Filters", []) if each["Key"] == "InstanceIds"]
        return {
            "InstanceInformationList": [
                {
                    "InstanceId": name,
                    "PingStatus": "Online" if agent.reachable.is_set() else "ConnectionLost",
                    "PlatformType": "Linux",
                    "AgentVersion": "3.3.0.0",
                }
                for name, agent in self.agents().items()
                if all(name in values for values in wanted)
            ]
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    double: SsmDouble


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        double = self.server.double
        try:
            if "Credential=" not in self.headers.get("Authorization", ""):
                raise Refused("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
            answer = double.answer(self.headers["X-Amz-Target"].partition(".")[2], json.loads(body))
            status, data = (
                (200, json.dumps(answer).encode()) if answer is not None else double.beyond(body, self.headers)
            )
        except Refused as refused:
            status = refused.status
            data = json.dumps({"__type": refused.code, "message": refused.message}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        return
