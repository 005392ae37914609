// Every word of the page, Chinese first. No button says 确认 alone: in fire practice that means "a real fire".

import { CHANNELS, CLASSES, DIRECTIONS, KINDS, MARKS, NOTICES, OUTCOMES, PASS_RESULTS, REASONS, SCOPES, WAYS } from "./names.js";

const WORDS = {
  statement: ["辅助监测,不替代消防系统", "Supplementary monitoring. It does not replace the fire system."],
  setupTitle: ["首次使用:设置第一个账号", "First start: make the first account"],
  setupHelp: [
    "一次性代码写在网关数据目录的 setup-code 文件里(演示时也显示在终端里),用一次就作废。密码至少 8 位。",
    "The one-time code is in the file setup-code of the gateway's data directory (demo: also in the terminal). It works once. Password: 8 characters or more.",
  ],
  loginTitle: ["登录值班画面", "Log in to the duty screen"],
  setupCode: ["一次性代码", "One-time code"],
  name: ["姓名", "Name"],
  password: ["密码", "Password"],
  passwordAgain: ["再输一次密码", "Password again"],
  notSame: ["两次密码不一样,请重新输入。", "The two passwords differ: enter them again."],
  needCode: ["请输入一次性代码。", "Enter the one-time code."],
  needName: ["请输入姓名。", "Enter your name."],
  setupGo: ["建立账号并登录", "Make the account and log in"],
  loginGo: ["登录", "Log in"],
  logout: ["退出", "Log out"],
  otherLanguage: ["English", "中文"],
  noAnswer: ["网关没有回答,请检查网络。", "The gateway does not answer: check the network."],

  screen: ["画面 {n}秒前", "Screen {n} s ago"],
  connecting: ["画面 连接中", "Screen connecting"],
  lines: ["现场 {up}/{total}", "Field {up}/{total}"],
  cloudNone: ["云端 未接", "Cloud not set up"],
  cloudUp: ["云端 已连", "Cloud connected"],
  certificateSoon: ["云端 证书 {n} 天后到期", "Cloud: certificate expires in {n} days"],
  certificateOver: ["云端 证书已过期", "Cloud: certificate expired"],
  cloudDown: ["云端 连不上{since}(本地照常)", "Cloud down{since} (local work goes on)"],
  cloudPart: ["云端 {down}/{all} 断开{since}(本地照常)", "Cloud {down}/{all} down{since} (local work goes on)"],
  cloudUnknown: ["云端 未知", "Cloud unknown"],
  backlog: [" · 待传 {n}", " · {n} waiting"],
  staleBar: ["连接中断 {n} 秒 — 新报警可能没有显示,操作已停用", "Connection lost for {n} s. New alarms may be missing; buttons are off."],
  deadBar: ["画面失效 {n} 秒 — 请看消防主机,或打电话联系值班主管", "Screen not valid for {n} s. Look at the fire panel, or phone the supervisor."],
  deadText: ["以下是 {at} 的情况", "This is how it was at {at}"],
  startBar: ["正在连接网关,画面还没有内容", "Connecting to the gateway: nothing to show yet"],
  staleTitle: ["⚠连接中断", "⚠ Connection lost"],
  trouble: ["系统有故障:{what} — 请联系维护人员", "System trouble: {what}. Call maintenance."],
  news: ["中断期间:新报警 {came} 条,已结束 {went} 条", "While disconnected: {came} new, {went} ended"],
  seen: ["知道了", "Seen"],

  soundOff: ["声音未启用,听不到报警", "Sound is off: alarms cannot be heard"],
  soundOn: ["点这里启用声音", "Switch the sound on"],
  soundAsk: ["正在放试音,听到了吗?", "A test tone is playing. Do you hear it?"],
  soundFail: ["请检查音箱开关和音量,再试一次", "Check the loudspeaker and the volume, then try again"],
  heard: ["听到了", "I hear it"],
  notHeard: ["没听到", "I do not"],
  mute: ["F2 消音", "F2 Silence"],
  muteHelp: ["停止本画面现在的声音;有新报警会再响", "Stops the present sound of this screen; a new alarm sounds again"],

  alarmList: ["报警列表", "Alarms"],
  quietBut: [
    "列表里没有报警,另有 {muted} 条不在列表里(见下) · 在线 {online}/{total} · 离线 {offline} · 状态未知 {unknown}",
    "No alarm in the list; {muted} more are not in it (see below) · online {online}/{total} · offline {offline} · unknown {unknown}",
  ],
  quiet: ["无报警 · 在线 {online}/{total} · 离线 {offline} · 状态未知 {unknown}", "No alarms · online {online}/{total} · offline {offline} · unknown {unknown}"],
  firstFire: ["首火警", "First fire alarm"],
  online: ["在线", "Online"],
  offline: ["离线", "Offline"],
  unknown: ["状态未知", "Unknown"],
  choose: ["从左边选一条报警来处置", "Choose an alarm to handle"],
  handle: ["处置", "Handle"],
  closePanel: ["收起", "Fold"],
  drifted: ["列表刚刚移动,请看清后再按", "The list has just moved: look again, then press"],

  isActive: ["仍在报警", "still in alarm"],
  isReturned: ["已恢复 {at}", "returned {at}"],
  isLatched: ["保持(待复位)", "latched until reset"],
  isUnconfirmed: ["重启前的报警,设备尚未再次上报", "From before a restart; its device has not reported since"],
  hasEnded: ["已结束,见记录", "Ended: see the records"],
  times: ["第 {n} 次", "{n} times"],
  members: ["含 {n} 条", "{n} under it"],
  waiting: ["另有 {n} 条:原因已恢复,正在等设备恢复,过后仍未恢复的会列出", "{n} more: their cause is gone, the devices may follow; those that do not will be listed"],
  unfoldMembers: ["展开 {n} 条", "Show {n}"],
  foldMembers: ["收起 {n} 条", "Hide {n}"],
  moreRows: ["还有 {n} 条", "{n} more"],
  chattering: ["反复出现,只计次数", "keeps coming and going: only counted"],
  isStale: ["已超过 24 小时", "for more than 24 hours"],
  isClockUnsure: ["报警时网关时钟未校准,时间可能不准", "The gateway's clock was not synchronised then: the time may be wrong"],
  new: ["未接警", "Not taken"],
  taken: ["已接警", "Taken"],
  verifying: ["核实中", "Verifying"],
  handling: ["处置中", "In hand"],
  closed: ["已办结", "Closed"],
  fireConfirmed: ["火警已确认", "Fire confirmed"],
  isOutOfService: ["检修/停用中:只记录,不报警", "Out of service: recorded, not annunciated"],
  isSuppressed: ["已归入其原因报警", "Stands under the alarm that is its cause"],
  isShelved: ["已搁置至 {at} · {by}", "Shelved until {at} · {by}"],
  within: ["{span}内响应", "respond within {span}"],
  respondLeft: ["还剩 {span}", "{span} left"],
  respondOver: ["✖ 已超时 {span}", "✖ overdue by {span}"],
  tookLate: ["✖ 接警晚了 {span}", "✖ taken {span} late"],
  tookInTime: ["接警用了 {span}", "taken after {span}"],
  possibleCause: ["可能原因:{text}。", "Possible cause: {text}."],
  consequence: ["不处理的后果:{text}。", "If nothing is done: {text}."],
  real: ["核实:真实", "verified real"],
  falseAlarm: ["核实:误报", "verified false"],
  plan: ["处置步骤", "Steps"],
  journal: ["经过", "History"],
  device: ["设备", "Device"],

  socket: ["{n}号口", "socket {n}"],
  commands: ["联动", "Automatic actions"],
  switchOn: ["开", "switched on"],
  switchOff: ["关", "switched off"],
  powerOn: ["通电", "power on"],
  powerOff: ["断电", "power off"],
  setTo: ["设为 {value}", "set to {value}"],
  call120: ["超过 3 分钟无人接警:请拨打 120,报地址 {place}", "Nobody has taken it for over 3 minutes: call 120, address {place}"],
  call120Title: ["求助超过 3 分钟无人接警:请拨打 120,报这个地址", "Nobody has taken this call for over 3 minutes: phone 120 and say this address"],
  call120Drill: ["演练:到这里应拨打 120 — 演练时不要真拨", "Drill: now 120 would be phoned. Do not phone in a drill"],
  call120Since: ["{at} 呼救", "called at {at}"],
  call120More: ["另有 {n} 个求助也无人接警", "{n} more that nobody has taken"],
  dial120: ["拨打 120", "Phone 120"],
  toldLine: ["通知 {who}({channel})", "told {who} ({channel})"],
  commandSummary: ["自动动作:已执行 {done}/{all}", "Automatic actions: {done} of {all} done"],

  take: ["接警", "Take"],
  takeTop: ["F3 接警", "F3 Take"],
  verify: ["核实", "Verify"],
  verifyFire: ["确认火警", "Real fire"],
  verifyReal: ["确认真实", "Real"],
  verifyFalse: ["误报", "False alarm"],
  arrive: ["到场", "Arrived"],
  silence: ["本条消音", "Silence this one"],
  close: ["办结", "Close"],
  outcome: ["结果(必选)", "Outcome (required)"],
  pick: ["请选择", "Choose"],
  cause: ["原因(必填)", "Cause (required)"],
  needBoth: ["办结要选结果、写原因。", "To close, choose an outcome and state the cause."],
  note: ["备注", "Note"],
  noteGo: ["记下", "Save"],
  needNote: ["请先写备注。", "Write the note first."],
  reset: ["复位:按住 2 秒", "Reset: hold for 2 s"],
  holdLonger: ["复位要按住 2 秒再松开。", "Hold the reset button for 2 seconds."],
  sending: ["正在执行…", "Sending…"],
  done: ["已执行:{verb}", "Done: {verb}"],
  retrying: ["没有收到回答,正在核对是否生效…", "No answer: finding out whether it happened…"],
  unsure: ["没有收到回答,不能确定是否生效:请看报警的状态。", "No answer. It may or may not have happened: look at the alarm."],

  operateAsk: ["要{title}吗?{where}", "{title}? {where}"],
  operateYes: ["是,{title}", "Yes: {title}"],
  operateNo: ["不,先不要", "No, not now"],
  operateTakeAnd: ["接警并{title}", "Take and {title}"],
  operateTaking: ["正在接警…", "Taking it…"],
  operateOnlyTaken: ["已接警,但没有{title}:", "Taken, but not done ({title}): "],
  operateOthers: ["{title}:您的账号没有这个权限", "{title}: your role may not"],
  operateSending: ["正在下达:{title}…", "Sending: {title}…"],
  operateSent: ["已下达:{title},等设备回答…", "Commanded: {title}. Waiting for the device…"],
  operateDone: ["✔ {at} 设备已执行:{title}", "✔ {at} the device has done it: {title}"],
  operateUnconfirmed: ["✖ {at} 已下达「{title}」,但设备没有回报:请看画面或到现场确定", "✖ {at} {title} was commanded, but the device has not said so: look for yourself"],
  operateFailed: ["✖ {at} 「{title}」没有成功:{why}", "✖ {at} {title} did not succeed: {why}"],
  operateUnsure: ["✖ 不知道有没有执行:请看画面或到现场确定", "✖ Nobody knows whether it was done: look for yourself"],
  pictureAlt: ["门口画面", "picture at the door"],
  pictureLoading: ["正在取门口画面…", "Fetching the picture…"],
  pictureAt: ["门口画面 {at}", "Picture of {at}"],
  pictureNone: ["取不到门口画面,请用对讲问清楚", "No picture: ask by the intercom"],
  pictureAgain: ["刷新画面", "Another picture"],
  bulkTake: ["故障全部接警({n})", "Take all faults ({n})"],
  bulkClose: ["故障全部办结({n})", "Close all faults ({n})"],
  bulkTakeAsk: ["要接警这 {n} 条故障吗?每条都单独记在您名下。", "Take these {n} faults? Each is recorded under your name."],
  bulkCloseAsk: ["要办结这 {n} 条已接警的故障吗?每条都单独记在您名下。", "Close these {n} faults that are taken? Each is recorded under your name."],
  bulkPart: ["(共 {all} 条,这次 {n} 条)", " ({n} of {all} this time)"],
  bulkTakeYes: ["是,接警 {n} 条", "Yes: take {n}"],
  bulkCloseYes: ["是,办结", "Yes: close"],
  bulkOutcome: ["{outcome}({n} 条)", "{outcome} ({n})"],
  bulkDone: ["{n} 条{what}。", "{what}: {n}."],
  bulkDoneBut: ["{n} 条{what},{not} 条没有:", "{what}: {n}. Not done: {not}:"],
  bulkUnsure: ["没有收到回答,不能确定哪些已生效:请看每条报警的状态。", "No answer. Some may have been done: look at each alarm."],
  shelve: ["搁置", "Shelve"],
  unshelve: ["取消搁置", "Unshelve"],
  shelveOpen: ["搁置…(暂时不报警)", "Shelve… (not annunciated for a while)"],
  howLong: ["多久", "How long"],
  reason: ["理由(必填)", "Reason (required)"],
  needReason: ["请写明理由。", "State the reason."],
  minutes: ["{n} 分钟", "{n} min"],
  hours: ["{n} 小时", "{n} h"],
  days: ["{n} 天", "{n} days"],
  noEnd: ["直到取消", "until lifted"],
  until: ["至 {at}", "until {at}"],

  asideTitle: ["不在报警列表里的:", "Not in the list of alarms: "],
  none: ["无", "none"],
  list_shelved: ["搁置", "Shelved"],
  list_service: ["检修/停用中的报警", "Alarms out of service"],
  list_suppressed: ["归入其它报警", "Under another alarm"],
  list_stale: ["超过 24 小时(也在列表里)", "Over 24 h (also in the list)"],
  list_marks: ["标记", "Marks"],
  nowQuiet: ["现在没有报警", "no alarm now"],
  liftMark: ["提前结束", "End now"],
  lifted: ["已结束:{mark}", "Ended: {mark}"],
  marked: ["已设置:{mark}", "Set: {mark}"],
  unsureMark: ["没有收到回答,不能确定是否生效:请看上面的标记。", "No answer. It may or may not have happened: look at the marks above."],
  markTitle: ["演练、走测、调试、检修、停用、外出", "Drill, walk test, commissioning, service, disable, away"],
  markWhat: ["标记", "Mark"],
  markScope: ["范围", "Scope"],
  markKey: ["哪里", "Where"],
  markWithin: ["楼栋或区域", "Building or zone"],
  markAnywhere: ["全小区", "Whole site"],
  markSearch: ["输入房号、名称查找,或在下面点选", "Type to search, or press one below"],
  markFound: ["共 {n} 处", "{n} found"],
  markMore: ["共 {n} 处,这里是前 {shown} 处:请多输几个字", "{n} found, the first {shown} are here: type more"],
  markNone: ["没有找到,请换个写法,例如 0301", "Nothing found: try another way, for example 0301"],
  markChosen: ["已选:{where}", "Chosen: {where}"],
  markDevices: ["{n} 台", "{n} devices"],
  markGo: ["开始", "Begin"],
  testLine: ["{mark}中 · {where} · {left} · {by}: {reason}", "{mark} · {where} · {left} · {by}: {reason}"],
  testMore: ["另有 {n} 处", "{n} more places"],
  timeLeft: ["还剩 {span}", "{span} left"],

  passes: ["门禁记录", "Door records"],
  passAt: ["时间", "Time"],
  passDoor: ["哪个门", "Door"],
  passPerson: ["卡号或人", "Card or person"],
  passPersonWhole: ["完整卡号", "Whole card number"],
  passWay: ["方式", "How"],
  passDirection: ["进出", "Way"],
  passResult: ["结果", "Result"],
  passSince: ["从", "From"],
  passUntil: ["到", "Until"],
  passAny: ["全部", "All"],
  passGo: ["查找", "Search"],
  passMore: ["再看更早的", "Earlier ones"],
  passLoading: ["正在查找…", "Searching…"],
  passNone: ["没有符合的记录", "No such record"],
  passSave: ["导出表格", "Save as a table"],
  passSaving: ["正在导出,已取 {n} 条…", "Saving: {n} rows so far…"],
  passSaved: ["已导出 {n} 条", "{n} rows saved"],
  passSavedPart: ["只导出了最近 {n} 条,更早的请缩小时间再导出", "Only the latest {n} rows were saved: choose a shorter time for earlier ones"],
  passFile: ["门禁记录", "door-records"],
  system: ["系统", "System"],
  loss: ["拒收与丢弃(按原因)", "Refused and lost (by reason)"],
  otherCode: ["其它({code})", "other ({code})"],
  ofRule: ["规则 {rule}", "rule {rule}"],
  ofRecipient: ["联系人 {recipient}", "recipient {recipient}"],
  noLoss: ["还没有", "None so far"],
  bus: ["线路", "Lines"],
  cloud: ["云端", "Clouds"],
  up: ["通", "up"],
  down: ["断", "down"],
  untried: ["未知", "unknown"],
  deadLetters: ["平台拒收的数据(留在本机)", "Refused by a platform (kept here)"],
  retryLetter: ["再发一次", "Send again"],
  retryAsked: ["已请求", "Asked"],
  certificateUntil: ["证书到 {day}", "certificates until {day}"],
  savedName: ["变化才上云", "Report on change"],
  saved: ["少传 {n} 个没有变化的读数", "{n} unchanged readings not sent"],
  records: ["最近结束的报警", "Alarms that ended last"],
  devicesOf: ["设备:{state}", "Devices: {state}"],
  more: ["还有更多,共 {n} 台", "More: {n} in all"],
  version: ["版本 {v} · 网关 {gateway}", "Version {v} · gateway {gateway}"],
  people: ["账号:每人用自己的姓名登录", "Accounts: everybody logs in with an own name"],
  role: ["岗位", "Role"],
  duty: ["值班", "Duty"],
  supervisor: ["主管", "Supervisor"],
  installer: ["安装维护", "Installer"],
  addPerson: ["添加账号", "Add account"],
  personAdded: ["已添加:{name}", "Added: {name}"],
  keys: ["启用快捷键 F2 F3 Esc", "Keys F2 F3 Esc"],
};

