"""A git checkout on a host, brought to the revision that a SUT asks for, as its owner.

Git run by root would leave files that the owner cannot change, and refuses the checkout of another user. What was not
committed is never touched: a checkout with changes is refused. It stays at the new revision; both are in the manifest.
"""

from __future__ import annotations

from typing import Any

from hopscope.errors import CommandFailed, EnvironmentFault
from hopscope.hosts.executor import Executor, Result
from hopscope.model.sut import Checkout

FETCH_SECONDS = 120.0
GIT_SECONDS = 30.0
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}

#: Revisions by the host's directory, path and ref: a comparison starts the same program twenty times.
_UPDATED: dict[tuple[str, str, str], str] = {}


def update(host: Executor, wanted: Checkout) -> dict[str, Any]:
    """Bring a checkout to ``wanted.ref``; its path, ref, revision, and the revision before.

    A branch is that of ``origin``, fetched once in a session; a hash or a tag that is there already needs no network.
    Raises EnvironmentFault where there is no checkout, where it has changes, or where the ref cannot be had.
    """
    owner = host.run(["stat", "-c", "%U", "--", wanted.path], check=False).text
    git = _Git(host, wanted.path, owner or None)
    before = git.ask("rev-parse", "--verify", "HEAD^{commit}")
    if not owner or before is None:
        raise EnvironmentFault(f"{wanted.path} is no git checkout with a commit", host=host.name)
    if changed := git.ask("status", "--porcelain", "--untracked-files=no"):
        raise EnvironmentFault(
            f"the checkout {wanted.path} has changes that are not committed: nothing was touched",
            host=host.name,
            evidence=changed,
        )
    key = (str(host.directory), wanted.path, wanted.ref)
    if key not in _UPDATED:
        _UPDATED[key] = git.resolve(wanted.ref)
    revision = _UPDATED[key]
    if revision != before:
        git.do("checkout", "--quiet", "--detach", revision)
    now = git.ask("rev-parse", "HEAD")
    if now != revision:
        raise EnvironmentFault(
            f"the checkout {wanted.path} did not come to {wanted.ref}",
            host=host.name,
            evidence=f"wanted: {revision}\nnow:    {now}",
        )
    return {"path": wanted.path, "ref": wanted.ref, "owner": owner, "revision": revision, "before": before}


class _Git:
    def __init__(self, host: Executor, path: str, owner: str | None) -> None:
        self._host, self._path, self._owner = host, path, owner

    def resolve(self, ref: str) -> str:
        """The commit of a ref: what is named by its hash or a tag, else of a branch of origin, fetched first."""
        here = self.ask("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        fixed = here is not None and (here.startswith(ref) or self.ask("show-ref", "--verify", f"refs/tags/{ref}"))
        if fixed and here is not None:
            return here
        self.do("fetch", "--quiet", "--tags", "origin", timeout=FETCH_SECONDS)
        for name in (f"refs/remotes/origin/{ref}", f"refs/tags/{ref}", ref):
            found = self.ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
            if found is not None:
                return found
        raise EnvironmentFault(f"{self._path} has no {ref}, and its origin has none either", host=self._host.name)

    def ask(self, *words: str) -> str | None:
        result = self._run(words, GIT_SECONDS)
        return result.text if result.returncode == 0 else None

    def do(self, *words: str, timeout: float = GIT_SECONDS) -> None:
        result = self._run(words, timeout)
        if result.returncode != 0:
            raise CommandFailed(
                f"`{result.command}` as {self._owner} ended with {result.returncode}",
                host=self._host.name,
                evidence=result.tail(),
            )

    def _run(self, words: tuple[str, ...], timeout: float) -> Result:
        argv = ["git", "-C", self._path, *words]
        return self._host.run(argv, user=self._owner, cwd="/", env=_QUIET, timeout=timeout, check=False)
