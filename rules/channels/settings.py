"""``channels:`` of devices.yaml: what each kind of channel takes, checked at the door."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from building.document import Document, Where
from building.endpoints import parse_endpoint
from building.errors import listed, shown
from building.fields import SecretField
from building.mistakes import schema_sentence
from rules.channels.posting import check_url
from rules.channels.robots import DINGTALK, FEISHU, WECOM

_ADDRESS: Final = re.compile(r"[^\s@<>,;:\"()]+@[^\s@<>,;:\"()]+")
_CALLED: Final = re.compile(r"[\w.+-]{1,64}")
_TOPIC: Final = re.compile(r"[^#+\x00]{1,200}")


def several(value: object) -> tuple[Any, ...]:
    """One name or a list of them; numbers are names too."""
    items = value if isinstance(value, tuple) else (value,)
    return tuple(str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in items)


def _mail_address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError(f"{shown(value)} is no mail address")
    return value


def _called(value: str) -> str:
    if not _CALLED.fullmatch(value):
        raise ValueError(f"{shown(value)} is no mobile number or user id")
    return value


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value):
        raise ValueError(f"{shown(value)} is no topic; write one without # and +")
    return value


def _broker(value: str) -> str:
    parse_endpoint("mqtt", value)
    return value


MailAddress = Annotated[str, AfterValidator(_mail_address)]
MailAddresses = Annotated[tuple[MailAddress, ...], BeforeValidator(several)]
Called = Annotated[tuple[Annotated[str, AfterValidator(_called)], ...], BeforeValidator(several)]
Topic = Annotated[str, AfterValidator(_topic)]
WebAddress = Annotated[str, AfterValidator(check_url)]


class Common(BaseModel):
    """What every channel may have."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    language: Literal["zh", "en"] | None = None  # else the site's
    fallback: str | None = None  # the channel that takes over what this one cannot deliver
    per_minute: Annotated[int, Field(ge=1, le=1000)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0


class TerminalSettings(Common):
    """``{type: terminal}``: print to standard output."""

    type: Literal["terminal"]


class WebhookSettings(Common):
    """``{type: webhook, url: …}``: POST the alert's JSON; with ``secret`` signed by HMAC-SHA256."""

    type: Literal["webhook"]
    url: WebAddress
    secret: SecretField = None


class DingTalkSettings(Common):
    """``{type: dingtalk, token: "${…}", secret: "${…}"}``: a group robot with signature."""

    type: Literal["dingtalk"]
    token: SecretField
    secret: SecretField = None
    mention: Called = ()  # mobile numbers
    url: WebAddress = DINGTALK


class WeComSettings(Common):
    """``{type: wecom, key: "${…}"}``: a group robot."""

    type: Literal["wecom"]
    key: SecretField
    mention: Called = ()  # user ids
    url: WebAddress = WECOM


class FeishuSettings(Common):
    """``{type: feishu, hook: "${…}", secret: "${…}"}``: a group robot with signature."""

    type: Literal["feishu"]
    hook: SecretField
    secret: SecretField = None
    mention: Called = ()  # open ids
    url: WebAddress = FEISHU


class MailSettings(Common):
    """``{type: mail, host: …, from: …, to: […]}``."""

    model_config = ConfigDict(populate_by_name=False)

    type: Literal["mail"]
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    sender: Annotated[MailAddress, Field(alias="from")]
    to: MailAddresses = ()
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretField = None
    ca: str | None = None


class MqttSettings(Common):
    """``{type: mqtt, url: mqtt://…, topic: …, answers: …}``."""

    type: Literal["mqtt"]
    url: Annotated[str, AfterValidator(_broker)]
    topic: Topic
    answers: Topic | None = None
    username: str | None = None
    password: SecretField = None
    ca: str | None = None


class AppriseSettings(Common):
    """``{type: apprise, url: "${…}"}``: any other service; the address is a secret."""

    type: Literal["apprise"]
    url: SecretField


Settings = (
    TerminalSettings
    | WebhookSettings
    | DingTalkSettings
    | WeComSettings
    | FeishuSettings
    | MailSettings
    | MqttSettings
    | AppriseSettings
)
PAGES: Final[Mapping[str, type[Common]]] = {
    page.model_fields["type"].annotation.__args__[0]: page  # a Literal of one word
    for page in Settings.__args__
}
"""Type of channel -> its page of settings."""

FOR_PROGRAMS: Final = frozenset({"terminal", "webhook", "mqtt"})
"""Types whose readers want every change by itself, and not so many a day."""

PER_MINUTE: Final = {"dingtalk": 20, "wecom": 20, "feishu": 100}
"""What the services allow a robot; the program stays below by itself."""

_ADAPTER: Final[TypeAdapter[Settings]] = TypeAdapter(Annotated[Settings, Field(discriminator="type")])


def read_channel(content: object) -> Settings:
    """One checked entry of ``channels:`` as an object."""
    return _ADAPTER.validate_python(content)


def check_channels(document: Document) -> Iterable[tuple[Where, str]]:
    """A ``building.site.Check``: every channel of the file is one we know, and complete."""
    channels = document.section("channels")
    for name, content in channels.items():
        where: Where = ("channels", name)
        kind = content.get("type") if isinstance(content, Mapping) else None
        page = PAGES.get(kind) if isinstance(kind, str) else None
        if page is None:
            yield (*where, "type"), f"channel {shown(name)}: type must be one of {', '.join(PAGES)}"
            continue
        try:
            page.model_validate(content)
        except ValidationError as error:
            for item in error.errors():
                yield (*where, *item["loc"]), f"channel {shown(name)}: {_sentence(page, item)}"
        fallback = content.get("fallback")
        if isinstance(fallback, str):
            yield from _fallback(channels, name, fallback)


def _fallback(channels: Mapping[str, Any], name: str, fallback: str) -> Iterable[tuple[Where, str]]:
    where: Where = ("channels", name, "fallback")
    if fallback not in channels:
        known = listed(other for other in channels if other != name) or "no other"
        yield where, f"channel {shown(name)}: fallback {shown(fallback)} does not exist; known are {known}"
        return
    seen, here = {name}, fallback
    while here not in seen:
        seen.add(here)
        after = channels[here].get("fallback") if isinstance(channels.get(here), Mapping) else None
        if not isinstance(after, str):
            return
        here = after
    if here == name:
        yield where, f"channel {shown(name)}: the fallbacks run in a circle; let the last one have none"


def _sentence(page: type[Common], item: Any) -> str:
    if item["type"] == "extra_forbidden":
        accepted = ", ".join(field.alias or key for key, field in page.model_fields.items())
        return f"unknown key {shown(str(item['loc'][-1]))}; accepted are {accepted}"
    return schema_sentence(page, item)
