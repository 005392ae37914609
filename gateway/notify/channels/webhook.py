"""Room: notify. A generic webhook: one JSON document, signed, over verified TLS. Robots of chats are in `robots`.

The contract with the receiver is docs/notification.zh-CN.md, section webhook: change both or neither.
"""

from __future__ import annotations

import hashlib
import hmac

import orjson

from gateway.notify.channels.base import Address, Limit, Line, Message, NeverError, Receipt, to_each
from gateway.notify.channels.https import post, reach, warm

TIMESTAMP, SIGNATURE = "X-Shouwang-Timestamp", "X-Shouwang-Signature"


class WebhookCarrier:
    """Posts to the recipient's server; any 2xx is its acceptance."""

    limit = Limit()

    def __init__(self, site_id: str) -> None:
        self._site_id = site_id

    def lines(self, address: Address) -> list[Line]:
        """See `Carrier.lines`."""
        return [Line(address.line, self.limit)]

    async def warm(self) -> None:
        """See `Carrier.warm`."""
        await warm()

    async def carry(self, address: Address, message: Message, reached: set[str]) -> Receipt:
        """See `Carrier.carry`. The id stays the same at each try, so that a repeat is harmless."""
        body = orjson.dumps(
            {
                "id": message.key,
                "gateway": self._site_id,
                "alarm": message.alarm_id,
                "reason": message.reason,
                "class": "" if message.alarm_class is None else message.alarm_class.value,
                "recipient": message.recipient,
                "text": message.text,
                "at": message.at.isoformat(),
            }
        )
        stamp = str(int(message.at.timestamp()))

        async def send(text: str) -> None:
            url, secret = _parts(text)
            headers = {
                "Content-Type": "application/json; charset=utf-8",
                TIMESTAMP: stamp,
                SIGNATURE: sign(secret, stamp, body),
            }
            await post(url, body, headers)

        await to_each(address.reveal(), reached, send)
        return Receipt()

    async def check(self, address: Address) -> bool:
        """See `Carrier.check`."""
        for each in address.reveal():
            await reach(_parts(each)[0])
        return True


def sign(secret: str, stamp: str, body: bytes) -> str:
    """``v1=`` and the HMAC-SHA256 (hexadecimal) of timestamp, a full stop, and the body as it is sent."""
    return "v1=" + hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _parts(text: str) -> tuple[str, str]:
    url, _, secret = text.partition("#")
    if not secret:
        raise NeverError(
            "webhook 的地址没有签名口令:写成 https://…#口令",
            "the webhook's address has no signing secret: write https://...#secret",
        )
    return url, secret
