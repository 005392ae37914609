"""A Sparkplug B edge node: the site's devices, births and deaths, data live and historical, commands.

The MQTT session is `broker_session`, what goes over it `sparkplug_session`, what messages hold `sparkplug_messages`,
the host `sparkplug_host`.
QoS 1 unless ``strict``: what is settled has its PUBACK (ADR 0019).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud_bridge import encode, sparkplug_commands
from cloud_bridge import sparkplug_payload as wire
from cloud_bridge.ask import MAX_OPEN, PER_S, Answer, Code, Request
from cloud_bridge.broker_session import BrokerSession, Will
from cloud_bridge.pace import RateLimit
from cloud_bridge.sparkplug_bdseq import BirthNumber
from cloud_bridge.sparkplug_host import Barrier, HostState
from cloud_bridge.sparkplug_messages import Composer, Row, Seen, death, seen
from cloud_bridge.sparkplug_params import SparkplugParams
from cloud_bridge.sparkplug_roster import Roster, TooManyStraysError
from cloud_bridge.sparkplug_session import Job, Session
from cloud_bridge.uplink import Context, Limits, UplinkError, UplinkKind, on_line
from gateway.model import Delivery, Lane, OutboxEntry, Verb
from gateway.mqtt_link import LinkError, Message

_HOST_S = 30.0  # the primary host is waited for so long at a time, then the status says so
_IN_FLIGHT_BYTES = 100_000  # as in the outbox: some 12,000 readings, 300 kB of messages
_WAITED = timedelta(seconds=2)  # a row this much older than the session had to wait for it
_ANSWER_S = 10.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTS = (
    "births",
    "rebirths",
    "historical",
    "newest_left_out",
    "not_selected",
    "commands",
    "commands_refused",
    "commands_dropped",
)


class SparkplugUplink:
    """One edge node at a platform's broker."""

    def __init__(self, context: Context, params: SparkplugParams) -> None:
        self._context = context
        self._params = params
        self._node = params.node or context.site.id
        self._primary = f"spBv1.0/STATE/{params.primary_host}" if params.primary_host else ""
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._roster = Roster(context.site, context.selection)
        self._composer = Composer(self._roster, context.site.id, context.epoch, params.max_message, self._counts)
        self._number = BirthNumber(context.data_dir, f"{params.host}/{params.group}/{self._node}")
        self._answer_s = params.commands.answer if params.commands else _ANSWER_S
        self._limits = Limits(
            rows=1,
            in_flight=params.window,
            in_flight_bytes=_IN_FLIGHT_BYTES,
            answer_s=params.answer,
            telemetry_bytes=0,
            rate=params.rate,
        )
        self._pace = RateLimit(2 * PER_S, context.clock.now().mono_s)
        self._bd_seq = 0
        self._opened_at = _EPOCH
        self._broker = BrokerSession(params, f"shouwang-spb-{self._node}", on_message=self._heard, on_down=self._note)
        self._session: Session | None = None
        self._host = HostState()
        self._barrier: Barrier | None = None
        self._asks: set[asyncio.Task[None]] = set()
        self._left = ""  # why we have ended the session

    @property
    def limits(self) -> Limits:
        """As much telemetry in hand as the line takes in a few moments."""
        self._limits = on_line(self._limits, self._session.window if self._session else None)
        return self._limits

    @property
    def counts(self) -> Mapping[str, int]:
        """Births, rebirths asked for, readings told as historical, rows not selected, commands, those refused here."""
        return self._counts

    def _topic(self, verb: str, device: str = "") -> str:
        level = f"/{device}" if device else ""
        return f"spBv1.0/{self._params.group}/{verb}/{self._node}{level}"

    def _now_ms(self) -> int:
        return (self._context.clock.now().utc - _EPOCH) // timedelta(milliseconds=1)

    # The session

    async def open(self) -> None:
        """Connect, wait for the primary host, and announce the node; devices follow."""
        self._left = ""
        self._host, self._barrier = HostState(), None
        self._bd_seq = await self._number.next()
        broker = self._broker
        will = Will(self._topic("NDEATH"), death(self._bd_seq, self._now_ms()), is_retained=False)
        link = await broker.connect(will)
        await broker.within(link.subscribe(self._filters()), "SUBSCRIBE")
        if self._primary:
            await broker.within(self._host.came_online.wait(), f"STATE online on {self._primary}", _HOST_S)
        self._opened_at = self._context.clock.now().utc
        self._session = self._new_session()
        await broker.within(self._session.begin(), "NBIRTH")

    def _filters(self) -> list[tuple[str, int]]:
        filters = [(self._topic("NCMD"), 1)]
        if self._params.commands is not None:
            filters.append((self._topic("DCMD", "+"), 1))
        if self._primary:
            filters.append((self._primary, 1))
        return filters

    def _new_session(self) -> Session:
        if self._params.strict:
            link, filters = self._broker.link, [(self._primary, 1)]
            self._barrier = Barrier(lambda: link.subscribe(filters))
        return Session(
            self._composer,
            self._publish,
            topic=self._topic,
            bd_seq=self._bd_seq,
            now_ms=self._now_ms,
            counts=self._counts,
        )

    def _publish(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        link = self._broker.link
        if self._barrier is None:
            return link.publish(topic, payload, 1)
        sent = link.publish(topic, payload, 0)
        return self._barrier.add() if sent.done() and sent.exception() is None else sent

    def _note(self) -> None:
        if self._barrier is not None:
            self._barrier.end(LinkError(self._broker.reason))

    def _leave(self, why: str) -> None:
        """The primary host is gone: say so, and begin again elsewhere in time."""
        self._left = why
        if self._session is not None:
            self._session.stop()
        self._say_dead()
        self._broker.link.end(why)

    def _say_dead(self) -> asyncio.Future[None]:
        dead = death(self._bd_seq, self._now_ms())
        return self._broker.link.publish(self._topic("NDEATH"), dead, 1, is_urgent=True)

    async def ended(self) -> UplinkError:
        """Wait for the end of the session."""
        return self._failure(await self._broker.ended())

    def _failure(self, error: Exception) -> UplinkError:
        return UplinkError(self._left) if self._left else self._broker.failure(error)

    async def close(self) -> None:
        """Say that the node is dead where that still works, and disconnect."""
        session, self._session = self._session, None
        if session is not None:
            session.stop()
        await self._broker.close(None if session is None else self._say_dead)
        error = LinkError("the session ended")
        if self._barrier is not None:
            self._barrier.end(error)
        if session is not None:
            session.end(error)

    # What goes out

    def deliver(self, entries: Sequence[OutboxEntry]) -> asyncio.Future[Delivery]:
        """Send one row; it is accepted when every message with something of it was."""
        (entry,) = entries
        answer: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()

        def finish(error: Exception | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(Delivery(accepted=(entry.seq,)))
            elif isinstance(error, TooManyStraysError):
                answer.set_result(Delivery(rejected={entry.seq: str(error)}))
            else:
                answer.set_exception(self._failure(error))

        try:
            is_selected = self._tell(entry, Job(finish))
        except (encode.EncodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            answer.set_result(Delivery(rejected={entry.seq: f"the row can't be read: {error!r:.300}"}))
            return answer
        if not is_selected:
            self._counts["not_selected"] += 1
            finish(None)
        return answer

    def _tell(self, entry: OutboxEntry, job: Job) -> bool:
        """Begin to send a row; False where nothing of it is for this platform."""
        session, selection = self._session, self._context.selection
        assert session is not None
        if entry.lane is Lane.ALARM:
            told = selection.alarm(encode.alarm(entry.body))
            if told is None:
                return False
            at = datetime.fromisoformat(told["event"]["at"])
            session.urgent(self._composer.alarm(told, (at - _EPOCH) // timedelta(milliseconds=1), job))
            return True
        readings = [seen(raw) for raw in encode.readings(entry.body) if selection.keeps(raw[0])]
        if readings:
            session.row(Row(entry.seq, readings, entry.at < self._opened_at - _WAITED, job))
        return bool(readings)

    def newest(self, readings: Sequence[Sequence[Any]], seq: int) -> None:
        """The newest values while older ones still wait: live at once, what waits is history."""
        if self._session is None:
            return
        told: list[Seen] = []
        for raw in readings:
            with contextlib.suppress(ValueError, TypeError):
                told.append(seen(raw))
        self._session.newest([each for each in told if self._context.selection.keeps(each.point_id)], seq)

    # What comes in

    def _heard(self, message: Message) -> None:
        self._broker.link.ack(message)
        if message.topic == self._primary:
            self._hear_state(message.payload)
        elif self._session is not None:
            if not self._may_hear():
                return
            try:
                self._hear_command(self._session, message)
            except wire.PayloadError as error:
                self._counts["commands_refused"] += 1
                answer = Answer(is_accepted=False, code=str(error)[:300])
                self._session.urgent(self._composer.answer(Request("", Verb.OPERATE), answer, self._now_ms()))

    def _may_hear(self) -> bool:
        """Is one more command within the pace? Answers go ahead of everything: a flood of them would hold up alarms."""
        is_allowed = bool(self._pace.allowance(self._context.clock.now().mono_s, 1))
        if is_allowed:
            self._pace.spend(1)
        else:
            self._counts["commands_dropped"] += 1
        return is_allowed

    def _hear_state(self, payload: bytes) -> None:
        if not self._host.hear(payload):
            return
        if not self._host.is_online and self._session is not None:
            self._leave(f"the primary host {self._params.primary_host} is offline")
        elif self._host.is_online and self._barrier is not None:
            self._barrier.state()

    def _hear_command(self, session: Session, message: Message) -> None:
        if message.retain:
            raise wire.PayloadError("a retained command is an old one: it is never carried out")
        if message.is_oversize:
            raise wire.PayloadError("too large")
        told = wire.told(message.payload)
        age_s = (self._now_ms() - (told.timestamp_ms or 0)) / 1000
        if message.topic == self._topic("NCMD"):
            if sparkplug_commands.is_rebirth(told):
                session.rebirth()
            requests = sparkplug_commands.of_node(told, self._context.epoch, self._context.clock.now())
        elif message.topic.startswith(f"{self._topic('DCMD')}/"):
            device = message.topic.rpartition("/")[2]
            requests = sparkplug_commands.of_device(told, device, self._roster, age_s, self._answer_s)
        else:
            return
        for number, request in enumerate(requests):
            if not number or self._may_hear():  # the first has been paid for
                self._begin(request)

    def _begin(self, request: Request) -> None:
        self._counts["commands"] += 1
        if len(self._asks) >= MAX_OPEN:
            self._counts["commands_refused"] += 1
            self._answer(request, Answer(is_accepted=False, code=Code.BUSY))
            return
        task = asyncio.create_task(self._ask(request), name=f"command {request.id}")
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)

    async def _ask(self, request: Request) -> None:
        self._answer(request, await self._context.ask(request))

    def _answer(self, request: Request, answer: Answer) -> None:
        if self._session is not None:
            self._session.urgent(self._composer.answer(request, answer, self._now_ms()))


def _build(context: Context, params: Any) -> SparkplugUplink:
    return SparkplugUplink(context, params)


KIND = UplinkKind(SparkplugParams, _build)
