"""Secrets do not get into messages: what looks like one is replaced before anybody reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "[hidden]"
_NAMES = r"(?:password|passwd|passphrase|secret|token|credential|api_?key|private_?key|access_?key)"
SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_PATTERNS = (
    (re.compile(r"(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+", re.IGNORECASE), r"\1" + HIDDEN),
    (re.compile(rf"(\b[\w-]*{_NAMES}[\w-]*[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;}}]+", re.IGNORECASE), r"\1" + HIDDEN),
    (re.compile(rf"(--[\w-]*{_NAMES}[\w-]*\s+)[^\s]+", re.IGNORECASE), r"\1" + HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), HIDDEN),
    (re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END|\Z)", re.DOTALL), r"\1" + HIDDEN + r"\2"),
)


def redact(text: str, env: Mapping[str, str] | None = None) -> str:
    """``text`` without what is known to be secret (values of variables with a telling name) and what looks like it."""
    for name, value in (env or {}).items():
        if SECRET_NAME.search(name) and value:
            text = text.replace(value, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def has_secret(env: Mapping[str, str] | None) -> bool:
    """A variable has the name of a secret."""
    return any(SECRET_NAME.search(name) for name in env or {})
