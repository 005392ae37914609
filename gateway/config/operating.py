"""Configuration: what may be set by hand (``operate:`` of a point and of a rule), and where a picture is seen.

Whether an operation is allowed now is decided in `gateway.rules.operate`; pictures are shown by the browser alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, urlsplit

from gateway.config.actions import Source
from gateway.config.desk import Desk, Mould, Profile
from gateway.config.findings import Say, hidden, perhaps
from gateway.config.rule_shapes import OfferItem, RuleItem
from gateway.config.shapes import PointItem
from gateway.config.shaping import Part
from gateway.config.values import BadValueError, value_of
from gateway.model import Offer, Operate

MOST_HOSTS = 100  # of pictures: they all stand in one header of every page
_ADDRESS = re.compile(
    r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?(?:[/?][A-Za-z0-9._~!$&()*+,;=:@%/?-]*)?"
)
_LONGEST = 500
_SECRET = re.compile(r"pass|pwd|token|secret|auth|user|usr|sign|sig\b|session|credential|login|key", re.IGNORECASE)
_CLOSING = {("closed", True), ("open", False)}
_AT = "{at}"


def read_operate(desk: Desk, item: PointItem, value_type: str, part: Part) -> Operate | None:
    """Who may set the point by hand, and to what; None where nobody may, or where it is wrong and was told."""
    asked = item.operate
    if asked is None:
        return None
    here = part._replace(path=(*part.path, "operate"))
    try:
        values = tuple(dict.fromkeys(value_of(each, value_type, item.unit or "") for each in asked.values))
    except BadValueError as error:
        spot = part.entry.at(*here.path, "values")
        desk.findings.add(error.code, spot, error.what, subject=part.subject, fix=error.fix)
        return None
    if not item.writable:
        _wrong(
            desk, here, (), Say("点不能写,不能有 operate", "the point cannot be written: it cannot be operated"),
            Say("加 writable: true,或去掉 operate", "add writable: true, or remove operate"),
        )  # fmt: skip
        return None
    if asked.pulse is not None and values != (True,):
        _wrong(
            desk, here, ("pulse",),
            Say("pulse 到时写 false,只能配 values: [true]", "pulse ends with false: it needs values: [true]"),
            Say("写 values: [true],或去掉 pulse", "write values: [true], or remove pulse"),
        )  # fmt: skip
        return None
    return Operate(tuple(dict.fromkeys(asked.roles)), values, asked.pulse, asked.within)


def check_valve(desk: Desk, profile: Profile, part: Part) -> None:
    """No hand opens a gas valve from afar (GB 50028-2006 (2020) 10.8.2); the engine refuses it, too."""
    if profile.kind != "gas-valve":
        return
    for mould in profile.moulds:
        if mould.operate is not None and any((mould.base, each) not in _CLOSING for each in mould.operate.values):
            desk.findings.add(
                "E503",
                part.entry.at("points", mould.base, "operate", "values"),
                Say("燃气阀只能远程关,不能远程开", "a gas valve may be closed from afar and never opened"),
                subject=part.subject,
                fix=Say("只写 values: [true](点 closed);开阀要有人到现场", "write values: [true] of the point closed"),
            )


def read_offers(desk: Desk, item: RuleItem, source: Source, part: Part) -> tuple[Offer, ...]:
    """What can be operated from the rule's alarms; wrong ones are left out and told."""
    found = []
    for index, asked in enumerate(item.operate or ()):
        offer = _offer(desk, asked, source, part._replace(path=("operate", index)))
        if offer is not None:
            found.append(offer)
    return tuple(found)


def _offer(desk: Desk, asked: OfferItem, source: Source, part: Part) -> Offer | None:
    if source.area is not None:
        what = Say("报警的是一片区域,不是一台设备,不能有 operate", "the alarm is of an area, not of a device")
        _wrong(desk, part, (), what, Say("去掉 operate", "remove operate"))
        return None
    meant = [each for each in desk.profiles.values() if each.kind == asked.kind] if asked.kind else source.profiles
    if not meant:
        return None  # the rule's own kinds, or profiles that could not be read, are told elsewhere
    moulds = [mould for profile in meant for mould in profile.moulds if asked.point in {mould.base, mould.name}]
    for mould in moulds:
        try:
            value = value_of(asked.value, mould.type, mould.unit)
        except BadValueError:
            continue
        if mould.operate is not None and value in mould.operate.values:
            title = asked.title
            return Offer(asked.kind or "", asked.point, asked.within, value, title.zh, title.en or "")
    _say_not_operable(desk, asked, meant, moulds, part)
    return None


def _say_not_operable(
    desk: Desk, asked: OfferItem, meant: Sequence[Profile], moulds: Sequence[Mould], part: Part
) -> None:
    names = sorted({each.base for profile in meant for each in profile.moulds if each.operate is not None})
    is_value = any(each.operate is not None for each in moulds)
    what = Say(
        f'"{asked.point}" 不允许人工设为 "{asked.value}"', f'"{asked.point}" may not be set to "{asked.value}" by hand'
    )
    fix = Say(
        "在档案里给这个点写 operate: {roles: [...], values: [...]}", "give it operate: {roles, values} in its profile"
    )
    if not is_value:
        fix = perhaps(asked.point, names, fix)
    _wrong(desk, part, ("value",) if is_value else ("point",), what, fix, names)


def read_snapshot(desk: Desk, address: str | None, at: Sequence[str], part: Part) -> str:
    """The address of a picture as it was written, checked for every device; "" for none or a wrong one."""
    if address is None:
        return ""
    pictures = dict.fromkeys(snapshot_at(address, each) for each in at)
    return address if all(_is_snapshot(desk, each, part) for each in pictures) else ""


def _is_snapshot(desk: Desk, whole: str, part: Part) -> bool:
    spot = part.entry.at("snapshot")
    if _has_secret(whole):
        spot = hidden(spot)
        what = Say("snapshot 里不能有账号、口令或令牌", "snapshot must not hold a name, a password or a token")
        fix = Say(
            "在摄像机上为值班网段开放免登录抓图",
            "let the camera give pictures to the duty desk's network without a log-in",
        )
    elif len(whole) > _LONGEST or not _ADDRESS.fullmatch(whole):
        what = Say("snapshot 不是 http:// 或 https:// 地址", "snapshot is no http:// or https:// address")
        fix = Say("例如 http://10.0.3.21/snapshot.jpg", "for example http://10.0.3.21/snapshot.jpg")
    else:
        desk.pictures.add(urlsplit(whole).netloc)
        if len(desk.pictures) <= MOST_HOSTS:
            return True
        what = Say(f"抓图主机超过 {MOST_HOSTS} 个", f"more than {MOST_HOSTS} hosts of pictures")
        fix = Say("让抓图经过一台视频服务器", "let one video server give the pictures")
    desk.findings.add("E505", spot, what, subject=part.subject, fix=fix)
    return False


def _has_secret(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return True
    return "@" in parts.netloc or any(
        _SECRET.search(each) for each, _ in parse_qsl(parts.query, keep_blank_values=True)
    )


def snapshot_at(address: str, at: str) -> str:
    """The address for the device at ``at``."""
    return address.replace(_AT, quote(at, safe=""))


def _wrong(  # noqa: PLR0917 - as `Findings.add`, with one code
    desk: Desk, part: Part, key: tuple[str, ...], what: Say, fix: Say, options: Sequence[str] = ()
) -> None:
    spot = part.entry.at(*part.path, *key)
    desk.findings.add("E504", spot, what, subject=part.subject, fix=fix, options=options)