let index = 0;
let zone = "Asia/Shanghai";

export function speak(language, timezone) {
  index = language === "en" ? 1 : 0;
  zone = timezone || zone;
  document.documentElement.lang = index ? "en" : "zh-CN";
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);
  for (const each of document.querySelectorAll("button.language")) each.textContent = word("otherLanguage");
}

const CALL_120_S = 180; // alarms.md section 5

export const language = () => (index ? "en" : "zh");

export function word(key, fields = {}) {
  return WORDS[key][index].replace(/\{(\w+)\}/g, (_, name) => String(fields[name] ?? ""));
}

export const className = (name) => (CLASSES[name] || [name, name])[index];
export const classIcon = (name) => (CLASSES[name] || ["", "", "•"])[2];
export const kindName = (kind) => (KINDS[kind] || [kind, kind])[index];

export const outcomeName = (outcome) => (OUTCOMES[outcome || "open"] || [outcome, outcome])[index];
export const channelName = (channel) => (CHANNELS[channel] || [channel, channel])[index];
export const noticeName = (state) => (NOTICES[state] || [state, state])[index];
export const reasonName = (reason) => (REASONS[reason] || [reason, reason])[index];

export const wayName = (way) => (WAYS[way] || [way, way])[index];
export const directionName = (direction) => (DIRECTIONS[direction] || [direction, direction])[index];
export const passResult = (result) => (PASS_RESULTS[result] || OUTCOMES[result] || [result, result])[index];

