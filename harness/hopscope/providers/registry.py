"""Providers by name; a module is imported when its provider is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, cast

from hopscope.errors import UsageError

if TYPE_CHECKING:  # the names alone are wanted in every pytest session, so this module stays light
    from hopscope.providers.provider import Provider

PROVIDERS = {
    "aws": "hopscope.providers.aws:AwsProvider",
    "inventory": "hopscope.providers.inventory:InventoryProvider",
    "netns": "hopscope.providers.netns:NetnsProvider",
}


def provider(name: str, **given: Any) -> Provider:
    """A new provider by its name, from what it is ``given``. UsageError names those there are."""
    if name not in PROVIDERS:
        raise UsageError(f"no provider {name!r}; there are: {', '.join(sorted(PROVIDERS))}")
    module, _, attribute = PROVIDERS[name].partition(":")
    return cast("Provider", getattr(importlib.import_module(module), attribute)(**given))
