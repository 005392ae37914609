"""How people say places: one table for the notices and for the page, which must not say it in two ways."""

from __future__ import annotations

# place, title of the device there, as it is said in Chinese and in English
PLACES = [
    ("3-2-03-0301", "烟感", "3栋2单元3层0301室", "Building 3, unit 2, floor 3, 0301"),
    ("1-1-B1-CP01", "", "1栋1单元地下1层CP01", "Building 1, unit 1, floor B1, CP01"),
    ("1-1-01-DOOR", "单元门", "1栋1单元1层 单元门", "Building 1, unit 1, floor 1, 单元门"),
    ("1-1-01-DOOR", "单元门禁(MQTT)", "1栋1单元1层 单元门禁", "Building 1, unit 1, floor 1, 单元门禁"),
    ("1-1-01-DOOR", "单元门\uff08前\uff09", "1栋1单元1层 单元门", "Building 1, unit 1, floor 1, 单元门"),
    ("1-1-B1-CP01", "1号充电柜", "1栋1单元地下1层 1号充电柜", "Building 1, unit 1, floor B1, 1号充电柜"),
    ("1-1-B1-CP01", "充电柜(10 口)", "1栋1单元地下1层CP01 充电柜", "Building 1, unit 1, floor B1, CP01 充电柜"),
    ("1-1-03-A01", "3号楼烟感", "1栋1单元3层A01 3号楼烟感", "Building 1, unit 1, floor 3, A01 3号楼烟感"),
    ("0-1-01-PA", "广播", "0栋1单元1层PA 广播", "Building 0, unit 1, floor 1, PA 广播"),
    ("1-1-01-门厅", "烟感", "1栋1单元1层门厅", "Building 1, unit 1, floor 1, 门厅"),
    ("3栋2单元", "单元门", "3栋2单元", "3栋2单元"),
    ("", "单元门", "", ""),
]  # fmt: skip