export const markName = (mark) => (MARKS[mark] || [mark, mark])[index];
export const scopeName = (scope) => (SCOPES[scope] || [scope, scope])[index];

// A place of a mark as people say it: 3栋, 3栋2单元, 全小区.
export function scopeText(scope, key) {
  const [building, unit, floor] = key.split("-");
  if (scope === "building") return index ? `Building ${building}` : `${building}栋`;
  if (scope === "unit") return index ? `Building ${building}, unit ${unit}` : `${building}栋${unit}单元`;
  if (scope === "floor") return index ? `Building ${building}, unit ${unit}, floor ${floor}` : `${building}栋${unit}单元${floor.replace(/^0+(?=\d)/, "").replace(/^B/, "地下")}层`;
  if (scope === "site") return scopeName("site");
  return scope === "room" ? placeName(key) : key;
}

export function minutesText(n) {
  if (n % 1440 === 0) return word("days", { n: n / 1440 });
  return n % 60 === 0 ? word("hours", { n: n / 60 }) : word("minutes", { n });
}

// The last part of an address. DOOR is a code of the drawing: people say 单元门, the device's title. A code with a number
// stays beside a title that does not tell the same number: "A01" may be somebody's flat.
function spotOf(room, title) {
  const said = title.replace(/\s*[(\uff08][^()\uff08\uff09]*[)\uff09]$/, "");
  const code = /^([A-Za-z]+)(\d*)$/.exec(room);
  if (!code || !said) return room;
  const isTold = code[2] ? (said.match(/\d+/g) || []).some((n) => Number(n) === Number(code[2])) : code[1].length > 2;
  return isTold ? ` ${said}` : `${room} ${said}`;
}

