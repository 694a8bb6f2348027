"""ClientNIC ends without a word, in the middle of the load: with its tenth SYN."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from hopscope_nic import cli
from hopscope_nic.core.actions import Action
from hopscope_nic.core.client_nic import ClientNic

CODE = 7
greet = ClientNic._greet
count = 0


def until_the_tenth(self: ClientNic, *arguments: Any) -> Iterator[Action]:
    global count
    count += 1
    if count == 10:
        os._exit(CODE)
    return greet(self, *arguments)


ClientNic._greet = until_the_tenth  # type: ignore[method-assign]
sys.exit(cli.main())
