"""Configuration: what must never enter the gateway (faces, fingerprints, templates of them), and what stays in it.

Face recognition, 国家网信办/公安部令第19号: face data stay in the device. A door may say that somebody was let in, and
by which credential; "face" as the way of it is such a word and no face.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.config.desk import Desk
from gateway.config.findings import Say
from gateway.config.shapes import PointItem
from gateway.config.shaping import Part

CREDENTIAL = "pass"  # what the point of a door is called that says which card, code or flat it was
DOORS = ("door", "gate", "barrier", "turnstile", "intercom", "home-door")
_BODY = re.compile(r"face|facial|人脸|人像|fingerprint|指纹|iris|虹膜|palm(print|vein)?|掌纹|biometric", re.IGNORECASE)
_LIKENESS = re.compile(
    r"image|img|photo|picture|snapshot|jpe?g|base64|template|feature|embedding|vector|照片|图像|抓拍|模板|特征",
    re.IGNORECASE,
)


def check_privacy(desk: Desk, kind: str, points: Any, part: Part) -> None:
    """Refuse points of a profile that could carry a face or a template."""
    for name, raw in points.items() if isinstance(points, dict) else ():
        if isinstance(raw, dict) and _is_body_data(kind, name, raw):
            desk.findings.add(
                "E502",
                part.entry.key("points", name),
                Say(
                    f'点 "{name}" 看来是人脸图像、模板或其他生物特征,不得进入网关',
                    f'point "{name}" looks like a face image, a template or other biometric data',
                ),
                subject=part.subject,
                fix=Say(
                    "删掉这个点;只接凭证编号和结果(通过、拒绝),识别在设备里完成",
                    "remove it: take the credential's number and the result only; recognition stays in the device",
                ),
            )


def is_personal(name: str, item: PointItem) -> bool:
    """Is the point about people, so that its readings stay in the box? As written, else where it is a credential."""
    return name == CREDENTIAL if item.personal is None else item.personal


def _is_body_data(kind: str, name: str, raw: dict[str, Any]) -> bool:
    """A yes or no is a result, not a likeness."""
    if raw.get("type") == "bool":
        return False
    words: Sequence[str] = [name, str(raw.get("from", ""))]
    said = " ".join(words)
    return _BODY.search(said) is not None or (kind in DOORS and _LIKENESS.search(said) is not None)