// 3-2-03-0301 as people say it; anything else as it is written. ``title``: of the device there.
export function placeName(place, title = "") {
  const parts = /^([\p{L}\p{N}_]+)-([\p{L}\p{N}_]+)-([\p{L}\p{N}_]+)-([\p{L}\p{N}_]+)$/u.exec(place);
  if (!parts) return place;
  const [, building, unit, floor, room] = parts;
  const level = floor.replace(/^0+(?=\d)/, "");
  const spot = spotOf(room, title || "");
  if (index) return `Building ${building}, unit ${unit}, floor ${level}, ${spot.trim()}`;
  const said = level.startsWith("B") ? `地下${level.slice(1)}层` : `${level}层`;
  return `${building}栋${unit}单元${said}${spot}${/^\d+$/.test(room) ? "室" : ""}`;
}

// The place and the device there, where the place does not say it already.
export function whereName(place, title, between = " ") {
  const said = placeName(place, title);
  return said === placeName(place) ? [said, title].filter(Boolean).join(between) : said;
}

// The place, and of repeated points which one: 3号口 of a charger, else the point's own title.
export function spotName(alarm) {
  const part = alarm.socket ? word("socket", { n: alarm.socket }) : /\.\d+$/.test(alarm.point) ? alarm.point_title || alarm.point.split("/").pop() : "";
  return placeName(alarm.place, alarm.device_title) + (part ? ` · ${part}` : "");
}

