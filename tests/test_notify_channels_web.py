"""Robots and the webhook over real HTTP and TLS: accepted, refused in the body, signed, never redirected."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import structlog
import trustme

from gateway.clock import ManualClock
from gateway.model import DeviceStatus, Notice, NoticeResult, Recipient
from gateway.notify.channels import Channels, https
from gateway.notify.channels.robots import DINGTALK, FEISHU, WECOM, Endpoint, endpoint
from tests.support_receiver import receiver
from tests.support_rules import now, site

TEXT = "【火警】3-2-03-0301 烟感火警"
SECRET = "SECabc+/="
PATHS = {
    "wecom": "/cgi-bin/webhook/send?key=KEY-1",
    "dingtalk": "/robot/send?access_token=TOKEN",
    "feishu": "/open-apis/bot/v2/hook/HOOK",
}
YES: dict[str, bytes] = {
    "wecom": b'{"errcode":0,"errmsg":"ok"}',
    "dingtalk": b'{"errcode":0,"errmsg":"ok"}',
    "feishu": b'{"code":0,"data":{},"msg":"success"}',
}


def channels(channel: str, address: str, statuses: list[DeviceStatus] | None = None) -> Channels:
    people = {"duty": Recipient("duty", "值班室", {channel: address})}
    return Channels(
        replace(site([], []), recipients=people),
        ManualClock(now(0)),
        first_wait_s=0.01,
        timeout_s=3.0,
        report=(statuses if statuses is not None else []).append,
    )


async def send(channel: str, address: str) -> NoticeResult:
    it = channels(channel, address)
    try:
        return await it.send(Notice("k/地下/1", "smoke-fire:p:1", "raised", channel, "duty", TEXT))
    finally:
        it.close()


def words(channel: str, body: dict[str, Any]) -> str:
    text: str = body["content"]["text"] if channel == "feishu" else body["text"]["content"]
    return text


@pytest.mark.parametrize("channel", PATHS)
async def test_robot_gets_the_words(channel: str) -> None:
    """Each of the three gets the text in its own form; its yes in the body is the acceptance."""
    async with receiver(answer=YES[channel]) as it:
        result = await send(channel, f"http://127.0.0.1:{it.port}{PATHS[channel]}")
    assert (result.is_accepted, result.state, result.detail) == (True, "accepted", "")
    assert words(channel, it.bodies[0]) == TEXT
    assert it.heads[0].startswith(f"POST {PATHS[channel]} ")


@pytest.mark.parametrize(
    ("channel", "answer", "tries", "told"),
    [
        ("wecom", {"errcode": 93000, "errmsg": "invalid webhook url, hint: [1700000000_1]"}, 1, "is not valid"),
        ("wecom", {"errcode": 45009, "errmsg": "api freq out of limit"}, 4, "too many"),
        ("wecom", {"errcode": 40008, "errmsg": "invalid message type"}, 4, "did not accept it (40008)"),
        ("dingtalk", {"errcode": 310000, "errmsg": "keywords not in content"}, 1, "security settings"),
        ("dingtalk", {"errcode": 300001, "errmsg": "token is not exist"}, 1, "access_token is wrong"),
        ("dingtalk", {"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}, 4, "too many"),
        ("feishu", {"code": 19024, "msg": "Key Words Not Found"}, 1, "keyword"),
        ("feishu", {"code": 19021, "msg": "sign match fail or timestamp is not within one hour"}, 1, "signature"),
        ("feishu", {"code": 11232, "msg": "frequency limited psm"}, 4, "too many"),
        ("feishu", {"StatusCode": 19001, "StatusMessage": "param invalid"}, 1, "address is not valid"),
        ("wecom", "<html>blocked by the firewall</html>", 4, "answered something else"),
        ("dingtalk", [], 4, "answered something else"),
    ],
)
async def test_refusal_inside_http_200_is_a_refusal(channel: str, answer: Any, tries: int, told: str) -> None:
    """The three say no with HTTP 200: that is never a delivery; what a person must mend is tried once."""
    body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    async with receiver(answer=body) as it:
        result = await send(channel, f"http://127.0.0.1:{it.port}{PATHS[channel]}")
    assert (result.is_accepted, result.state) == (False, "failed")
    assert told in result.detail
    assert len(it.raw) == tries


@pytest.mark.parametrize("channel", ["dingtalk", "feishu"])
async def test_robot_with_a_secret_is_signed_its_way(channel: str) -> None:
    """What stands behind # signs the message as the provider checks it, and never travels itself."""
    async with receiver(answer=YES[channel]) as it:
        assert (await send(channel, f"http://127.0.0.1:{it.port}{PATHS[channel]}#{SECRET}")).is_accepted
    assert SECRET not in it.heads[0] + it.raw[0].decode()
    if channel == "dingtalk":
        query = parse_qs(urlsplit(it.heads[0].split(" ")[1]).query)
        stamp, sign = query["timestamp"][0], query["sign"][0]
        key, text = SECRET, f"{stamp}\n{SECRET}"
        assert int(stamp) == now(0).utc.timestamp() * 1000
    else:
        stamp, sign = it.bodies[0]["timestamp"], it.bodies[0]["sign"]
        key, text = f"{stamp}\n{SECRET}", ""
        assert int(stamp) == now(0).utc.timestamp()
    assert sign == base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("wecombot://aB-1_c", Endpoint(WECOM, "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=aB-1_c")),
        ("https://qyapi.weixin.qq.com/x?key=k", Endpoint(WECOM, "https://qyapi.weixin.qq.com/x?key=k")),
        (
            "dingtalk://SEC1@Tok2/13800138000",
            Endpoint(DINGTALK, "https://oapi.dingtalk.com/robot/send?access_token=Tok2", "SEC1", ("13800138000",)),
        ),
        ("feishu://Tok-9#s", Endpoint(FEISHU, "https://open.feishu.cn/open-apis/bot/v2/hook/Tok-9", "s")),
        ("mailtos://u:p@example.cn", None),
        ("json://127.0.0.1/robot", None),
        ("https://example.cn/", None),
        ("https://[", None),
        ("", None),
    ],
)
def test_address_of_a_robot_in_both_forms(text: str, wanted: Endpoint | None) -> None:
    """The address its page shows, and the short form of apprise; everything else is no robot's."""
    assert endpoint(text) == wanted


