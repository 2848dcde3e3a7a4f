"""Where messages go: one module per kind of channel.

A channel takes one message and either returns or raises ``DeliveryFailed``, saying whether a retry is worth while. It
never retries by itself: that is the business of ``rules.notifying``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from building.document import Document, Where
from building.site import SecretField, Site
from rules.channels.message import Message
from rules.channels.terminal import TerminalChannel
from rules.channels.webhook import WebhookChannel, check_url

__all__ = ["Channel", "Message", "TerminalChannel", "WebhookChannel", "check_channels", "open_channels"]


class Channel(Protocol):
    """What every channel can do."""

    async def send(self, message: Message) -> None:
        """Deliver ``message``; raises DeliveryFailed."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TerminalSettings(_Frozen):
    """``{type: terminal}``: print to standard output."""

    type: Literal["terminal"]


class WebhookSettings(_Frozen):
    """``{type: webhook, url: …}``: POST the alert's JSON; with ``secret`` signed by HMAC-SHA256."""

    type: Literal["webhook"]
    url: str
    secret: SecretField = None
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0


Settings = Annotated[TerminalSettings | WebhookSettings, Field(discriminator="type")]
_ADAPTER: Final[TypeAdapter[TerminalSettings | WebhookSettings]] = TypeAdapter(Settings)
TYPES: Final = ("terminal", "webhook")


def check_channels(document: Document) -> Iterable[tuple[Where, str]]:
    """A ``building.site.Check``: every channel of the file is one we know, and complete."""
    for name, content in document.section("channels").items():
        where: Where = ("channels", name)
        try:
            settings = _ADAPTER.validate_python(content)
        except ValidationError as error:
            for item in error.errors():
                yield from _told(where, name, item)
            continue
        if isinstance(settings, WebhookSettings):
            try:
                check_url(settings.url)
            except ValueError as error:
                yield (*where, "url"), f"channel '{name}': {error}"


def _told(where: Where, name: str, item: Any) -> Iterable[tuple[Where, str]]:
    loc = tuple(part for part in item["loc"] if part not in TYPES)
    key = str(loc[-1]) if loc else "type"
    match item["type"]:
        case "union_tag_invalid" | "union_tag_not_found" | "model_attributes_type" | "dict_type":
            yield (*where, "type"), f"channel '{name}': type must be one of {', '.join(TYPES)}"
        case "extra_forbidden":
            yield (*where, *loc), f"channel '{name}': unknown key '{key}'"
        case "missing":
            yield where, f"channel '{name}': the key '{key}' is missing"
        case _:
            yield (*where, *loc), f"channel '{name}': {key}: {item['msg'].removeprefix('Value error, ')}"


def open_channels(site: Site) -> Mapping[str, Channel]:
    """The channels of the site by name; secrets are revealed here, so a missing one stops the start."""
    channels: dict[str, Channel] = {}
    for name, content in site.channels.items():
        settings = _ADAPTER.validate_python(content)
        if isinstance(settings, TerminalSettings):
            channels[name] = TerminalChannel()
        else:
            secret = settings.secret.reveal() if settings.secret is not None else None
            channels[name] = WebhookChannel(settings.url, secret=secret, timeout_s=settings.timeout_s)
    return channels
