"""Run Command for one instance: a script that ends by itself, what it said, and all that can go wrong, told apart.

The script must let go of its pipes (see ``ssm_job``). One that does not is noticed when nothing has come for
``Pace.patience`` seconds: who holds the pipe is looked up by a second command, the first is cancelled, and ``Held``
says so. boto3's own waiter is not used: it gives up after 100 s.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hopscope.errors import CommandFailed, ConnectionLost, EnvironmentFault, ToolMissing
from hopscope.hosts.redact import redact
from hopscope.hosts.wait import wait_until

DOCUMENT = "AWS-RunShellScript"
DELIVERY_SECONDS = 30
"""The least that SSM takes for ``TimeoutSeconds``, which bounds delivery and not execution."""
CONNECTIONS = 50
UNDELIVERED = "Is the instance running, and its agent?"
OVER = {"Success", "Failed", "Cancelled", "TimedOut"}
THROTTLED = {"ThrottlingException", "Throttling", "RequestLimitExceeded", "TooManyRequestsException"}
REMEDIES = {
    "ExpiredToken": "the credentials have expired: log in again (aws sso login), and call again",
    "ExpiredTokenException": "the credentials have expired: log in again (aws sso login), and call again",
    "RequestExpired": "the credentials have expired, or this machine's clock is wrong",
    "UnrecognizedClientException": "the credentials are not valid here: check AWS_PROFILE and AWS_REGION",
    "InvalidClientTokenId": "the credentials are not valid here: check AWS_PROFILE and AWS_REGION",
    "AuthFailure": "the credentials are not valid here: check AWS_PROFILE and AWS_REGION",
    "AccessDeniedException": "the policy does not allow it: hopscope aws policy prints one that does",
    "UnauthorizedOperation": "the policy does not allow it: hopscope aws policy prints one that does",
    "InvalidInstanceId": (
        "the instance is not registered with Systems Manager: it needs the agent, an instance profile with "
        "AmazonSSMManagedInstanceCore, and a way to the endpoints"
    ),
}


@dataclass(frozen=True)
class Pace:
    """Seconds: the first wait between two polls (it doubles) and the longest; how long a command that should have ended
    is waited for; how long it takes an invocation to exist; how long throttling is waited out."""

    first: float = 0.2
    longest: float = 1.0
    patience: float = 20.0
    appears: float = 15.0
    throttled: float = 60.0


@dataclass(frozen=True)
class Api:
    """Clients of boto3, which threads may share, and the bucket that large files go through, where there is one."""

    ssm: Any
    s3: Any = None
    bucket: str | None = None
    prefix: str = "hopscope"
    pace: Pace = field(default_factory=Pace)


def connect(*, region: str | None = None, bucket: str | None = None, pace: Pace | None = None) -> Api:
    """Clients by the usual environment of AWS. ToolMissing without boto3; it is not asked whether credentials hold."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise ToolMissing("instances are reached by boto3: pip install 'hopscope[aws]'") from error
    try:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 3},
            max_pool_connections=CONNECTIONS,
            connect_timeout=10,
            read_timeout=60,
            s3={"addressing_style": "path"} if _at_a_double() else {},
        )
        session = boto3.session.Session(region_name=region)
        s3 = session.client("s3", config=config) if bucket else None
        return Api(session.client("ssm", config=config), s3, bucket, pace=pace or Pace())
    except BotoCoreError as error:
        raise EnvironmentFault(f"AWS cannot be reached: {error}; set AWS_REGION and AWS_PROFILE") from error


def _at_a_double() -> bool:
    """Endpoints by address have no names of buckets in front of theirs."""
    import os

    return bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))


