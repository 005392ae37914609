"""Are people called when they should be? Calls for help that nobody takes, under load, with and without kill -9.

The real gateway on a real mosquitto, 1,000 readings a second beside it. Every notice goes through the notification
library to a real HTTP receiver in this process, which notes when it came: the deviation is that instant minus the
press and the stage's 30, 60 or 180 s. What the journal says is shown beside it: the decision minus the raise and the
stage's time, which is the clock itself, without the way in and out. In the second round the gateway is killed with
SIGKILL at random moments and started again. A stage that was due while no gateway ran cannot come in time: it is
judged by itself, from the moment the gateway was back. Nobody presses while the gateway is down or reads what the
broker kept meanwhile.

``python -m benchmarks.escalation [--calls 30] [--kills 6] [--rate 1000] [--seed 1]``
"""

from __future__ import annotations

import argparse
import http.server
import json
import random
import re
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import apsw

from benchmarks import site, systems, wire
from benchmarks.harness import BenchError, Child, Lab, free_port, wait_until
from benchmarks.report import Figure, Report, Spread, percentile, show

STAGES_S = (0.0, 30.0, 60.0, 180.0)
TARGET_S = 1.0
DESK_S = 3.0  # alarms.md section 5: from the press to the duty desk
READY_S = 90.0
PRESS_EVERY_S = 2.0
GRACE_S = 15.0
SETTLE_S = 5.0  # after a return nobody presses until what the broker kept meanwhile is read
ENV_BUILDINGS = 9

_PROFILE = """
profile: sos
title: 呼救按钮
kind: sos
via: mqtt
topic: "sos/{serial}/up"
time: $.ts
offline_after: 24h
points:
  pressed: {from: $.pressed, type: bool, class: sos, event: true}
"""
_RULE = """
rules:
  - rule: sos
    title: 一键呼救
    when: {kind: sos, point: pressed, changed_to: true}
    raise: {class: sos, latch: true, text: 按下呼救按钮}
    tell:
"""
_PLACE = re.compile(r"\d-\d-\d\d-\d{4}")
_SAID = re.compile(r"(\d)栋(\d)单元(\d+)层(\d{4})室")  # how a notice names it


def _place_in(message: str) -> str:
    """The address of the flat that a notice is about; "?" where it names none."""
    found = _SAID.search(message)
    return f"{found[1]}-{found[2]}-{int(found[3]):02}-{found[4]}" if found else "?"