// At 180 s the screen asks for an ambulance, whether or not somebody has opened the alarm.
export function call120Text(alarm) {
  const isLate = alarm.class === "sos" && alarm.is_open && alarm.handling === "new" && alarm.escalated_s >= CALL_120_S;
  return isLate && !alarm.marks.length ? word("call120", { place: placeName(alarm.place, alarm.device_title) }) : "";
}

// What has happened, and the value where a device measured a number: "… · 1043 W"; without a unit its name is said
// ("… · 状态 3"), and a number that has neither tells nobody anything.
export function whatText(alarm) {
  const number = typeof alarm.value === "number" && alarm.device ? Number(alarm.value.toFixed(1)) : null;
  const value = number === null ? "" : alarm.unit ? `${number} ${alarm.unit}` : alarm.point_title && `${alarm.point_title} ${number}`;
  return [alarm.text || alarm.title, value].filter(Boolean).join(" · ");
}

export function clockText(instant, withDate = false) {
  const options = { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  if (withDate) Object.assign(options, { month: "2-digit", day: "2-digit" });
  return new Intl.DateTimeFormat(index ? "en-GB" : "zh-CN", options).format(instant);
}

// 2026-01-15, as the site's calendar has it.
export const dayText = (instant) => new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" }).format(instant);

// The instant at which the site's clocks show 2026-01-15T10:40. Twice: the first guess may be on the other side of a change.
export function instantOf(text) {
  const wanted = Date.parse(`${text}Z`);
  const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" });
  const shownAt = (instant) => Date.parse(`${format.format(instant).replace(" ", "T")}Z`);
  const guess = wanted - (shownAt(wanted) - wanted);
  return guess - (shownAt(guess) - wanted);
}

// A length of time in words: 42 秒, 4 分钟 12 秒, 3 小时 5 分钟.
export function spanWords(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const [hour, minute, second, day] = index ? [" h", " min", " s", " days"] : [" 小时", " 分钟", " 秒", " 天"];
  const both = (big, bigWord, small, smallWord) => [`${big}${bigWord}`, small ? `${small}${smallWord}` : ""].filter(Boolean).join(" ");
  if (s < 60) return `${s}${second}`;
  if (s < 3600) return both(Math.floor(s / 60), minute, s % 60, second);
  return s < 48 * 3600 ? both(Math.floor(s / 3600), hour, Math.floor(s / 60) % 60, minute) : `${Math.floor(s / 86400)}${day}`;
}

export function spanText(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  return s < 3600 ? `${two(Math.floor(s / 60))}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}
