// Names for what was refused or lost; the raw names of counters stay in the tooltip.

import { language, outcomeName } from "./words.js";

const NAMES = {
  inputs_refused: ["现场数据被拒收", "Field input refused"],
  inputs_repeated: ["重复的现场数据", "Field input repeated"],
  inbox_dropped: ["收件队列满,丢弃", "Inbox full: dropped"],
  outbox_dropped_readings: ["磁盘限额,丢弃未上传的读数", "Out of room: readings dropped"],
  mqtt_subscribe_failed: ["订阅失败", "Subscription failed"],
  modbus_errors: ["Modbus 通信错误", "Modbus error"],
  modbus_polls_missed: ["Modbus 轮询未赶上", "Modbus poll missed"],
  commit_failures: ["写入磁盘失败", "Commit failed"],
  trim_failures: ["清理数据失败", "Housekeeping failed"],
  requests_refused: ["操作被拒绝", "Action refused"],
  actions_without_target: ["联动找不到设备", "Action without a target"],
  commands: ["命令", "Command"],
  notices: ["通知未送出", "Notice not accepted"],
  web_streams_refused: ["画面太多,拒绝", "Console refused"],
  web_streams_dropped: ["画面太慢,断开", "Console dropped"],
  web_connections_refused: ["网页连接太多,拒绝", "Connection refused"],
  web_connections_dropped: ["网页连接不说话,断开", "Connection dropped"],
};

const REASONS = {
  encoding: ["编码不对", "not UTF-8"],
  malformed: ["格式不对", "malformed"],
  bad_json: ["不是 JSON", "not JSON"],
  type: ["类型不对", "wrong type"],
  word: ["不认识的词", "unknown word"],
  not_finite: ["不是有效的数", "not a number"],
  range: ["超出量程", "out of range"],
  time: ["时间不对", "wrong time"],
  oversize: ["太大", "too large"],
  topic: ["主题不对", "wrong topic"],
  unknown_topic: ["不认识的主题", "unknown topic"],
  unknown_device: ["不认识的设备", "unknown device"],
  internal: ["内部错误", "internal error"],
  timeout: ["没有回答", "no answer"],
  crc: ["校验错", "checksum"],
  lane_full: ["队列满", "queue full"],
  merge_full: ["合并表满", "merge table full"],
  slow: ["太慢", "too slow"],
  slow_head: ["请求迟迟不来", "slow request"],
  too_many: ["太多", "too many"],
  exception_01: ["不支持的功能码", "illegal function"],
  exception_02: ["没有这个地址", "illegal address"],
  exception_03: ["数值不合要求", "illegal value"],
  exception_04: ["设备故障", "device failure"],
};

const CODES = {
  stale_version: ["别人已先处理", "somebody was first"],
  already_taken: ["已有人接警", "taken already"],
  already_closed: ["已经办结", "closed already"],
  already_ended: ["已经结束", "ended already"],
  already_silent: ["已经消音", "silent already"],
  not_taken: ["还没有接警", "not taken"],
  not_latched: ["无需复位", "not latched"],
  condition_active: ["仍在报警", "still in alarm"],
  no_outcome: ["没有处理结果", "no outcome"],
  unknown_alarm: ["没有这条报警", "no such alarm"],
  expired: ["到达太晚", "too late"],
};

const pick = (pair, raw) => (pair ? pair[language() === "en" ? 1 : 0] : raw);

export function lossName({ name, labels }) {
  const { bus, reason, code, outcome, accepted, ...others } = labels;
  const rest = [reason && pick(REASONS[reason], reason), code && pick(CODES[code], code), outcome && outcomeName(outcome), ...Object.values(others)].filter(Boolean);
  return [[pick(NAMES[name], name), bus].filter(Boolean).join(" "), rest.join(" · ")].filter(Boolean).join(language() === "en" ? ": " : ":");
}

export const lossTitle = ({ name, labels }) => `${name} ${Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(" ")}`.trim();