class Held(Exception):
    """A command that did not end because something holds its pipes. ``why`` says what, in words."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Commands:
    """Commands on one instance. ``diagnose`` is given the names of pipes and says in words who holds them."""

    def __init__(self, host: str, instance: str, api: Api, *, token: str) -> None:
        self.host = host
        self.instance = instance
        self.api = api
        self.diagnose: Callable[[list[str]], str] | None = None
        self.token = token

    def run(self, script: str, *, what: str, seconds: float, expected: float = 0.0) -> str:
        """What ``script`` says on standard output, at most 24,000 characters; ``expected`` seconds may pass before.

        Raises CommandFailed for a code other than 0, ConnectionLost when the instance does not take commands, Held for
        one whose pipes something keeps, EnvironmentFault for what the service refuses.
        """
        command = self.send(script, what=what, seconds=seconds)
        patient = time.monotonic() + expected + self.api.pace.patience
        pause = self.api.pace.first
        while True:
            _pause(pause)
            seen = self.look(command, what)
            if seen["Status"] in OVER:
                return self._conclude(seen, what)
            if time.monotonic() >= patient:
                self._give_up(command, seen, what)
            pause = min(2 * pause, self.api.pace.longest)

    def send(self, script: str, *, what: str, seconds: float) -> str:
        """The number of a command that is on its way. It notes its pipes for whoever has to find out who holds them."""
        note = shlex.quote(f"/tmp/{self.token}.pipes")  # noqa: S108  the token is not to be guessed
        # Asked for before the redirection: dash redirects the shell itself for as long as such a command runs.
        script = f'p=$(readlink /proc/$$/fd/1 /proc/$$/fd/2); echo "$p" >{note}\n{script}'
        answer = self._call(
            "send_command",
            what,
            InstanceIds=[self.instance],
            DocumentName=DOCUMENT,
            TimeoutSeconds=DELIVERY_SECONDS,
            Parameters={"commands": [script], "executionTimeout": [str(max(5, min(172_800, round(seconds))))]},
        )
        return str(answer["Command"]["CommandId"])

    def look(self, command: str, what: str) -> dict[str, Any]:
        """The invocation. It is normal that it does not exist right after it was sent."""

        def seen() -> dict[str, Any] | None:
            answer = self._call(
                "get_command_invocation",
                what,
                allowed=("InvocationDoesNotExist",),
                CommandId=command,
                InstanceId=self.instance,
            )
            return answer or None

        appears = self.api.pace.appears
        found = wait_until(seen, timeout=appears, interval=self.api.pace.first, what=f"{what} to exist")
        assert found is not None
        return found

    def cancel(self, command: str) -> None:
        self._call("cancel_command", "cancel a command", CommandId=command, InstanceIds=[self.instance])

    def _give_up(self, command: str, seen: dict[str, Any], what: str) -> None:
        if seen["Status"] != "InProgress":
            self.cancel(command)
            raise ConnectionLost(
                f"`{what}` was not delivered to {self.instance}: it is {seen['StatusDetails']}. {UNDELIVERED}",
                host=self.host,
            )
        why = "nobody could say who"
        if self.diagnose is not None:
            script = f"cat /tmp/{shlex.quote(self.token)}.pipes"
            pipes = self._said(script, what)
            why = self.diagnose(pipes.split())
        self.cancel(command)
        raise Held(f"`{what}` had nothing more to say and did not end: {why} holds its output; it was cancelled")

    def _said(self, script: str, what: str) -> str:
        """Of a second, harmless command."""
        answer = self._call(
            "send_command",
            what,
            InstanceIds=[self.instance],
            DocumentName=DOCUMENT,
            TimeoutSeconds=DELIVERY_SECONDS,
            Parameters={"commands": [script]},
        )
        command = str(answer["Command"]["CommandId"])
        seen = wait_until(
            lambda: (found := self.look(command, what))["Status"] in OVER and found,
            timeout=self.api.pace.patience,
            interval=self.api.pace.first,
            what="what is known of its pipes",
        )
        return str(seen["StandardOutputContent"])  # type: ignore[index]

    def _conclude(self, seen: dict[str, Any], what: str) -> str:
        status, details = seen["Status"], seen["StatusDetails"]
        if status == "Success":
            return str(seen["StandardOutputContent"])
        said = redact(str(seen["StandardErrorContent"] or seen["StandardOutputContent"])).strip()
        if details in ("DeliveryTimedOut", "Undeliverable", "Terminated"):
            raise ConnectionLost(
                f"`{what}` was not delivered to {self.instance}: it is {details}. {UNDELIVERED}",
                host=self.host,
            )
        told = {
            "Cancelled": "was cancelled, and not by us",
            "TimedOut": "was ended by the agent: its time was over, or it was killed (code 137)",
        }.get(status, f"ended with {seen['ResponseCode']}")
        raise CommandFailed(f"`{what}` {told}", host=self.host, evidence=said or None)

    def _call(self, name: str, what: str, *, allowed: tuple[str, ...] = (), **given: Any) -> dict[str, Any]:
        return call(self.api.ssm, name, self.api.pace, host=self.host, what=what, allowed=allowed, **given)


def call(
    client: Any, name: str, pace: Pace, *, host: str | None, what: str, allowed: tuple[str, ...] = (), **given: Any
) -> dict[str, Any]:
    """One call of boto3. Throttling that outlasts botocore's own patience is waited out; an error in ``allowed`` is an
    empty answer; all others are EnvironmentFault with a remedy."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    until = time.monotonic() + pace.throttled
    pause = pace.first
    while True:
        try:
            return dict(getattr(client, name)(**given))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in allowed:
                return {}
            if code not in THROTTLED or time.monotonic() >= until:
                remedy = REMEDIES.get(code, redact(error.response["Error"].get("Message", "")))
                raise EnvironmentFault(f"`{redact(what)}`: {name} was refused: {code}: {remedy}", host=host) from None
        except ResponseParserError as error:  # a page of words, by somebody in between
            said = redact(str(error).splitlines()[0])
            raise EnvironmentFault(f"`{redact(what)}`: {name}: no answer of AWS: {said}", host=host) from None
        except BotoCoreError as error:
            remedy = "set AWS_PROFILE, or log in" if "redential" in str(error) else "is there a way to AWS from here?"
            raise EnvironmentFault(f"`{redact(what)}`: {name}: {redact(str(error))}; {remedy}", host=host) from None
        _pause(pause)
        pause = min(2 * pace.longest, 2 * pause)


def _pause(seconds: float) -> None:
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, timeout=seconds + 1, interval=seconds, what="the next poll")
