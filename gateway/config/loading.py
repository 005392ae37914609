"""Configuration: from a directory to a checked `Site`. The one library for start-up, command line and web."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel

from gateway.config import builtin
from gateway.config.buses import check_buses, read_buses
from gateway.config.calendars import read_calendars
from gateway.config.channels import check_voices
from gateway.config.coverage import check_coverage
from gateway.config.desk import Desk, DriverShape
from gateway.config.devices import read_devices
from gateway.config.duties import check_recipients
from gateway.config.expressions import CheckExpression
from gateway.config.findings import ConfigErrors, Finding, Findings, Say, Source, Spot
from gateway.config.outside import check_web
from gateway.config.paths import check_paths
from gateway.config.people import read_recipients, read_uplinks
from gateway.config.possible import Compile
from gateway.config.profiles import read_profile
from gateway.config.rule_shapes import RulesFile
from gateway.config.rules import Rules
from gateway.config.selecting import check_only, check_sessions
from gateway.config.shapes import DevicesFile, Gateway, GatewayFile, NotifyFile, SiteFile
from gateway.config.shaping import Part, shape
from gateway.config.source import Files
from gateway.config.tree import Entry, parse
from gateway.model import Calendar, Recipient, Rule, Site, Uplink

M = TypeVar("M", bound=BaseModel)


class Checked(NamedTuple):
    """What one check gave: the site, unless there are errors, and everything found, sorted by place."""

    site: Site | None
    findings: tuple[Finding, ...]
    dropped: int = 0  # findings beyond the limit, counted only

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(each.is_error for each in self.findings)


def check(
    directory: Path,
    drivers: Mapping[str, DriverShape],
    uplinks: Mapping[str, type[BaseModel]],
    expressions: CheckExpression | None = None,
    compiled: Compile | None = None,
) -> Checked:
    """Read and judge the configuration in ``directory``; never raises for what stands in the files.

    ``expressions`` judges the text of expressions; without it only the names in them are judged. ``compiled`` makes a
    function of one, to find out whether it can be true.
    """
    findings = Findings()
    site = _Reading(directory, Desk(findings, drivers), uplinks, expressions, compiled).site()
    return Checked(None if findings.errors else site, findings.sorted(), findings.dropped)


def load(
    directory: Path,
    drivers: Mapping[str, DriverShape],
    uplinks: Mapping[str, type[BaseModel]],
    expressions: CheckExpression | None = None,
    compiled: Compile | None = None,
) -> Site:
    """The site described in ``directory``.

    Raises:
        ConfigErrors: with everything that is wrong; warnings alone do not raise.
    """
    checked = check(directory, drivers, uplinks, expressions, compiled)
    if checked.site is None:
        raise ConfigErrors(checked.findings, checked.dropped)
    return checked.site


class _Reading:
    """One pass over the files, in an order in which everything is defined before it is used."""

    def __init__(
        self,
        directory: Path,
        desk: Desk,
        uplinks: Mapping[str, type[BaseModel]],
        expressions: CheckExpression | None,
        compiled: Compile | None,
    ) -> None:
        self._directory = directory
        self._expressions = expressions
        self._compiled = compiled
        self._calendars: dict[str, Calendar | None] | None = None
        self._desk = desk
        self._findings = desk.findings
        self._kinds = uplinks
        self._files = Files(directory, desk.findings)
        self._notify: Entry | None = None
        self._own: Entry | None = None  # gateway.yaml

    def site(self) -> Site | None:
        if not self._directory.is_dir():
            self._findings.add(
                "E101",
                Spot(Source(self._files.name(self._directory), ())),
                Say("没有这个目录", "there is no such directory"),
                fix=Say("用 --config 指定配置目录", "name the configuration's directory by --config"),
            )
            return None
        gateway, uplinks = self._gateway()
        file, entry = self._file("site.yaml", SiteFile)
        if file is not None and entry is not None:
            self._calendars = read_calendars(self._findings, file, entry)
            read_buses(self._desk, file, entry)
        recipients = self._recipients()
        for path in self._files.listing("profiles"):
            if (found := self._entry(path)) is not None:
                read_profile(self._desk, found)
        if entry is not None and file is not None:
            read_devices(self._desk, entry)
        self._devices()
        check_voices(self._desk, self._notify)
        builtin.add(self._desk, uplinks, recipients)
        check_only(self._desk, uplinks, self._own)
        check_sessions(self._desk, gateway.id if gateway else "", uplinks, self._own)
        rules = self._rules(recipients)
        self._strays()
        if self._findings.errors or gateway is None or file is None:
            return None
        return self._made(gateway, file, rules, recipients or {}, uplinks)

    def _gateway(self) -> tuple[Gateway | None, tuple[Uplink, ...]]:
        file, entry = self._file("gateway.yaml", GatewayFile)
        if file is None or entry is None:
            return None, ()
        self._own = entry
        check_web(self._findings, file.gateway.web, entry)
        return file.gateway, read_uplinks(self._findings, file.gateway, entry, self._kinds)

    def _recipients(self) -> dict[str, Recipient] | None:
        file, entry = self._file("notify.yaml", NotifyFile)
        self._notify = entry
        if file is None or entry is None:
            return None
        recipients = read_recipients(self._findings, file, entry)
        check_recipients(self._findings, recipients, entry, self._calendars)
        return recipients

    def _devices(self) -> None:
        for path in self._files.listing("devices"):
            entry = self._entry(path)
            if entry is not None and self._shaped(DevicesFile, entry) is not None:
                read_devices(self._desk, entry)
        check_buses(self._desk)

    def _rules(self, recipients: dict[str, Recipient] | None) -> tuple[Rule, ...]:
        rules = Rules(self._desk, recipients, self._calendars, self._expressions, self._compiled)
        for path in self._files.listing("rules"):
            entry = self._entry(path)
            if entry is not None and self._shaped(RulesFile, entry) is not None:
                rules.read(entry)
        if not self._findings.errors:
            rules.check_yielding()
            rules.limits.check_unused()
            check_coverage(self._desk, rules)
            check_paths(self._desk, rules, recipients or {})
        return tuple(rules.rules)

    def _strays(self) -> None:
        self._files.say_misnamed()
        for path in self._files.strays():
            self._findings.add(
                "W101",
                Spot(Source(self._files.name(path), ())),
                Say("没有用到这个文件", "nothing reads this file"),
                fix=Say(
                    "检查文件名和目录名:gateway.yaml site.yaml notify.yaml devices/ profiles/ rules/,扩展名 .yaml",
                    "check the names: gateway.yaml site.yaml notify.yaml devices/ profiles/ rules/, ending in .yaml",
                ),
            )

    def _file(self, name: str, model: type[M]) -> tuple[M | None, Entry | None]:
        entry = self._entry(self._directory / name)
        return (None, None) if entry is None else (self._shaped(model, entry), entry)

    def _entry(self, path: Path) -> Entry | None:
        read = self._files.read(path)
        entry = parse(*read, self._findings) if read is not None else None
        if entry is None:
            self._desk.is_partial = True
        return entry

    def _shaped(self, model: type[M], entry: Entry) -> M | None:
        found = shape(self._findings, model, entry.plain, Part(entry))
        if found is None:
            self._desk.is_partial = True
        return found

    def _made(
        self,
        gateway: Gateway,
        file: SiteFile,
        rules: tuple[Rule, ...],
        recipients: Mapping[str, Recipient],
        uplinks: tuple[Uplink, ...],
    ) -> Site:
        return Site(
            id=gateway.id,
            title=file.site,
            timezone=file.timezone,
            data_dir=gateway.data_dir,
            web_host=gateway.web.host,
            web_port=gateway.web.port,
            buses=self._desk.buses,
            devices=self._desk.devices,
            rules=rules,
            recipients=recipients,
            uplinks=uplinks,
            digest=self._files.digest,
            retention_bytes=gateway.retention,
            language=gateway.language,
            calendars={name: each for name, each in (self._calendars or {}).items() if each is not None},
        )
