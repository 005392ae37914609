"""Room: notify. What every carrier keeps to: a message, an address, a limit, two ways to fail.

Texts of failures are for people: Chinese, then English. They come from closed sets: an address, a number, a token
or a provider's own words never enter them, because they go to the screen, the journal and the log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from gateway.model import AlarmClass, Recipient
from gateway.secret import SecretError, SecretRef

ACCEPTED, DELIVERED, FAILED = "accepted", "delivered", "failed"
_SECRETS = frozenset({"file", "env", "credential"})


def both(zh: str, en: str) -> str:
    """One text for those who read either."""
    return f"{zh} / {en}"


class NotNowError(Exception):
    """It did not go out this time; another try may help.

    ``is_link``: nobody was reached, so that a link check that succeeds ends the trouble.
    """

    def __init__(self, zh: str, en: str, *, is_link: bool = False) -> None:
        super().__init__(both(zh, en))
        self.is_link = is_link


class NeverError(Exception):
    """It cannot go out until a person has done what the text says.

    ``is_setup``: an address or a secret is missing, so that a check that finds it ends the trouble.
    """

    def __init__(self, zh: str, en: str, *, is_setup: bool = False) -> None:
        super().__init__(both(zh, en))
        self.is_setup = is_setup


class OvertakenError(Exception):
    """While it waited, people took care of it: saying it now would be wrong. No fault of the channel."""

    def __init__(self) -> None:
        super().__init__(both("等待发送时已有人处置,不再发送", "people took care of it while it waited: not sent"))


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be said; ``at`` is when this try begins."""

    key: str
    alarm_id: str
    reason: str
    recipient: str
    text: str
    alarm_class: AlarmClass | None  # None: of a rule that is not known any more
    at: datetime

    @property
    def is_urgent(self) -> bool:
        """Is it about lives? What is not known is not less."""
        return self.alarm_class is None or self.alarm_class.is_life_safety


class Receipt(NamedTuple):
    """What is known of a message that went out; ``is_final`` False: a report of its delivery may follow."""

    state: str = ACCEPTED
    detail: str = ""
    is_final: bool = True


class Limit(NamedTuple):
    """How much one provider takes at once and in a minute."""

    width: int = 4  # tries at once
    per_minute: int = 0  # 0: as many as there are
    merges: bool = False  # messages that wait may go out as one; those about lives only when the others are held back
    timeout_s: float | None = None  # of one try; None: as the gateway has it


class Line(NamedTuple):
    """What is shared with other recipients (a robot, a modem, a loudspeaker), and its limit."""

    name: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class Address:
    """Where a recipient is reached. ``name`` is how the configuration writes it: a reference, never the secret."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, recipient: Recipient, channel: str) -> Address:
        """The address of ``recipient`` for ``channel``: ``reference|option=value|...``."""
        name, *rest = recipient.addresses.get(channel, "").split("|")
        return cls(name, dict(each.split("=", 1) for each in rest))

    @property
    def line(self) -> str:
        """What is shared with other recipients: the modem, the loudspeaker; else the address itself."""
        return self.options.get("port") or self.options.get("point") or self.options.get("speaker") or self.name

    def reveal(self) -> list[str]:
        """The addresses themselves, read each time, so that a new one counts.

        Raises:
            NeverError: there is none, or its secret cannot be read.
        """
        found = secret(self.name).split()
        if not found:
            raise NeverError(
                "notify.yaml 里没有写这个方式的地址", "has no address: give it one in notify.yaml", is_setup=True
            )
        return found


def secret(text: str) -> str:
    """``file:path``, ``env:NAME`` and ``credential:name`` are read; anything else is meant as it stands.

    Raises:
        NeverError: it cannot be read; the text says which and never what.
    """
    kind, _, name = text.partition(":")
    if kind not in _SECRETS:
        return text
    try:
        return SecretRef(**{kind: name}).text().strip()
    except SecretError as error:
        raise NeverError("读不到地址或口令", str(error), is_setup=True) from None


class Carrier(Protocol):
    """One kind of channel."""

    limit: Limit

    def lines(self, address: Address) -> list[Line]:
        """Whose turns a message to ``address`` takes.

        Raises:
            NeverError: only a person can help.
        """
        ...

    async def warm(self) -> None:
        """Load what the first message would have to wait for. Raises nothing that would be said later anyway."""
        ...

    async def carry(self, address: Address, message: Message, reached: set[str]) -> Receipt:
        """Say it once to everybody at ``address`` who is not in ``reached`` yet.

        Raises:
            NotNowError: another try may help.
            NeverError: only a person can help.
        """
        ...

    async def check(self, address: Address) -> bool:
        """Can the provider be reached? Says nothing to anybody. False: this cannot be told.

        Raises:
            NotNowError, NeverError: it cannot be reached, and why.
        """
        ...


async def to_each(addresses: list[str], reached: set[str], send: Callable[[str], Awaitable[None]]) -> None:
    """Send to every address that has not got it; one that fails keeps none of the others from it.

    Raises:
        NotNowError, NeverError: of the first that failed; one that may yet succeed comes before one that cannot.
    """
    failed: list[NotNowError | NeverError] = []
    for each in addresses:
        if each in reached:
            continue
        try:
            await send(each)
        except (NotNowError, NeverError) as error:
            failed.append(error)
        else:
            reached.add(each)
    if failed:
        raise next((each for each in failed if isinstance(each, NotNowError)), failed[0])