async def test_robot_under_apprise_is_judged_by_its_body_too() -> None:
    """Apprise takes HTTP 200 for a yes: an address of a robot among its addresses does not go through it."""
    async with receiver(answer=b'{"errcode":93000}') as it:
        result = await send("apprise", f"http://127.0.0.1:{it.port}{PATHS['wecom']}")
    assert not result.is_accepted
    assert "is not valid" in result.detail


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
        https._context.cache_clear()
        yield server
    https._context.cache_clear()


async def test_webhook_is_verified_by_the_manual(tls: ssl.SSLContext) -> None:
    """A receiver that follows the manual's example accepts it, and refuses a changed byte or an old timestamp."""
    async with receiver(204, tls=tls) as it:
        result = await send("webhook", f"https://127.0.0.1:{it.port}/hook#s3cret")
    assert (result.is_accepted, result.state) == (True, "accepted")
    stamp, signature, body = it.header("X-Shouwang-Timestamp"), it.header("X-Shouwang-Signature"), it.raw[0]

    def verified(body: bytes, at_s: float, secret: bytes = b"s3cret") -> bool:
        wanted = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return abs(at_s - int(stamp)) <= 300 and hmac.compare_digest("v1=" + wanted, signature)

    at_s = now(0).utc.timestamp()
    assert verified(body, at_s)
    assert not verified(body.replace(b"fire", b"sire"), at_s)
    assert not verified(body, at_s + 301)
    assert not verified(body, at_s, b"other")
    assert "s3cret" not in it.heads[0]
    assert it.bodies[0] == {
        "id": "k/地下/1", "gateway": site([], []).id, "alarm": "smoke-fire:p:1", "reason": "raised", "class": "",
        "recipient": "duty", "text": TEXT, "at": now(0).utc.isoformat(),
    }  # fmt: skip


