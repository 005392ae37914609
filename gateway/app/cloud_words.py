"""What a platform is told of a refusal by the engine: who did what in between, and the console's own sentences. Pure.

Names of people stay on the box, unless the uplink may have personal data: then the role is told (ADR 0021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from cloud_bridge.personal import KEPT
from gateway.model import SYSTEM, Actor, AlarmEvent, OperatorRequest, Reply
from gateway.web.texts import LANGUAGES, ROLE_NAMES, conflict, refusal

_MOST_BETWEEN = 20
_NAMES = ("who", "taken_by", "closed_by")  # in the detail of a refusal


class Words:
    """The words for one platform."""

    def __init__(self, uplink: str, zone: ZoneInfo, *, is_personal: bool) -> None:
        self._uplink = uplink
        self._zone = zone
        self._is_personal = is_personal

    def detail(self, request: OperatorRequest, reply: Reply, events: Sequence[AlarmEvent]) -> dict[str, Any]:
        """The detail of a refused ``reply``; ``events`` are the journal of its alarm, oldest first."""
        actors = {each.actor.name: each.actor for each in events}
        because = conflict(request.verb.value, reply.code, request.version, events)
        found = {**reply.detail, **self._names(reply.detail, actors)}
        between = [each for each in events if each.version > request.version]
        if between:
            found["between"] = [self._line(each) for each in between[-_MOST_BETWEEN:]]
        found["words"] = {
            language: refusal(
                reply.code,
                {**found, "who": self._said(reply.detail, actors, language)},
                language,
                self._zone,
                because and self._seen(because, language),
            )
            for language in LANGUAGES
        }
        return found

    def _knows(self, actor: Actor | None, name: str) -> bool:
        """May the platform be told this name? The gateway's own, and those that came from there."""
        is_system = actor is not None and actor.role == SYSTEM.role
        return self._is_personal or is_system or name == self._uplink or name.startswith(f"{self._uplink}:")

    def _names(self, detail: Mapping[str, Any], actors: Mapping[str, Actor]) -> dict[str, str]:
        names = {key: str(detail[key]) for key in _NAMES if detail.get(key)}
        return {key: name if self._knows(actors.get(name), name) else KEPT for key, name in names.items()}

    def _said(self, detail: Mapping[str, Any], actors: Mapping[str, Actor], language: str) -> str:
        name = str(detail.get("who", ""))
        return name if not name or self._knows(actors.get(name), name) else _role(actors.get(name), language)

    def _seen(self, event: AlarmEvent, language: str) -> AlarmEvent:
        actor = event.actor
        return (
            event
            if self._knows(actor, actor.name)
            else replace(event, actor=actor._replace(name=_role(actor, language)))
        )

    def _line(self, event: AlarmEvent) -> dict[str, Any]:
        actor = event.actor
        return {
            "version": event.version,
            "kind": event.kind,
            "at": event.at.isoformat(),
            "who": actor.name if self._knows(actor, actor.name) else KEPT,
            "role": actor.role,
            "via": actor.via,
        }


def _role(actor: Actor | None, language: str) -> str:
    words = ROLE_NAMES.get("" if actor is None else actor.role, ("有人", "somebody"))
    return words[LANGUAGES.index(language)]
