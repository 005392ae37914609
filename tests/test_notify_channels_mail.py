"""E-mail through a real SMTP server with TLS: delivered, refused at each step, never in plain text."""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from gateway.clock import ManualClock
from gateway.model import DeviceStatus, Notice, NoticeResult, Recipient
from gateway.notify.channels import Channels
from tests.support_rules import now, site

TEXT = "【火警】3-2-03-0301 烟感火警。请到现场查看。"


@dataclass
class Post:
    """A mail server that takes what ``rcpt`` and ``data`` say; ``grey`` refusals for now come first."""

    rcpt: str = "250 OK"
    data: str = "250 OK"
    grey: int = 0
    mails: list[tuple[list[str], str, str]] = field(default_factory=list)
    logins: int = 0
    port: int = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.grey:
            self.grey -= 1
            return "451 later"
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert session.ssl is not None
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = mail.get_body(("plain",))
        assert body is not None
        if self.data.startswith("250"):
            self.mails.append((envelope.rcpt_tos, str(mail["Subject"]), body.get_content().strip()))
        return self.data

    def login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, said: LoginPassword
    ) -> AuthResult:
        self.logins += 1
        return AuthResult(success=said.password == b"s3cret", handled=False)


@asynccontextmanager
async def post_office(tls: ssl.SSLContext | None, **more: object) -> AsyncIterator[Post]:
    it = Post(**more)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(it, hostname="mail", tls_context=tls, authenticator=it.login, auth_required=tls is not None)

    server = await loop.create_server(session, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """A server of an authority that the gateway trusts."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    with authority.cert_pem.tempfile() as path:
        monkeypatch.setenv("SSL_CERT_FILE", path)
        yield server


def address(port: int, password: str = "s3cret", to: str = "duty@example.cn") -> str:
    return f"mailtos://gate:{password}@127.0.0.1:{port}/?from=gate@example.cn&to={to}&mode=starttls"


def channels(text: str, statuses: list[DeviceStatus] | None = None) -> Channels:
    people = {"duty": Recipient("duty", "值班室", {"email": text})}
    report = (statuses if statuses is not None else []).append
    return Channels(replace(site([], []), recipients=people), ManualClock(now(0)), first_wait_s=0.01, report=report)


async def send(text: str) -> NoticeResult:
    it = channels(text)
    try:
        return await it.send(Notice("k", "a", "raised", "email", "duty", TEXT))
    finally:
        it.close()


async def test_mail_arrives_with_its_words(tls: ssl.SSLContext) -> None:
    """Over STARTTLS and after a log-in: the text, and its beginning as the subject."""
    async with post_office(tls) as it:
        result = await send(address(it.port))
    assert (result.is_accepted, result.state, result.detail) == (True, "accepted", "")
    assert it.mails == [(["duty@example.cn"], TEXT, TEXT)]


async def test_greylisting_costs_no_mail(tls: ssl.SSLContext) -> None:
    """A server that says later twice has the mail after the third try, once."""
    async with post_office(tls, grey=2) as it:
        assert (await send(address(it.port))).is_accepted
    assert len(it.mails) == 1


@pytest.mark.parametrize(
    "refusal",
    [{"rcpt": "550 no such user"}, {"data": "552 mailbox full"}, {"data": "554 looks like spam"}],
)
async def test_refusal_of_the_server_is_told(
    tls: ssl.SSLContext, refusal: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """No such user, full, spam: failed, and neither result nor log names the address or the password."""
    logging.getLogger().setLevel(logging.INFO)
    async with post_office(tls, **refusal) as it:
        result = await send(address(it.port))
    assert (result.is_accepted, result.state, it.mails) == (False, "failed", [])
    assert "did not accept it" in result.detail
    assert "duty@example.cn" not in result.detail + "".join(
        each.getMessage() for each in caplog.records if not each.name.startswith("mail.")
    )


async def test_wrong_password_is_found_before_anybody_needs_it(tls: ssl.SSLContext) -> None:
    """The link check logs in, sends nothing, and says what is wrong; a good one ends the trouble."""
    statuses: list[DeviceStatus] = []
    async with post_office(tls) as it:
        found = channels(address(it.port, "old"), statuses)
        await found.check_links()
        assert [each.is_online for each in statuses] == [False]
        assert "refuses the user or the password" in statuses[0].reason
        people = {"duty": Recipient("duty", "值班室", {"email": address(it.port)})}
        found._site = replace(found._site, recipients=people)
        await found.check_links()
    found.close()
    assert [each.is_online for each in statuses] == [False, True]
    assert it.logins >= 2
    assert it.mails == []


async def test_server_without_tls_gets_no_password() -> None:
    """A server that offers no STARTTLS gets neither the password nor the mail."""
    async with post_office(None) as it:
        result = await send(address(it.port))
    assert not result.is_accepted
    assert (it.logins, it.mails) == (0, [])


async def test_server_with_a_strangers_certificate_gets_nothing() -> None:
    """A certificate that nobody vouches for: no log-in, no mail."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server)
    async with post_office(server) as it:
        result = await send(address(it.port))
    assert not result.is_accepted
    assert (it.logins, it.mails) == (0, [])