async def test_certificate_of_a_stranger_is_refused() -> None:
    """A server whose certificate nobody vouches for gets nothing, and the text says so."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server)
    async with receiver(204, tls=server) as it:
        result = await send("webhook", f"https://127.0.0.1:{it.port}/hook#s3cret")
    assert not result.is_accepted
    assert "certificate is not trusted" in result.detail
    assert it.raw == []


@pytest.mark.parametrize(
    ("status", "tries", "told"),
    [(302, 1, "redirects"), (404, 1, "refused it (HTTP 404)"), (429, 4, "HTTP 429"), (500, 4, "HTTP 500")],
)
async def test_refusals_of_a_webhook(status: int, tries: int, told: str) -> None:
    """A redirect is never followed; what may pass is tried again, what a person must mend is not."""
    async with receiver(200) as trap:
        there = f"Location: http://127.0.0.1:{trap.port}/\r\n"
        async with receiver(status, headers=there) as it:
            result = await send("webhook", f"http://127.0.0.1:{it.port}/hook#s")
    assert not result.is_accepted
    assert told in result.detail
    assert (len(it.raw), trap.heads) == (tries, [])


async def test_endless_answer_is_cut_off() -> None:
    """A provider that answers a gigabyte costs 64 KiB."""
    async with receiver(answer=b" " * 3_000_000 + YES["wecom"]) as it:
        result = await send("wecom", f"http://127.0.0.1:{it.port}{PATHS['wecom']}")
    assert "answered something else" in result.detail


async def test_no_log_holds_an_address() -> None:
    """Neither the log nor the result nor the fault repeats a token, whatever goes wrong."""
    statuses: list[DeviceStatus] = []
    it = channels("wecom", "http://127.0.0.1:9/cgi-bin/webhook/send?key=TOPSECRET", statuses)
    with structlog.testing.capture_logs() as logs:
        result = await it.send(Notice("k", "a", "raised", "wecom", "duty", TEXT))
    it.close()
    assert not result.is_accepted
    assert "cannot be reached" in result.detail
    assert "TOPSECRET" not in unquote(f"{logs} {result} {statuses}")
    assert [each["event"] for each in logs] == ["channel_failed"]


async def test_link_check_sends_nothing_and_ends_only_trouble_of_the_link() -> None:
    """A check asks for the front page without the token; it mends a lost link, never a refused key."""
    statuses: list[DeviceStatus] = []
    async with receiver(answer=b'{"errcode":93000}') as it:
        found = channels("wecom", f"http://127.0.0.1:{it.port}{PATHS['wecom']}", statuses)
        await found.check_links()
        assert [each.is_online for each in statuses] == [True]
        assert it.raw == []
        assert it.heads[0].startswith("HEAD / ")
        assert "KEY-1" not in it.heads[0]
        await found.send(Notice("k", "a", "raised", "wecom", "duty", TEXT))
        await found.check_links()
    assert [each.is_online for each in statuses] == [True, False]
    found.close()


async def test_link_that_was_lost_comes_back_with_the_check() -> None:
    """Nobody listens: in trouble, told once; somebody listens again: the check ends it."""
    statuses: list[DeviceStatus] = []
    async with receiver() as it:
        port = it.port
    found = channels("webhook", f"http://127.0.0.1:{port}/#s", statuses)
    await found.send(Notice("k", "a", "raised", "webhook", "duty", TEXT))
    await found.check_links()
    assert [(each.device_id, each.is_online) for each in statuses] == [("channel/duty.webhook", False)]
    async with receiver() as it:
        found._site = replace(
            found._site,
            recipients={"duty": Recipient("duty", "值班室", {"webhook": f"http://127.0.0.1:{it.port}/#s"})},
        )
        await found.check_links()
    found.close()
    assert [each.is_online for each in statuses] == [False, True]