class Receiver:
    """A provider that answers at once and notes who was called for which flat, and when (monotonic seconds)."""

    def __init__(self) -> None:
        self.port = free_port()
        self.heard: list[tuple[float, str, float]] = []  # (stage in s, place, when)
        heard = self.heard

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # the library's name
                came_s = time.perf_counter()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.append((float(self.path.rpartition("/")[2]), _place_in(body["message"]), came_s))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Not into the table."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_args: object) -> None:
                """A client that was killed in the middle."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Outcome:
    """What one round found, in seconds."""

    on_time: list[float] = field(default_factory=list)  # deviations of stages that were due while a gateway ran
    decided: list[float] = field(default_factory=list)  # by the journal: the decision minus the raise and the stage
    decided_after_down: list[float] = field(default_factory=list)  # from the gateway's return to the decision
    first: list[float] = field(default_factory=list)  # from the press to the first notice
    after_down: list[float] = field(default_factory=list)  # from the gateway's return to a stage missed meanwhile
    missing: int = 0
    repeated: int = 0
    kills: int = 0
    down: list[float] = field(default_factory=list)  # how long each restart took


def write(lab: Lab, port: int, receiver: int, calls: int) -> Path:
    """The measured community with call buttons, and one recipient for each stage."""
    plan = systems.plan_for(port, smoke_buildings=0, sirens=0, env_buildings=ENV_BUILDINGS)
    config = site.write(lab.dir, plan)
    (config / "profiles" / "sos.yaml").write_text(_PROFILE)
    tells = "".join(f"      - {{to: p{s:g}, by: [apprise], after: {s:g}s}}\n" for s in STAGES_S)
    (config / "rules" / "all.yaml").write_text(_RULE + tells + "    outcomes: [上门-平安, 误触]\n")
    lines = ["recipients:"]
    for s in STAGES_S:
        path = lab.dir / f"p{s:g}.url"
        path.write_text(f"json://127.0.0.1:{receiver}/{s:g}\n")
        path.chmod(0o600)
        lines.append(f"  p{s:g}: {{title: 第 {s:g} 秒, apprise: {{file: {path}}}}}")
    (config / "notify.yaml").write_text("\n".join(lines) + "\n")
    buttons = "".join(
        f"  - {{at: {site.address(n)}, profile: sos, bus: field, serial: SOS{n}}}\n" for n in range(calls)
    )
    with (config / "devices" / "all.yaml").open("a") as file:
        file.write(buttons)
    return config


class _Round:
    """One round: the gateway, the buttons, and when it was down."""

    def __init__(self, lab: Lab, calls: int, rate: float) -> None:
        self.lab = lab
        self.receiver = Receiver()
        self.port = lab.broker()
        self.config = write(lab, self.port, self.receiver.port, calls)
        self.down: list[tuple[float, float]] = []
        self.pressed: dict[str, float] = {}  # by place
        self._wall_s = time.time_ns() / 1e9 - time.perf_counter()
        self.gateway = self._start()
        lab.script("background", str(self.port), str(rate), str((ENV_BUILDINGS - 1) * site.ROOMS_PER_BUILDING))
        self._link, _ = wire.connect(self.port, "buttons")

    def press(self, number: int) -> None:
        """The button of one flat, at QoS 1."""
        place = site.address(number)
        payload = json.dumps({"pressed": True, "ts": time.time_ns() // 1_000_000}).encode()
        self.pressed[place] = time.perf_counter()
        self._link.sendall(wire.encode_publish(f"sos/SOS{number}/up", payload, number % 65535 + 1))

    def kill(self) -> None:
        """SIGKILL, and start it again."""
        began = time.perf_counter()
        self.gateway.kill()
        self.gateway = self._start()
        self.down.append((began, time.perf_counter()))

    def judge(self) -> Outcome:
        """Compare what was heard with what was due."""
        self.receiver.close()
        journal = self._journal()
        found = Outcome(kills=len(self.down), down=[up - down for down, up in self.down])
        heard: dict[tuple[float, str], list[float]] = {}
        for stage_s, place, came_s in list(self.receiver.heard):
            heard.setdefault((stage_s, place), []).append(came_s)
        for place, pressed_s in self.pressed.items():
            for stage_s in STAGES_S:
                came = heard.get((stage_s, place), [])
                found.missing += not came
                found.repeated += max(0, len(came) - 1)
                if came:
                    raised_s = journal.get((0.0, place), pressed_s)
                    decided_s = journal.get((stage_s, place), came[0])
                    self._enter(found, stage_s, (pressed_s, raised_s), (came[0], decided_s))
        return found

    def _journal(self) -> dict[tuple[float, str], float]:
        """When the journal says that each call was raised (stage 0), and each of its stages reached."""
        self.gateway.stop()
        db = apsw.Connection(str(self.lab.dir / "data" / "shouwang.db"), flags=apsw.SQLITE_OPEN_READONLY)
        found = {}
        for alarm_id, at_ms, after_s in db.execute(
            "SELECT alarm_id, at_ms, coalesce(data ->> 'after_s', 0) FROM alarm_events"
            " WHERE kind IN ('raised', 'escalated')"
        ):
            place = _PLACE.search(str(alarm_id))
            if place:
                found[float(after_s), place[0]] = int(at_ms) / 1000 - self._wall_s
        db.close()
        return found

    def _enter(self, found: Outcome, stage_s: float, began: tuple[float, float], ended: tuple[float, float]) -> None:
        """``began``: pressed and raised; ``ended``: received and decided."""
        due_s = began[0] + stage_s
        back = next((up for down, up in self.down if down - TARGET_S <= due_s <= up), None)
        if back is not None:
            found.after_down.append(max(0.0, ended[0] - back))
            if stage_s:
                found.decided_after_down.append(max(0.0, ended[1] - back))
        elif stage_s:
            found.on_time.append(ended[0] - due_s)
            found.decided.append(ended[1] - began[1] - stage_s)
        else:
            found.first.append(ended[0] - due_s)

    def _start(self) -> Child:
        child = systems.start_gateway(self.lab, self.config)
        wait_until(lambda: child.has_said("gateway_started"), READY_S, "the gateway starts", 0.02)
        return child


def measure(calls: int, kills: int, rate: float, seed: int) -> Outcome:
    """One round; about four minutes."""
    chance = random.Random(seed)
    with Lab() as lab:
        scene = _Round(lab, calls, rate)
        time.sleep(3)  # its line to the broker is up, the load has begun
        began = time.perf_counter()
        length_s = calls * PRESS_EVERY_S + STAGES_S[-1]
        left = sorted((chance.uniform(5, length_s - 5) for _ in range(kills)), reverse=True)
        presses = list(range(calls))[::-1]
        while (now_s := time.perf_counter() - began) < length_s + GRACE_S:
            if left and now_s >= left[-1]:
                left.pop()
                scene.kill()
                time.sleep(SETTLE_S)
            elif presses and now_s >= (calls - len(presses)) * PRESS_EVERY_S:
                scene.press(presses.pop())
            else:
                time.sleep(0.01)
        if not scene.gateway.is_running:
            raise BenchError(f"the gateway had ended by itself: {scene.gateway.tail()}")
        found = scene.judge()
        if found.missing:
            lab.keep("somebody was not called")
        return found


def run(calls: int = 30, kills: int = 6, rate: float = 1000, seed: int = 1) -> Report:
    """Both rounds."""
    report = Report(f"Escalation of calls nobody takes ({rate:g} readings/s beside it, {calls} calls)")
    if why := systems.is_available(systems.System.OURS):
        report.notes.append(f"the gateway was not measured: {why}")
        return report
    _add(report, "running", measure(calls, 0, rate, seed))
    if kills:
        _add(report, f"{kills} × kill -9", measure(calls, kills, rate, seed))
    report.notes.append("min, median and max over all stages of all calls; from the press to the provider's receipt")
    return report


def _add(report: Report, title: str, found: Outcome) -> None:
    def row(name: str, values: list[float], limit_s: float = TARGET_S) -> None:
        if values:
            spread = Spread((min(values), percentile(values, 0.5), max(values)))
            target, holds = (f"±{limit_s:g} s", partial(_is_near, limit_s)) if limit_s else ("", None)
            report.figures.append(Figure(f"{title}: {name}", "s", target, spread, holds=holds, form=".3f"))

    row("stage minus its instant", found.on_time)
    row("decision minus raise and stage", found.decided)
    row("press to first notice", found.first, DESK_S)
    row("missed while down: decided after the return", found.decided_after_down)
    row("missed while down: heard after the return", found.after_down)
    row("time without a gateway", found.down, 0.0)
    for name, count in (
        ("stages nobody was called at", found.missing),
        ("messages sent again after a kill", found.repeated),
    ):
        holds = _is_zero if name.startswith("stages") else None
        report.figures.append(
            Figure(f"{title}: {name}", "", "0" if holds else "", Spread((float(count),)), holds=holds, form=".0f")
        )
    report.notes.append(
        f"{title}: {len(found.on_time)} stages in time to be judged, {len(found.after_down)} due while down"
    )


def _is_near(limit_s: float, figure: Figure) -> bool:
    return figure.ours is not None and all(abs(each) <= limit_s for each in figure.ours.runs)


def _is_zero(figure: Figure) -> bool:
    return figure.ours is not None and not any(figure.ours.runs)


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=30)
    options.add_argument("--kills", type=int, default=6)
    options.add_argument("--rate", type=float, default=1000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    show(run(given.calls, given.kills, given.rate, given.seed))


if __name__ == "__main__":
    main()
