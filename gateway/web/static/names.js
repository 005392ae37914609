// Names of what the gateway tells by a code: classes, marks, kinds of events, states of notices, channels. Chinese first.

export const CLASSES = {
  fire: ["火警", "Fire", "▲"],
  gas: ["燃气", "Gas", "◆"],
  sos: ["求助", "Emergency call", "☎"],
  security: ["治安", "Security", "⬣"],
  warning: ["预警", "Warning", "▽"],
  supervisory: ["监管", "Supervisory", "◇"],
  fault: ["故障", "Fault", "■"],
  maintenance: ["维护", "Maintenance", "○"],
};

export const MARKS = {
  drill: ["演练", "Drill"],
  walk_test: ["走测", "Walk test"],
  commissioning: ["调试", "Commissioning"],
  out_of_service: ["检修", "Out of service"],
  disabled: ["停用(屏蔽)", "Disabled"],
  away: ["外出", "Away"],
  shelved: ["搁置", "Shelved"],
};

export const SCOPES = {
  building: ["楼栋", "Building"],
  unit: ["单元", "Unit"],
  floor: ["楼层", "Floor"],
  room: ["房间", "Room"],
  zone: ["区域", "Zone"],
  device: ["设备", "Device"],
  point: ["测点", "Point"],
  site: ["全小区", "Whole site"],
};

export const KINDS = {
  raised: ["报警", "alarm"],
  reraised: ["再次报警", "alarm again"],
  returned: ["已恢复", "returned"],
  taken: ["接警", "taken"],
  verified: ["核实", "verified"],
  operated: ["手动操作", "operated"],
  noted: ["备注", "noted"],
  arrived: ["到场", "arrived"],
  closed: ["办结", "closed"],
  reset: ["复位", "reset"],
  silenced: ["消音", "silenced"],
  withdrawn: ["撤销", "withdrawn"],
  confirmed: ["火警确认", "fire confirmed"],
  shelved: ["搁置", "shelved"],
  unshelved: ["取消搁置", "unshelved"],
  suppressed: ["归入其原因报警", "suppressed by its cause"],
  unsuppressed: ["不再归入其它报警", "no longer suppressed"],
  out_of_service: ["检修/停用", "out of service"],
  in_service: ["恢复使用", "back in service"],
  unmarked: ["不再是测试", "no longer a test"],
  mark: ["设置标记", "marked"],
  escalated: ["无人接警,升级", "escalated: nobody has taken it"],
  unverified: ["超时未核实", "not verified in time"],
};

export const NOTICES = {
  sending: ["发送中", "sending"],
  accepted: ["已受理", "accepted"],
  delivered: ["已送达", "delivered"],
  failed: ["失败", "failed"],
};

export const OUTCOMES = {
  done: ["已执行", "done"],
  unconfirmed: ["未收到回读", "no readback"],
  failed: ["失败", "failed"],
  expired: ["超时未执行", "expired, not carried out"],
  refused: ["设备拒绝", "refused"],
  superseded: ["被新的命令取代", "replaced by a newer command"],
  open: ["正在执行", "under way"],
};

export const REASONS = {
  store: ["数据存不进磁盘,操作不会生效", "data cannot be stored: actions have no effect"],
  memory: ["数据盘不能写,网关正在内存里运行:报警照常,断电会丢失这段时间的记录。请尽快换盘", "the disk cannot be written: the gateway runs from memory. Alarms work; a power cut loses the records since. Replace the disk soon"],
  mended: ["数据库曾经损坏,已自动修复,可能缺少部分旧记录", "the database was damaged and has been mended: some old records may be missing"],
  time: ["网关时钟未校准,报警上的时间可能不准", "the gateway's clock is not synchronised: times of alarms may be wrong"],
  bus: ["现场线路中断,部分设备听不到", "a field line is down: some devices cannot be heard"],
};

export const CHANNELS = {
  console: ["值班画面", "duty screen"],
  buzzer: ["蜂鸣器", "buzzer"],
  voice: ["语音播报", "voice broadcast"],
  modem: ["短信猫", "GSM modem"],
  sms: ["短信", "SMS"],
  email: ["电子邮件", "e-mail"],
  wecom: ["企业微信", "WeCom"],
  dingtalk: ["钉钉", "DingTalk"],
  feishu: ["飞书", "Feishu"],
  webhook: ["接口推送", "webhook"],
  apprise: ["消息服务", "message service"],
};

export const WAYS = {
  card: ["刷卡", "card"],
  pin: ["密码", "code"],
  qr: ["二维码", "QR code"],
  button: ["出门按钮", "exit button"],
  face: ["人脸", "face"],
  remote: ["远程开门", "opened from afar"],
  remote_door: ["门禁自带的远程开门", "opened from afar, by the door's own system"],
  phone: ["手机", "phone"],
  duress: ["胁迫码", "duress code"],
};

export const DIRECTIONS = { in: ["进", "in"], out: ["出", "out"] };

export const PASS_RESULTS = { granted: ["放行", "granted"], denied: ["拒绝", "denied"] };
