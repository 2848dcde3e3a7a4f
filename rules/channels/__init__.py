"""Where messages go: one module per kind of channel.

A channel takes one message and either returns a receipt or raises ``DeliveryFailed``, saying whether a retry is worth
while. It never retries by itself: that is the business of ``rules.outbox``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from building.endpoints import parse_endpoint
from building.errors import ConfigError
from building.fields import Secret
from building.site import Site
from rules.channels.mail import MailChannel
from rules.channels.message import Entry, Link, Message
from rules.channels.mqtt import MqttChannel
from rules.channels.other import AppriseChannel
from rules.channels.posting import TooFast
from rules.channels.robots import DingTalkChannel, FeishuChannel, WeComChannel
from rules.channels.settings import (
    FOR_PROGRAMS,
    PER_MINUTE,
    AppriseSettings,
    DingTalkSettings,
    FeishuSettings,
    MailSettings,
    MqttSettings,
    Settings,
    TerminalSettings,
    WebhookSettings,
    check_channels,
    read_channel,
)
from rules.channels.terminal import TerminalChannel
from rules.channels.webhook import WebhookChannel

__all__ = [
    "FOR_PROGRAMS", "PER_MINUTE", "AppriseChannel", "Channel", "DingTalkChannel", "Entry", "FeishuChannel", "Link",
    "MailChannel", "Message", "MqttChannel", "TerminalChannel", "TooFast", "WeComChannel", "WebhookChannel",
    "check_channels", "open_channel", "open_channels", "read_channel",
]  # fmt: skip

_MAIL_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class Channel(Protocol):
    """What every channel can do."""

    async def send(self, message: Message) -> str | None:
        """Deliver ``message`` and return what the service said; raises DeliveryFailed."""


def open_channels(site: Site) -> Mapping[str, Channel]:
    """The channels of the site by name; secrets are revealed here, so a missing one stops the start."""
    return {name: open_channel(name, read_channel(content)) for name, content in site.channels.items()}


def open_channel(name: str, settings: Settings) -> Channel:
    """One channel. Raises SecretMissing or ConfigError."""
    match settings:
        case TerminalSettings():
            return TerminalChannel()
        case WebhookSettings():
            return WebhookChannel(settings.url, secret=_reveal(settings.secret), timeout_s=settings.timeout_s)
        case DingTalkSettings():
            return DingTalkChannel(
                settings.token.reveal(),
                secret=_reveal(settings.secret),
                url=settings.url,
                timeout_s=settings.timeout_s,
            )
        case FeishuSettings():
            return FeishuChannel(
                settings.hook.reveal(),
                secret=_reveal(settings.secret),
                url=settings.url,
                timeout_s=settings.timeout_s,
            )
        case MailSettings():
            return _mail(name, settings)
        case MqttSettings():
            return _mqtt(settings)
        case AppriseSettings():
            return AppriseChannel(name, settings.url.reveal())
        case _:
            return WeComChannel(settings.key.reveal(), url=settings.url, timeout_s=settings.timeout_s)


def _mail(name: str, settings: MailSettings) -> MailChannel:
    password = _reveal(settings.password)
    if not f"{settings.username or ''}{password or ''}".isascii():
        raise ConfigError(f"channel {name!r}: username and password of a mail server may only have ASCII letters")
    return MailChannel(
        settings.host,
        settings.port or _MAIL_PORTS[settings.security],
        settings.sender,
        settings.to,
        security=settings.security,
        username=settings.username,
        password=password,
        ca=settings.ca,
        timeout_s=settings.timeout_s,
    )


def _mqtt(settings: MqttSettings) -> MqttChannel:
    endpoint = parse_endpoint("mqtt", settings.url)
    return MqttChannel(
        endpoint.host,
        endpoint.port,
        settings.topic,
        answers=settings.answers,
        username=settings.username,
        password=_reveal(settings.password),
        tls=endpoint.scheme == "mqtts",
        ca=settings.ca,
        timeout_s=settings.timeout_s,
    )


def _reveal(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()
