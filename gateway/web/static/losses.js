// Names for what was refused or lost; the raw names of counters stay in the tooltip.

import { channelName, language, outcomeName, word } from "./words.js";

export const COUNTERS = {
  inputs_refused: ["现场数据被拒收", "Field input refused"],
  inbox_dropped: ["收件队列满,丢弃", "Inbox full: dropped"],
  readings_not_stored: ["读数没有存下", "Readings not stored"],
  records_not_stored: ["记录没有存下", "Records not stored"],
  steps_not_stored: ["判断结果没有存下", "Decisions not stored"],
  outbox_dropped_readings: ["空间不够,丢弃未上传的读数", "Out of room: readings dropped"],
  mqtt_subscribe_failed: ["订阅失败", "Subscription failed"],
  modbus_errors: ["Modbus 通信错误", "Modbus error"],
  modbus_polls_missed: ["Modbus 轮询未赶上", "Modbus poll missed"],
  commit_failures: ["写入磁盘失败", "Writing to disk failed"],
  trim_failures: ["清理旧数据失败", "Housekeeping failed"],
  requests_refused: ["操作被拒绝", "Action refused"],
  raises_withheld: ["停用的测点有报警,没有报出", "Alarms of disabled points, not raised"],
  commands_withheld: ["联动没有解除:火警仍需要", "Not undone: a fire still needs it"],
  actions_without_target: ["联动找不到设备", "Action without a device"],
  expressions_unanswered: ["规则的算式算不出结果", "Expression without a result"],
  commands: ["命令", "Command"],
  notices: ["通知未送出", "Notice not accepted"],
  notices_given_up: ["通知多次失败,已放弃", "Notice given up"],
  channel_checks_failed: ["通知渠道检查不通过", "Channel check failed"],
  modem_reports_lost: ["短信回执丢失", "SMS receipts lost"],
  shifts_empty: ["这个时间没有人值班,改为通知全组", "Nobody on duty: the whole group was told"],
  web_streams_refused: ["打开的画面太多,拒绝", "Console refused"],
  web_streams_dropped: ["画面接收太慢,断开", "Console dropped"],
  web_connections_refused: ["网页连接太多,拒绝", "Connection refused"],
  web_connections_dropped: ["网页连接没有请求,断开", "Connection dropped"],
};

export const CAUSES = {
  encoding: ["编码不对", "not UTF-8"],
  malformed: ["格式不对", "malformed"],
  bad_json: ["不是 JSON", "not JSON"],
  type: ["类型不对", "wrong type"],
  word: ["不认识的词", "unknown word"],
  not_finite: ["不是有效的数", "not a number"],
  not_a_number: ["不是有效的数", "not a number"],
  range: ["超出量程", "out of range"],
  time: ["时间不对", "wrong time"],
  oversize: ["太大", "too large"],
  topic: ["主题不对", "wrong topic"],
  unknown_topic: ["不认识的主题", "unknown topic"],
  unknown_device: ["不认识的设备", "unknown device"],
  internal: ["内部错误", "internal error"],
  timeout: ["没有回答", "no answer"],
  connect: ["连不上", "cannot connect"],
  connection: ["连接断开", "connection lost"],
  flood: ["收到的数据太多", "too much data"],
  crc: ["校验错", "checksum"],
  garbage: ["收到乱码", "garbage"],
  unexpected: ["没有问却收到回答", "answer to no question"],
  short_frame: ["回答不完整", "short answer"],
  foreign_frame: ["别的主站的数据", "another master's frame"],
  wrong_unit: ["别的站号在回答", "another unit answers"],
  wrong_function: ["回答的功能码不对", "wrong function"],
  wrong_length: ["回答的长度不对", "wrong length"],
  wrong_transaction: ["回答对不上问题", "wrong transaction"],
  lane_full: ["队列满", "queue full"],
  merge_full: ["合并表满", "merge table full"],
  disk: ["磁盘写不进去", "the disk does not take it"],
  broken: ["写入时出错", "an error while writing"],
  disabled: ["测点已停用", "point is disabled"],
  slow: ["太慢", "too slow"],
  slow_head: ["请求迟迟不来", "slow request"],
  too_many: ["太多", "too many"],
  exception_01: ["设备不支持这种读写", "illegal function"],
  exception_02: ["设备没有这个地址", "illegal address"],
  exception_03: ["设备不接受这个数值", "illegal value"],
  exception_04: ["设备自身故障", "device failure"],
  exception_05: ["设备还在处理", "acknowledged, not done"],
  exception_06: ["设备忙", "device busy"],
  exception_07: ["设备拒绝执行", "not executed"],
  exception_08: ["设备存储出错", "memory parity error"],
  exception_0a: ["网关到设备的路径不通", "no path to the device"],
  exception_0b: ["网关后面的设备没有回答", "device behind a gateway does not answer"],
  exception_other: ["设备报错", "another exception"],
};

export const CODES = {
  stale_version: ["别人已先处理", "somebody was first"],
  already_taken: ["已有人接警", "taken already"],
  already_closed: ["已经办结", "closed already"],
  already_ended: ["已经结束", "ended already"],
  already_silent: ["已经消音", "silent already"],
  already_shelved: ["已经搁置", "shelved already"],
  already_marked: ["已经设置过", "marked already"],
  not_taken: ["还没有接警", "not taken"],
  not_latched: ["无需复位", "not latched"],
  not_shelved: ["没有搁置", "not shelved"],
  not_shelvable: ["不允许搁置", "never shelved"],
  not_marked: ["没有这个标记", "no such mark"],
  condition_active: ["仍在报警", "still in alarm"],
  no_outcome: ["没有处理结果", "no outcome"],
  missing_argument: ["没有填全", "not filled in"],
  bad_argument: ["填写不合要求", "filled in wrongly"],
  bad_outcome: ["结果不在列表里", "outcome not in the list"],
  role_not_allowed: ["账号没有权限", "role may not"],
  too_long: ["时间太长", "too long"],
  too_many_marks: ["标记太多", "too many marks"],
  unknown_alarm: ["没有这条报警", "no such alarm"],
  unknown_target: ["没有这个地方或设备", "no such place or device"],
  expired: ["到达太晚", "too late"],
};

// A code that has no words yet is shown in brackets after words that say so.
const pick = (pair, raw) => (pair ? pair[language() === "en" ? 1 : 0] : word("otherCode", { code: raw }));

export function lossName({ name, labels }) {
  const { bus, reason, code, outcome, accepted, channel, rule, recipient, ...others } = labels;
  const rest = [reason && pick(CAUSES[reason], reason), code && pick(CODES[code], code), outcome && outcomeName(outcome), channel && channelName(channel),
    rule && word("ofRule", { rule }), recipient && word("ofRecipient", { recipient }), ...Object.entries(others).map(([key, value]) => `${key} ${value}`)].filter(Boolean);
  return [[pick(COUNTERS[name], name), bus].filter(Boolean).join(" "), rest.join(" · ")].filter(Boolean).join(language() === "en" ? ": " : ":");
}

export const lossTitle = ({ name, labels }) => `${name} ${Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(" ")}`.trim();
