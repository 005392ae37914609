"""Room: notify. The group robots of 企业微信, 钉钉 and 飞书.

Ours and not apprise's: all three answer HTTP 200 to a message they refuse (wrong key, wrong signature, missing
keyword, too many) and say so in the body only, which apprise does not read: it would count as sent.
Codes as the providers document them; a code that is not in the table is a refusal that may pass.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

import orjson

from gateway.clock import Clock
from gateway.notify.channels.base import Address, Limit, Line, Message, NeverError, NotNowError, Receipt, to_each
from gateway.notify.channels.https import post, reach, warm

PER_MINUTE = 20  # each of the three refuses, or bans for minutes, what goes beyond


class Robot(NamedTuple):
    """What one provider's robots answer."""

    title: str
    title_en: str
    code_keys: tuple[str, ...]  # where the answer has its code; 0 is yes
    for_people: Mapping[int, tuple[str, str]]  # codes that another try does not mend
    busy: frozenset[int] = frozenset()  # codes that say: too many, or later


WECOM = Robot(
    "企业微信", "WeCom", ("errcode",),
    {
        93000: ("机器人地址(key)无效或机器人已被删除", "its address (key) is not valid, or the robot was removed"),
        40058: ("消息格式不对", "the message has a wrong form"),
    },
    frozenset({-1, 45009, 45033}),
)  # fmt: skip
DINGTALK = Robot(
    "钉钉", "DingTalk", ("errcode",),
    {
        300001: ("access_token 不对", "its access_token is wrong"),
        310000: (
            "安全设置不通过:检查加签口令、关键词(要有 【)、IP 白名单和网关时间",
            "its security settings refuse it: check the signing secret, keywords (use 【), allowed IPs and the clock",
        ),
        400101: ("access_token 不对", "its access_token is wrong"),
        400102: ("机器人已停用", "the robot is switched off"),
    },
    frozenset({-1, 130101, 130102, 410100, 90018, 90030}),
)  # fmt: skip
FEISHU = Robot(
    "飞书", "Feishu", ("code", "StatusCode"),
    {
        19001: ("机器人地址无效", "its address is not valid"),
        19021: ("签名不对:检查签名口令和网关时间", "the signature is wrong: check the secret and the clock"),
        19022: ("网关的 IP 不在白名单里", "the gateway's IP is not allowed"),
        19024: ("消息里没有机器人要求的关键词(建议用 【)", "the keyword it wants is missing (use 【)"),
        9499: ("消息格式不对", "the message has a wrong form"),
    },
    frozenset({11232, 11233}),
)  # fmt: skip

_HOSTS = {
    "qyapi.weixin.qq.com": WECOM, "oapi.dingtalk.com": DINGTALK,
    "open.feishu.cn": FEISHU, "open.larksuite.com": FEISHU,
}  # fmt: skip
_SCHEMES = {  # apprise's short forms: what stands before the token, and the place of the token
    "wecombot": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=",
    "dingtalk": "https://oapi.dingtalk.com/robot/send?access_token=",
    "feishu": "https://open.feishu.cn/open-apis/bot/v2/hook/",
    "lark": "https://open.larksuite.com/open-apis/bot/v2/hook/",
}
_PATHS = {"/cgi-bin/webhook/send": WECOM, "/robot/send": DINGTALK, "/open-apis/bot/v2/hook": FEISHU}


class Endpoint(NamedTuple):
    """One robot: where it listens, and with what it wants to be signed."""

    robot: Robot
    url: str
    secret: str = ""
    phones: tuple[str, ...] = ()  # 钉钉: whom to call by name


def endpoint(text: str) -> Endpoint | None:
    """The robot at ``text``: the address its page shows, ``#`` and the signing secret behind it; or apprise's form.

    None when it is no robot's.
    """
    try:
        parts = urlsplit(text)
        base = _SCHEMES.get(parts.scheme)
        if base is None:
            robot = _HOSTS.get(parts.hostname or "") or next(
                (found for path, found in _PATHS.items() if parts.path.startswith(path)), None
            )
            is_url = parts.scheme in {"http", "https"} and parts.hostname
            return Endpoint(robot, parts._replace(fragment="").geturl(), parts.fragment) if robot and is_url else None
        user, _, token = parts.netloc.rpartition("@")  # hostname would lose capitals
        options = parse_qs(parts.query)
    except ValueError:
        return None
    token = options.get("token", options.get("key", [unquote(token)]))[0]
    secret = options.get("secret", [unquote(user)])[0] or parts.fragment
    phones = tuple(each for each in parts.path.split("/") if each.lstrip("+").isdigit())
    robot = _HOSTS[urlsplit(base).netloc]
    return Endpoint(robot, base + quote(token, safe=""), secret, phones) if token else None


