"""One gateway from one checked site: its parts, wired. How one follows another in a process is `gateway.app.life`'s."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import apsw
import structlog

from gateway.app.bridge import BridgeEnded, BridgeProcess
from gateway.app.certificates import Certificates
from gateway.app.cloud_requests import CloudRequests
from gateway.app.downlink import DownlinkGone, DownlinkServer
from gateway.app.first_account import Accounts, setup_code, setup_code_path
from gateway.app.greeting import greet
from gateway.app.home import CannotStart
from gateway.app.lines import Box, Presence, line_watches, uplinks_seen, watch_lines
from gateway.app.memory import give_back_memory
from gateway.app.port import Port
from gateway.app.valves import never_opening
from gateway.app.watchdog import Watchdog
from gateway.clock import Clock, boot_id
from gateway.config.builtin import is_builtin
from gateway.config.privacy import DOORS
from gateway.counters import Counters
from gateway.drivers.base import Driver, DriverError
from gateway.drivers.mqtt import MqttDriver
from gateway.drivers.mqtt_params import MqttBus
from gateway.drivers.table import DRIVERS
from gateway.effects import Effects, Write
from gateway.model import Bus, Command, Now, Report, Site, Step
from gateway.notify.channels import Channels, Console
from gateway.notify.policy import NoticePolicy
from gateway.pipeline import Pipeline
from gateway.rules.engine import Engine
from gateway.rules.kinds import unmerged_points
from gateway.store.journal import Batch, Journal, Restored
from gateway.supervise import keep_running
from gateway.web.app import create_app
from gateway.web.live import LiveView
from gateway.web.ports import UplinkHealth
from gateway.web.server import listen, serve

_TRIM_EVERY_S = 1.0
_LINE_PAUSE_S = 2.0  # a line to devices is tried again soon: meanwhile nobody hears them
_UPLINKS_EVERY_S = 2.0

_log = structlog.get_logger(__name__)


class Gateway:
    """The parts of one running gateway, wired."""

    def __init__(
        self,
        site: Site,
        config: Path,
        clock: Clock,
        *,
        left: Batch | None = None,
        notes: tuple[str, ...] = (),
        has_bridge: bool = True,
    ) -> None:
        """``left``: what a gateway before this one could not store. ``notes``: what people should know of the data.

        ``has_bridge``: False where `shouwang bridge` runs beside it.
        """
        self._site = site
        self._notes = notes
        self._clock = clock
        self.counters = Counters()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._screens = ThreadPoolExecutor(1, thread_name_prefix="screens")
        self._journal = Journal(
            site.data_dir, [each.id for each in site.uplinks], site.retention_bytes, doors=_doors(site), boot=boot_id(),
            reports=_reports(site),
        )  # fmt: skip
        self._restored_at = now = clock.now()  # what is restored counts from here, also if the clock is set meanwhile
        restored = self._restore(left)
        self._policy = NoticePolicy(site, self.counters)
        self._engine = Engine(site, counters=self.counters, policy=self._policy)
        self._engine.restore(restored.alarms, restored.occurrences, restored.timers, now, marks=restored.marks)
        self._engine.restore_said(restored.said)
        self._engine.restore_outputs(restored.held)
        self._drivers = self._build_drivers(restored)
        self.pipeline = Pipeline(
            self._engine, self._journal, clock, self.counters,
            executor=self._writer, act=self._act, publish=self._publish, keeps=_never_merged(site),
        )  # fmt: skip
        self.pipeline.strained = self._ease
        writers, put = self._writers(), self.pipeline.inbox.put
        self._live = LiveView(self.counters)
        self._channels = Channels(
            site, clock, counters=self.counters, writers=writers, report=put, receipt=put,
            console=Console(self._live), is_wanted=self._is_wanted,
        )  # fmt: skip
        self._effects = Effects(writers, self._channels.send, put, clock, self.counters)
        built_in = [each.id for each in site.devices.values() if is_builtin(each)]
        self._live.load(site.devices, self._engine.alarms.values(), restored.marks, built_in=built_in)
        self._presence = Presence(site.devices, put, clock)
        self._certificates = Certificates(put, clock, self.counters)
        self._lines = line_watches(site.devices, self._presence, clock, self.counters)
        self._box = Box(site.data_dir, put, clock, self.counters, is_storing=self._is_on_disk)
        self._bridge = BridgeProcess(config, site.data_dir) if site.uplinks and has_bridge else None
        self._restored = restored
        self._hear: Callable[[Step], None] = lambda _step: None  # platforms that wait for what became of a command

    async def run(self) -> None:
        """Run every part until cancelled; a broken invariant in one of them ends them all."""
        with contextlib.ExitStack() as screens:
            try:
                await self._run(screens)
            finally:
                await self._effects.close()
                await self.pipeline.write_last()
                self._channels.close()
                self._screens.shutdown()
                screens.close()
                self._writer.shutdown()
                self._journal.close()

    async def _run(self, screens: contextlib.ExitStack) -> None:
        """``screens`` gets what is to be closed when nothing runs any more."""
        server = screens.enter_context(_listen(self._site))
        port = screens.enter_context(contextlib.closing(Port(
            self._site, self.pipeline, self.counters, self._clock, self._screens,
            offers=self._engine.operating.offers, notes=self._notes,
        )))  # fmt: skip
        users = screens.enter_context(contextlib.closing(
            Accounts(self._journal.connection, self._writer, self._site.data_dir, self._screens, self._clock)
        ))  # fmt: skip
        requests = CloudRequests(self._site, port, users.audit, self._clock, self.counters)
        self._hear = requests.hear
        app = create_app(
            port, self._live, users, self.counters, self._clock,
            title=self._site.title, language=self._site.language, setup_code=await setup_code(users),
        )  # fmt: skip
        self._act_again(self._restored.commands)
        self._effects.tell(self._restored.notices)
        self._restored = Restored((), {}, (), (), (), (), (), ())
        self._box.look_at_time()  # before anything is raised: stamps say what they are worth
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pipeline.run(), name="pipeline")
            tasks.create_task(self.pipeline.trim_forever(_TRIM_EVERY_S), name="trim")
            tasks.create_task(serve(app, self._live, server), name="web")
            tasks.create_task(port.watch_uplinks(_UPLINKS_EVERY_S, self._see_uplinks), name="uplinks")
            tasks.create_task(watch_lines(self._lines), name="lines")
            tasks.create_task(self._box.watch(), name="box")
            tasks.create_task(self._channels.watch(), name="channels")
            tasks.create_task(Watchdog().run(), name="watchdog")
            for name, driver in self._drivers.items():
                tasks.create_task(self._keep_driver(name, driver), name=f"bus {name}")
            if self._bridge is not None:
                tasks.create_task(
                    keep_running("bridge", self._bridge.run, self.counters, expected=BridgeEnded), name="bridge"
                )
            if requests.has_any:
                downlink = DownlinkServer(self._site.data_dir, requests, self._clock, self.counters)
                tasks.create_task(
                    keep_running("downlink", downlink.run, self.counters, expected=DownlinkGone), name="downlink"
                )
            greet(self._site, setup_code_path(self._site.data_dir))
            _log.info("gateway_started", devices=len(self._site.devices), rules=len(self._site.rules))
            give_back_memory()

    def _restore(self, left: Batch | None) -> Restored:
        try:
            if left is not None:
                self._journal.commit(left)
                left.steps.clear()  # whoever gave it sees that it is on the disk
            return self._journal.restore(self._restored_at)
        except apsw.Error:
            self._journal.close()  # its file may be put aside
            raise

    def _is_on_disk(self) -> bool:
        return self.pipeline.is_storing and "memory" not in self._notes

    def _act_again(self, commands: Sequence[Command]) -> None:
        """Absolute values with deadlines: too late ones end as expired, and those that a fire has overruled as well."""
        now, undoing = self._restored_at, self._engine.operating.overruled(commands)
        self._effects.act([replace(each, expires_at=now.utc) if each.id in undoing else each for each in commands], now)

    def _act(self, commands: Sequence[Command], decided: Now) -> None:
        self._effects.act(commands, decided)

    def _ease(self, is_strained: bool) -> None:  # noqa: FBT001 - a state
        """No disk, and so many alarms wait for it that a broker may soon hand over nothing more."""
        for driver in self._drivers.values():
            if isinstance(driver, MqttDriver):
                driver.ease(is_strained)

    def _is_wanted(self, alarm_id: str, reason: str) -> bool:
        """Is it still right to send a notice that has waited?"""
        alarm = self._engine.alarms.get(alarm_id)
        return alarm is not None and self._policy.still_tells(reason, alarm)

    def _see_uplinks(self, uplinks: Mapping[str, UplinkHealth]) -> None:
        uplinks_seen(self._presence, uplinks, self._clock.now().mono_s - self._restored_at.mono_s)
        self._certificates.seen(uplinks)

    def _build_drivers(self, restored: Restored) -> dict[str, Driver]:
        drivers: dict[str, Driver] = {}
        for bus in self._site.buses.values():
            devices = [each for each in self._site.devices.values() if each.bus_id == bus.id]
            driver = DRIVERS[bus.type].build(_named(bus, self._site.id), devices, self._clock, self.counters)
            if isinstance(driver, MqttDriver):
                driver.expect_again(restored.digests)
            drivers[bus.id] = driver
        return drivers

    def _writers(self) -> dict[str, Write]:
        return {
            point.id: never_opening(
                self._drivers[device.bus_id].write, device.kind, point.name, self._clock, self.counters
            )
            for device in self._site.devices.values()
            for point in device.points
            if point.is_writable
        }

    async def _keep_driver(self, name: str, driver: Driver) -> None:
        line, deliver = self._lines.get(name), self.pipeline.inbox.deliver
        await keep_running(
            f"bus {name}",
            partial(line.run, driver.run, deliver) if line else partial(driver.run, deliver),
            self.counters,
            expected=DriverError,
            longest_pause_s=_LINE_PAUSE_S,
        )

    def _publish(self, step: Step) -> None:
        """After the commit: the other commands, the notices, the screens, the bridge."""
        self._effects.act([each for each in step.commands if not each.is_safety], step.now)
        self._effects.tell(step.notices)
        self._live.apply(step)
        self._hear(step)
        if self._bridge is not None and step.events:
            self._bridge.ring()  # an alarm goes at once; for readings the bridge looks by itself, twice a second


def _named(bus: Bus, gateway_id: str) -> Bus:
    """An MQTT session named after its gateway: two with one name would throw each other out for ever."""
    if isinstance(bus.params, MqttBus) and not bus.params.client_id:
        name = f"shouwang-{gateway_id}-{bus.id}"
        return replace(bus, params=bus.params.model_copy(update={"client_id": name}))
    return bus


def _doors(site: Site) -> frozenset[str]:
    """Where an output that is set by hand lets somebody in."""
    return frozenset(each.id for each in site.devices.values() if each.kind in DOORS)


def _reports(site: Site) -> dict[str, Report]:
    """What of the points' readings goes to the clouds; nothing is kept back where there are none."""
    points = [point for device in site.devices.values() for point in device.points] if site.uplinks else []
    return {point.id: point.report for point in points if point.report is not None}


def _never_merged(site: Site) -> frozenset[str]:
    """Points whose every reading counts: alarms, presses, and what rules count."""
    return unmerged_points(site.rules) | frozenset(
        point.id
        for device in site.devices.values()
        for point in device.points
        if point.is_event or point.alarm_class is not None
    )


def _listen(site: Site) -> socket.socket:
    try:
        return listen(site.web_host, site.web_port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"网页端口 {site.web_port} 已被别的程序占用。改 gateway.yaml 里的 web.port,或停掉那个程序。",
                f"Port {site.web_port} is taken. Change web.port in gateway.yaml, or stop that program.",
            ) from None
        raise CannotStart(
            f"不能在 {site.web_host}:{site.web_port} 提供网页:{error.strerror}",
            f"Cannot serve the console on {site.web_host}:{site.web_port}: {error.strerror}",
        ) from None
