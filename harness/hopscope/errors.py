"""Everything that Hopscope raises on purpose.

    HopscopeError                   host and evidence, where there are any
     |-- UsageError                 64  what was asked for makes no sense: the asker mends it
     |    `-- DocumentError         64  a YAML document, with file, line and column
     |-- EnvironmentFault            2  setting, tool or host is not as claimed
     |    |-- ToolMissing               a program, kernel feature or privilege that is not there
     |    |-- CommandFailed             a command on a host ended with a code that was not allowed
     |    |-- CommandTimeout            a command on a host did not end in time
     |    |-- WaitTimeout               a condition did not come true before its deadline
     |    |-- ConnectionLost            the way to a host broke while something ran there
     |    |-- SettingRefused            a setting that did not read back as it was written
     |    |-- NotOurs                   a link of hosts that were found is what it is, and a test wanted it to change
     |    `-- LabFailed                 hosts or links could not be built, or are gone
     |-- ProductFault                1  a check failed: the system under test did wrong
     `-- HarnessFault                3  could not see: nothing may be concluded
          `-- CaptureUnhealthy          packets were lost, or a tap was not live

The number is the exit code of the command ``hopscope``. When several apply, 2 wins over 1 over 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class HopscopeError(Exception):
    """Base of the tree.

    ``message`` is one line with the remedy; ``host`` is the name of the host concerned; ``evidence`` is what was
    seen (output of a command, both values of a setting, tail of a log), shown below the message.
    """

    exit_code: ClassVar[int] = 2
    kind: ClassVar[str] = "environment"

    def __init__(self, message: str, *, host: str | None = None, evidence: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.host = host
        self.evidence = evidence

    def __str__(self) -> str:
        head = f"{self.host}: {self.message}" if self.host else self.message
        if not self.evidence:
            return head
        return head + "\n" + "\n".join(f"    {line}" for line in self.evidence.rstrip().splitlines())


class UsageError(HopscopeError):
    exit_code = 64
    kind = "usage"


class DocumentError(UsageError):
    """A document that cannot be accepted: ``file:line:column: path: problem``, one line for each problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class EnvironmentFault(HopscopeError):
    exit_code = 2
    kind = "environment"


class ToolMissing(EnvironmentFault):
    pass


class CommandFailed(EnvironmentFault):
    pass


class CommandTimeout(EnvironmentFault):
    pass


class WaitTimeout(EnvironmentFault):
    pass


class ConnectionLost(EnvironmentFault):
    pass


class SettingRefused(EnvironmentFault):
    pass


class NotOurs(EnvironmentFault):
    pass


class LabFailed(EnvironmentFault):
    pass


class ProductFault(HopscopeError):
    exit_code = 1
    kind = "product"


class HarnessFault(HopscopeError):
    exit_code = 3
    kind = "harness"


class CaptureUnhealthy(HarnessFault):
    pass


def exit_code(codes: Iterable[int]) -> int:
    """The one exit code for several outcomes: usage first, then 2 over 1 over 3, and 0 only when all are 0."""
    seen = set(codes)
    for code in (64, 2, 1, 3):
        if code in seen:
            return code
    return 0