def robot_lines(address: Address) -> list[Line]:
    """The robots at ``address``, each with the limit that its provider has for it, whoever else speaks through it.

    Raises:
        NeverError: the address cannot be read.
    """
    found = [endpoint(each) for each in address.reveal()]
    return [Line(each.url, RobotCarrier.limit) for each in found if each is not None]


class RobotCarrier:
    """Robots of all three providers; which one it is, the address says."""

    limit = Limit(per_minute=PER_MINUTE, merges=True)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def lines(self, address: Address) -> list[Line]:
        """See `Carrier.lines`."""
        return robot_lines(address) or [Line(address.line, self.limit)]

    async def warm(self) -> None:
        """See `Carrier.warm`."""
        await warm()

    async def carry(self, address: Address, message: Message, reached: set[str]) -> Receipt:
        """See `Carrier.carry`."""
        await to_each(address.reveal(), reached, lambda each: self.say(each, message.text))
        return Receipt()

    async def check(self, address: Address) -> bool:
        """See `check_one`, of each."""
        for each in address.reveal():
            await self.check_one(each)
        return True

    async def check_one(self, text: str) -> None:
        """The provider's server answers; whether it knows the robot cannot be asked without speaking."""
        await reach(_known(text).url)

    async def say(self, text: str, words: str) -> None:
        """Say ``words`` through the robot at ``text``."""
        found = _known(text)
        url, body = _request(found, words, self._clock.now().utc.timestamp())
        answer = await post(url, orjson.dumps(body), {"Content-Type": "application/json; charset=utf-8"})
        _judge(found.robot, answer)


def _known(text: str) -> Endpoint:
    found = endpoint(text)
    if found is None:
        raise NeverError(
            "地址不是企业微信、钉钉或飞书机器人的:从机器人页面复制 https://… 的整条地址",
            "the address is no robot's: copy the whole https://... from the page of the robot",
        )
    return found


def _request(to: Endpoint, words: str, at_s: float) -> tuple[str, dict[str, Any]]:
    """URL and body, signed where there is a secret. Each provider signs in its own way."""
    if to.robot is WECOM:
        return to.url, {"msgtype": "text", "text": {"content": words}}
    if to.robot is DINGTALK:
        body: dict[str, Any] = {"msgtype": "text", "text": {"content": words}}
        if to.phones:
            body["at"] = {"atMobiles": list(to.phones), "isAtAll": False}
        if not to.secret:
            return to.url, body
        stamp = str(round(at_s * 1000))
        sign = quote(_hmac(to.secret, f"{stamp}\n{to.secret}"), safe="")
        return f"{to.url}&timestamp={stamp}&sign={sign}", body
    body = {"msg_type": "text", "content": {"text": words}}
    if to.secret:
        stamp = str(int(at_s))
        body |= {"timestamp": stamp, "sign": _hmac(f"{stamp}\n{to.secret}", "")}  # the text is the key: so they want it
    return to.url, body


def _hmac(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def _judge(robot: Robot, answer: bytes) -> None:
    """HTTP 200 says nothing: only the code in the body does."""
    try:
        said = orjson.loads(answer)
        code = next(int(said[key]) for key in robot.code_keys if key in said)
    except (orjson.JSONDecodeError, StopIteration, TypeError, ValueError):
        raise NotNowError(
            f"{robot.title}的回答看不懂:检查地址", f"{robot.title_en} answered something else: check the address"
        ) from None
    if code == 0:
        return
    if code in robot.for_people:
        zh, en = robot.for_people[code]
        raise NeverError(f"{robot.title}拒收({code}):{zh}", f"{robot.title_en} refused it ({code}): {en}")
    if code in robot.busy:
        raise NotNowError(
            f"{robot.title}说发得太多或太忙({code})", f"{robot.title_en} says too many, or later ({code})"
        )
    raise NotNowError(f"{robot.title}没有接受({code})", f"{robot.title_en} did not accept it ({code})")
