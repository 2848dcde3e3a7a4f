"""Mail by SMTP: plain text and HTML in one message, the picture inside the HTML."""

from __future__ import annotations

import asyncio
import hashlib
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Final, Literal

from building.errors import DeliveryFailed
from rules.channels.markup import as_html, one_line
from rules.channels.message import Entry, Message

_COLOURS: Final = {"critical": "#c0392b", "warning": "#d35400", "info": "#2471a3", "over": "#1e8449"}
_STYLE: Final = "font-family:'Microsoft YaHei','PingFang SC','Noto Sans CJK SC',sans-serif;color:#222;max-width:640px"
_SUBJECT: Final = 120  # letters


class MailChannel:
    """Sends to ``to`` (or to whom the message names) through one server. Certificates are verified."""

    takes_pictures = True

    def __init__(
        self,
        host: str,
        port: int,
        sender: str,
        to: Sequence[str],
        *,
        security: Literal["starttls", "tls", "none"] = "starttls",
        username: str | None = None,
        password: str | None = None,
        ca: str | None = None,
        timeout_s: float = 20.0,
    ) -> None:
        self._host, self._port, self._sender, self._to = host, port, sender, tuple(to)
        self._security, self._username, self._password = security, username, password
        self._ca, self._timeout_s = ca, timeout_s

    async def send(self, message: Message) -> str:
        recipients = message.to or self._to
        if not recipients:
            raise DeliveryFailed("the mail has no recipient; write to: at the channel or at the person", retry=False)
        mail = self._compose(message, recipients)
        return await asyncio.to_thread(self._deliver, mail, recipients)

    def _compose(self, message: Message, recipients: Sequence[str]) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = one_line(message.title)[:_SUBJECT]
        mail["From"] = self._sender
        mail["To"] = ", ".join(recipients)
        mail["Date"] = formatdate()
        # The same at every attempt: mail programs show a repetition once.
        digest = hashlib.sha256(message.ident.encode()).hexdigest()[:32]
        mail["Message-ID"] = f"<{digest}@greenwarden>"
        mail["X-Greenwarden-Id"] = one_line(message.ident)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(_plain(message))
        mail.add_alternative(_html(message), subtype="html")
        if message.picture is not None:
            html = mail.get_payload()[1]  # type: ignore[index]  # text first, then HTML: made so above
            html.add_related(message.picture, "image", "png", cid="<picture@greenwarden>")  # type: ignore[union-attr]
        return mail

    def _deliver(self, mail: EmailMessage, recipients: Sequence[str]) -> str:
        where = f"mail server {self._host}"
        try:
            refused = self._speak(mail, recipients)
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            raise DeliveryFailed(f"{where} refused every recipient {sorted(codes)}", retry=min(codes) < 500) from None
        except smtplib.SMTPResponseException as error:
            words = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else ""
            what = f"{where} answered {error.smtp_code} {one_line(words)[:120]}"
            raise DeliveryFailed(what, retry=error.smtp_code < 500) from None
        except ssl.SSLCertVerificationError as error:
            raise DeliveryFailed(
                f"{where}: its certificate is not valid ({error.verify_message})", retry=True
            ) from None
        except smtplib.SMTPNotSupportedError as error:
            raise DeliveryFailed(f"{where}: {error}; see security: of the channel", retry=False) from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(f"{where} cannot be reached ({type(error).__name__})", retry=True) from None
        return f"taken; refused for {', '.join(refused)}" if refused else "taken"

    def _speak(self, mail: EmailMessage, recipients: Sequence[str]) -> dict[str, tuple[int, bytes]]:
        secure = ssl.create_default_context(cafile=self._ca)
        server: smtplib.SMTP
        if self._security == "tls":
            server = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=secure)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        with server:
            if self._security == "starttls":
                server.starttls(context=secure)
            if self._username is not None:
                server.login(self._username, self._password or "")
            return server.send_message(mail, self._sender, list(recipients))


def _plain(message: Message) -> str:
    parts, colon = [], "：" if message.language == "zh" else ": "
    for entry in message.parts():
        links = [f"{one_line(link.words)}{colon}{link.url}" for link in entry.links]
        parts.append("\n".join(filter(None, [entry.title, *entry.lines, *links])))
    return "\n\n".join([*parts, *message.footer]) + "\n"


def _html(message: Message) -> str:
    parts = [f'<h2 style="color:{_COLOURS[message.gravity]};margin:0 0 12px">{as_html(message.title)}</h2>']
    parts += [_entry(entry) for entry in message.under_title()]
    if message.picture is not None:
        parts.append('<p><img src="cid:picture@greenwarden" alt="" style="max-width:100%"></p>')
    parts += [f'<p style="color:#666;font-size:13px">{as_html(line)}</p>' for line in message.footer]
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html><html lang="{as_html(message.language)}"><head><meta charset="utf-8"></head>'
        f'<body><div style="{_STYLE}">\n{body}\n</div></body></html>\n'
    )


def _entry(entry: Entry) -> str:
    lines = "<br>".join(as_html(line) for line in entry.lines)
    links = " &nbsp; ".join(f'<a href="{as_html(link.url)}">{as_html(link.words)}</a>' for link in entry.links)
    title = f"<strong>{as_html(entry.title)}</strong><br>" if entry.title else ""
    return f'<p style="line-height:1.6">{title}{lines}{"<br>" if lines and links else ""}{links}</p>'
