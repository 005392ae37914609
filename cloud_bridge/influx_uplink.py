"""InfluxDB 2 and 3, and VictoriaMetrics, through influxdb-client's v2 write API: synchronous, from the outbox.

The client's own batching and retries are in memory only and lose what they hold: they are not used. Only a 2xx
settles. A refused batch (400, 413, 422) is split until the bad line is found, and only its row is put aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from cloud_bridge import encode
from cloud_bridge.influx_lines import Lines, alarm_event, name
from cloud_bridge.influx_split import Line, Refused, write_all
from cloud_bridge.narrow import Sent, Window
from cloud_bridge.series import describe
from cloud_bridge.settings import Common, Seconds, Tls, is_loopback, wrong
from cloud_bridge.uplink import Context, Limits, UplinkError, UplinkKind
from gateway.model import Delivery, Lane, Now, OutboxEntry
from gateway.secret import SecretError, SecretRef

_ROWS = 5_000
_BATCH_BYTES = 250_000  # as in the outbox; some 30,000 lines
_NEWEST_ROWS = 50_000  # that wait for a request under way
_NEWEST_BYTES = 10  # of a reading, packed
_ANSWER_S = 300.0  # splitting a batch takes several requests; each has its own time limit
_MAX_RETRY_AFTER_S = 300.0
_NS_PER_S = 1_000_000_000
_ALIVE_EVERY_S = 60.0  # shouwang_bridge_up: who watches many gateways sees which has fallen silent


class InfluxParams(Common):
    """``type: influxdb`` of an uplink."""

    can_ask: ClassVar[bool] = False
    url: str  # http(s)://host:port, without /api/v2
    bucket: str = Field(min_length=1)
    org: str = ""
    token: SecretRef | None = None
    tls: Tls = Tls()
    insecure: bool = False  # plaintext over a network: the token and everything else can be read on the way
    timeout: Seconds = Field(default=10.0, ge=1, le=60)  # of one request

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise wrong(
                "E405", "url 不是网址", "url is no address", "写成 https://主机:端口", "write https://host:port"
            )
        if parts.username or parts.password:
            raise wrong(
                "E406",
                "网址里不能写密码",
                "a password in the address",
                "改用 token: {file: 路径}",
                "write token: {file: path}",
            )
        if parts.path.rstrip("/").endswith(("/write", "/api/v2")) or parts.query:
            raise wrong(
                "E412",
                "url 只写到端口",
                "url ends with the port",
                "写成 https://主机:端口,后面的 /api/v2/write 和 bucket、org 由网关自己加",
                "write https://host:port: the gateway adds /api/v2/write, bucket and org itself",
            )
        return url.rstrip("/")

    @model_validator(mode="after")
    def _is_protected(self) -> InfluxParams:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not self.insecure and not is_loopback(parts.hostname or ""):
            raise wrong(
                "E407",
                "http 会把令牌明文发到网络上",
                "http sends the token readable over the network",
                "写成 https://,或者加一行 insecure: true",
                "write https://, or add insecure: true",
            )
        return self


class InfluxUplink:
    """One bucket of a time-series server."""

    def __init__(self, context: Context, params: InfluxParams) -> None:
        self._params = params
        self._window = Window(_BATCH_BYTES)  # one batch is on its way at a time: its size follows from what it takes
        self._limits = Limits(
            rows=_ROWS, in_flight=1, in_flight_bytes=_BATCH_BYTES, answer_s=_ANSWER_S, rate=params.rate
        )
        self._site_id = context.site.id
        self._clock = context.clock
        self._selection = context.selection
        self._not_selected = dict.fromkeys(Lane, 0)  # a lane is written by one thread at a time
        self._lines = Lines(describe(context.site))  # of telemetry: one batch at a time
        self._newest_lines = Lines(describe(context.site))  # these go at the same time
        self._newest_rows: list[Sequence[Any]] = []
        self._is_telling = False
        self._counts = {"newest": 0, "newest_left_out": 0}
        self._threads: ThreadPoolExecutor | None = None
        self._client: Any = None
        self._api: Any = None
        self._busy: set[asyncio.Future[Any]] = set()
        self._alive_s = float("-inf")  # monotonic: when it last said that it is there

    @property
    def limits(self) -> Limits:
        """One batch, as large as the line carries in a moment."""
        if self._window.size != self._limits.telemetry_bytes:
            self._limits = replace(self._limits, telemetry_bytes=self._window.size)
        return self._limits

    @property
    def counts(self) -> dict[str, int]:
        """Readings without a value, rows of which nothing is for this platform, newest values sent and left out."""
        return {
            "without_value": self._lines.without_value,
            "not_selected": sum(self._not_selected.values()),
            **self._counts,
        }

    async def open(self) -> None:
        """Make the client; the first write shows whether the server is there."""
        if self._busy:
            raise UplinkError("a write of the last session still hangs")
        loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(len(Lane) + 1, "influxdb")  # newest values hold up neither lane
        try:
            await loop.run_in_executor(self._threads, self._connect)
        except (SecretError, OSError) as error:
            raise UplinkError(str(error)) from error
        await loop.run_in_executor(self._threads, self._check)

    def _connect(self) -> None:
        from influxdb_client.client.influxdb_client import InfluxDBClient  # noqa: PLC0415 - half a second, only where it is used
        from influxdb_client.client.write_api import SYNCHRONOUS  # noqa: PLC0415 - as above

        params = self._params
        is_tls = params.url.startswith("https:")
        token = params.token.read() if params.token else ""
        if not token.isascii():  # a header's error would quote it
            raise SecretError("the token has characters that no token has: look for stray ones in its file")
        self._client = InfluxDBClient(
            url=params.url,
            token=token,
            org=params.org or "-",
            timeout=int(params.timeout * 1000),
            enable_gzip=True,
            ssl_context=params.tls.context() if is_tls else None,
        )
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    def deliver(self, entries: Sequence[OutboxEntry]) -> asyncio.Future[Delivery]:
        """Write the rows as one batch."""
        assert self._threads is not None
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._write, list(entries))
        self._busy.add(future)
        future.add_done_callback(self._busy.discard)
        if entries[0].lane is Lane.TELEMETRY:
            sent = self._window.send(sum(len(each.body) for each in entries), asyncio.get_running_loop().time())
            future.add_done_callback(partial(self._written, sent))
        return future

    def _written(self, sent: Sent, _: asyncio.Future[Delivery]) -> None:
        self._window.answered(sent, asyncio.get_running_loop().time())

    def newest(self, readings: Sequence[Sequence[Any]], seq: int) -> None:  # noqa: ARG002 - the lines carry their instants
        """Write the lines that the history will write again: the same series, the same instants."""
        chosen = self._selection.readings(readings)
        if self._threads is None or len(self._newest_rows) >= _NEWEST_ROWS:
            self._counts["newest_left_out"] += len(chosen)
            return
        self._newest_rows += chosen
        if not self._is_telling:
            self._tell()

    def _tell(self) -> None:
        """Write what has gathered, then what has gathered meanwhile; one request at a time."""
        most = self._window.size // _NEWEST_BYTES
        rows, self._newest_rows = self._newest_rows[:most], self._newest_rows[most:]
        self._is_telling = bool(rows) and self._threads is not None
        if not self._is_telling:
            return
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._write_newest, rows)
        self._busy.add(future)
        future.add_done_callback(self._told)

    def _told(self, future: asyncio.Future[tuple[str, int]]) -> None:
        self._busy.discard(future)
        if not future.cancelled():
            outcome, count = future.result()
            self._counts[outcome] += count
        self._tell()

    async def ended(self) -> UplinkError:
        """HTTP keeps no session: this never ends."""
        never: asyncio.Future[UplinkError] = asyncio.get_running_loop().create_future()
        return await never

    async def close(self) -> None:
        """Let go of the client; a write that still hangs is waited for by the next `open`."""
        self._newest_rows = []
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()
            self._client = self._api = None

    # In a thread

    def _write(self, entries: list[OutboxEntry]) -> Delivery:
        bad: dict[int, str] = {}
        lines: list[Line] = []
        for entry in entries:
            try:
                lines += [Line(entry.seq, text) for text in self._encode(entry)]
            except (encode.EncodeError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                bad[entry.seq] = f"the row can't be written as lines: {error!r}"
        now = self._clock.now()
        if lines and now.mono_s - self._alive_s >= _ALIVE_EVERY_S:
            lines.append(Line(lines[-1].seq, self._alive(now)))
            self._alive_s = now.mono_s
        result = write_all(lines, self._post, self._check)
        rejected = bad | result.refused
        kept = result.kept - rejected.keys()
        accepted = tuple(each.seq for each in entries if each.seq not in rejected and each.seq not in kept)
        return Delivery(accepted, rejected, tuple(sorted(kept)))

    def _write_newest(self, rows: Sequence[Sequence[Any]]) -> tuple[str, int]:
        """What to count. A refusal is no matter: the history brings these readings, and finds out what is wrong."""
        lines = [line for row in rows if (line := self._newest_lines.reading(row)) is not None]
        try:
            if lines:
                self._post(lines)
        except (Refused, UplinkError):
            return "newest_left_out", len(rows)
        return "newest", len(rows)

    def _encode(self, entry: OutboxEntry) -> list[bytes]:
        if entry.lane is Lane.ALARM:
            told = encode.chosen_alarm(encode.alarm(entry.body), self._selection)
            self._not_selected[entry.lane] += told is None
            return [] if told is None else [alarm_event(self._site_id, told)]
        rows = self._selection.readings(encode.readings(entry.body))
        self._not_selected[entry.lane] += not rows
        return [line for row in rows if (line := self._lines.reading(row)) is not None]

    def _check(self) -> None:
        """Write a line that is surely right: a server that refuses it refuses us, not a reading."""
        now = self._clock.now()
        try:
            self._post([self._alive(now)])
        except Refused as error:
            raise UplinkError(f"the server refuses every write: {error}") from error
        self._alive_s = now.mono_s

    def _alive(self, now: Now) -> bytes:
        return f"shouwang_bridge,site={name(self._site_id)} up=1i {int(now.utc.timestamp()) * _NS_PER_S}".encode()

    def _post(self, lines: Sequence[bytes]) -> None:
        """Write lines.

        Raises:
            Refused: the server says that these lines are wrong.
            UplinkError: anything else but 2xx.
        """
        from influxdb_client.rest import ApiException  # noqa: PLC0415 - loaded by _connect
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - as above

        api = self._api
        if api is None:
            raise UplinkError("the session has ended")
        try:
            api.write(self._params.bucket, record=b"\n".join(lines), write_precision="ns")
        except ApiException as error:
            raise _failure(error) from error
        except (HTTPError, OSError) as error:
            raise UplinkError(f"{self._params.url}: {error}") from error


def _failure(error: Any) -> Exception:
    """What a status other than 2xx means (InfluxDB v2 API, POST /api/v2/write)."""
    status = int(error.status or 0)
    if not status:
        return UplinkError(f"no TLS session: {error.reason}")
    text = " ".join(str(error.body or error.reason or "").split())[:300]
    if status in (400, 413, 422):
        return Refused(f"{status}: {text}")
    if status in (401, 403):
        return UplinkError(f"the server refuses the token ({status}): check token, org and bucket", retry_after_s=30)
    if status == 404:
        return UplinkError(f"no such bucket, or no v2 write API there (404): {text}", retry_after_s=30)
    if 300 <= status < 400:
        return UplinkError(f"the server sends us elsewhere ({status}): write its own address into url")
    return UplinkError(f"{status}: {text}", retry_after_s=_retry_after_s(error))


def _retry_after_s(error: Any) -> float:
    value = str((error.headers or {}).get("Retry-After") or "")
    return min(float(value), _MAX_RETRY_AFTER_S) if value.isascii() and value.isdigit() else 0.0


def _build(context: Context, params: Any) -> InfluxUplink:
    return InfluxUplink(context, params)


KIND = UplinkKind(InfluxParams, _build)
