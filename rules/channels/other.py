"""Every other service, through apprise (an optional extra).

What apprise calls a success is one here: for services that answer 200 with an error in the body it may be wrong, which
is why DingTalk, WeCom and Feishu have channels of their own.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

from building.errors import ConfigError, DeliveryFailed
from rules.channels.message import Message


class AppriseChannel:
    """Sends to the service that the apprise address ``url`` names; the address holds secrets and is never told."""

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        try:
            apprise: Any = importlib.import_module("apprise")
        except ImportError:
            raise ConfigError(
                f"channel {name!r} needs the package apprise; install it with: pip install 'greenwarden[apprise]'"
            ) from None
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings repeat addresses
        self._service = apprise.Apprise()
        if not self._service.add(url):
            raise ConfigError(f"channel {name!r}: the address in its secret is none that apprise knows")

    async def send(self, message: Message) -> str:
        body = "\n".join([message.text, *message.footer])
        if not await self._service.async_notify(title=message.title, body=body, body_format="text"):
            raise DeliveryFailed(f"{self._name}: apprise could not deliver the message", retry=True)
        return "delivered, as far as apprise knows"
