"""Rules as lines of iptables-persistent's rules.v4, at the head of their chain: text to text."""

from __future__ import annotations

import re
import shlex

from hopscope.lab.setting import Setting
from hopscope.lab.settings.nft_rule import NftRule
from hopscope.lab.settings.presence import NONE, Presence

WORDS = {
    'iifname "': "-i", 'oifname "': "-o", "ip saddr ": "-s", "ip daddr ": "-d", "tcp dport ": "-p tcp --dport",
    "tcp sport ": "-p tcp --sport",
}  # fmt: skip
_PART = re.compile(r'(iifname "|oifname "|ip saddr |ip daddr |tcp dport |tcp sport )([^" ]+)"? ')


def line(setting: Setting, persistent: str) -> tuple[str, str] | None:
    """Table and line of a setting that rules.v4 has to keep; None where the setting is no rule, or of another chain."""
    if isinstance(setting, NftRule) and setting.family == "ip" and _has(persistent, setting.table, setting.chain):
        rest = _PART.sub("", setting.rule)
        if rest != "accept":
            return None
        words = [f"{WORDS[key]} {value}" for key, value in _PART.findall(setting.rule)]
        comment = f"-m comment --comment {_quoted(setting.comment)}"
        return setting.table, " ".join(["-A", setting.chain, *words, comment, "-j ACCEPT"])
    if isinstance(setting, Presence) and setting.add[0] == "iptables-legacy" and setting.wanted != NONE:
        table = setting.add[setting.add.index("-t") + 1]
        chain, _, *words = setting.add[setting.add.index("-I") + 1 :]
        if _has(persistent, table, chain):
            return table, " ".join(["-A", chain, *(_quoted(word) if " " in word else word for word in words)])
    return None


def with_line(text: str, table: str, rule: str) -> str:
    """The rule before all others of its chain; nothing where it is there."""
    lines = text.splitlines()
    if rule in lines:
        return text
    begin = lines.index(f"*{table}")
    end = next(at for at in range(begin, len(lines)) if lines[at] == "COMMIT")
    chain = shlex.split(rule)[1]
    first = next(
        (at for at in range(begin, end) if re.match(rf"(\[\d+:\d+\] )?-A {re.escape(chain)} ", lines[at])), end
    )
    return "\n".join([*lines[:first], rule, *lines[first:], ""])


def _has(persistent: str, table: str, chain: str) -> bool:
    section = re.search(rf"^\*{re.escape(table)}\n(.*?)^COMMIT$", persistent, re.MULTILINE | re.DOTALL)
    return section is not None and re.search(rf"^:{re.escape(chain)} ", section[1], re.MULTILINE) is not None


def _quoted(text: str) -> str:
    """As iptables-save quotes; shell quotes are not understood by iptables-restore."""
    return '"' + text.replace('"', "'") + '"'
