"""What a person does about an uplink that is down, or about a refused row: the reason in words, and the next step.

The reasons themselves are texts of sockets, OpenSSL, brokers and servers; here they are only read. Pure. Whoever adds
a reason of our own adds its row; what no row knows is passed on as it is.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Advice(NamedTuple):
    """What is wrong and what to do, for the log, the duty page and the command line."""

    zh: str
    en: str


# The first row that fits counts: what is particular stands before what is general.
_ROWS: tuple[tuple[str, str, str], ...] = (
    # rows that were put aside: their reasons quote how a session ended
    (
        r"refused again and again",
        "每次送这一条,平台就断开或拒绝,所以放到一边,后面的照送。把原文告诉平台,修好后由主管在值班页点「再发一次」",
        "the platform ends the session at this row each time: it was put aside; tell them, then send it again",
    ),
    (
        r"row is (damaged|cut short|not|no )|row can't be (read|written)",
        "本机存的这一条坏了,多半是磁盘有坏页。尽快检查磁盘",
        "this row is damaged on this box: look at the disk",
    ),
    # the network
    (
        r"name or service not known|failed to resolve|name resolution|no address associated",
        "找不到这个主机名。核对 host(url)有没有写错;没写错就看网线、路由器和本机的 DNS",
        "no such host name: check host (url); then the cable, the router and the DNS of this box",
    ),
    (
        r"connection refused",
        "那台机器上这个端口没有程序在听。核对 host 和 port(MQTT 加密一般是 8883);平台停了就等它恢复",
        "nothing listens on that port: check host and port (8883 for MQTT over TLS), or wait for the platform",
    ),
    (
        r"no route to host|network is unreachable|network is down",
        "网络不通。看网线、路由器、上网卡;数据存在本机,通了自动补送",
        "no network: look at cable, router and SIM card; everything is kept and sent later",
    ),
    # TLS: theirs
    (
        r"certificate has expired",
        "平台的证书过期了,请平台更换;若值班页说时钟没有校准,先校准本机时钟",
        "the platform's certificate has expired: have it replaced (or set this box's clock, if that is wrong)",
    ),
    (
        r"certificate is not yet valid",
        "平台的证书还没有生效:多半是本机时钟慢了,先校准时钟",
        "the platform's certificate is not valid yet: this box's clock is probably slow",
    ),
    (
        r"hostname mismatch|ip address mismatch|doesn't match",
        "平台的证书上没有这个名字。host(url)要写证书里的主机名,不要写 IP 地址或别名",
        "the platform's certificate is for another name: write the name in the certificate into host (url)",
    ),
    (
        r"certificate_verify_failed",
        "平台的证书不是我们认识的机构发的。在 tls: 里写 ca: 平台给的 CA 证书文件;写了就核对是不是这个平台的",
        "the platform's certificate is not signed by a CA we know: give tls: {ca: the platform's CA file}",
    ),
    (
        r"wrong_version_number|record_layer_failure|unexpected_message",
        "对方这个端口没有加密(不是 TLS)。核对 port(url):MQTT 加密一般是 8883,1883 是不加密的",
        "that port does not speak TLS: check port (url); 8883 for MQTT over TLS, 1883 is plaintext",
    ),
    (
        r"plain http request was sent to https|http request to an https server",
        "这个端口要加密:把 url 开头的 http:// 改成 https://",
        "that port wants TLS: write https:// instead of http:// into url",
    ),
    (
        r"unsupported_protocol|protocol_version|no_shared_cipher|no_protocols",
        "平台的 TLS 太旧,至少要 TLS 1.2。请平台升级",
        "the platform's TLS is too old: 1.2 at least",
    ),
    # TLS: ours
    (
        r"key_values_mismatch",
        "私钥和证书不是一对。核对 tls: 里的 cert 和 key",
        "the key does not belong to the certificate: check cert and key under tls",
    ),
    (
        r"tls files cannot be used: \[errno 2\]|^\[errno 2\]",
        "tls: 里写的证书文件不在。核对 ca、cert、key 的路径;相对路径从网关启动时的目录算起",
        "a file under tls is not there: check the paths of ca, cert and key",
    ),
    (
        r"tls files cannot be used: \[errno 13\]|^\[errno 13\]",
        "证书文件在,但网关的用户没有权限读。例如 chgrp shouwang 文件,再 chmod 640",
        "the gateway's user may not read a file under tls: chgrp shouwang it, and chmod 640",
    ),
    (
        r"tls files cannot be used|no_certificate_or_crl_found|no_start_line|pem lib",
        "证书文件的内容不对:要 PEM 格式(用记事本打开,第一行是 -----BEGIN)。DER、PFX 格式先转换",
        "a certificate file is not PEM (its first line is -----BEGIN ...): convert DER and PFX",
    ),
    (
        r"no required ssl certificate|the ssl certificate error",
        "平台要客户端证书,而我们没有给,或给的过期了、不是平台的 CA 发的。核对 tls: 里的 cert 和 key",
        "the platform wants a client certificate, and ours is missing, expired or not of its CA: check cert and key",
    ),
    (
        (
            r"certificate_required|handshake_failure|bad_certificate|unknown_ca|certificate_expired|certificate_unknown"
            r"|access_denied"
        ),
        "平台在加密握手时断开,多半是不认本机的客户端证书:没有写 cert 和 key,证书过期,或不是平台的 CA 发的",
        (
            "the platform broke off the TLS session: probably our client certificate (cert, key) is missing, expired or"
            " not of its CA"
        ),
    ),
    (
        r"eof occurred in violation|unexpected_eof",
        (
            "平台断开了加密连接。从来没连上过:多半不认本机的客户端证书(cert、key 没写、过期,或不是平台的 CA 发的);"
            "连上过又断:另一个连接用了同一个 client_id,或平台在重启"
        ),
        (
            "the platform ended the TLS session: if it never worked, our client certificate (cert, key) is missing,"
            " expired or not of its CA; if it comes and goes, a second connection with the same client_id, or a restart"
        ),
    ),
    # secrets
    (
        r"cannot read the secret .*filenotfound",
        "口令文件不在。把口令放进这个文件;用 credential 时在服务单元里写 LoadCredential=名字:文件",
        "the secret's file is not there: put it there; for a credential write LoadCredential= in the unit",
    ),
    (
        r"cannot read the secret .*permission",
        "口令文件在,但网关的用户没有权限读:把文件的主人改成 shouwang,权限 600",
        "the gateway's user may not read the secret's file: make it its owner, mode 600",
    ),
    (r"cannot read the secret", "口令文件读不出来:它应当是一行文字", "the secret's file is not readable as text"),
    (
        r"the environment variable .* is not set",
        "没有这个环境变量。写进服务的 EnvironmentFile=,重启网关",
        "set the variable in the unit's EnvironmentFile=, and restart",
    ),
    # what the platform says
    (
        r"client identifier not valid|client_identifier",
        "平台不收这个客户端编号。问平台 client_id 应当写什么",
        "the platform does not take this client id: ask which it wants",
    ),
    (
        r"session taken over",
        "另一个连接用了同一个 client_id,互相踢下线。每台网关、每个上行各用各的 client_id",
        "another connection uses the same client_id: give each gateway and each uplink its own",
    ),
    (
        r"not authori[sz]ed \(0x87\)",
        (
            "连上了,但平台不让这个账号发到我们的主题。请平台给它发布 <prefix>/<网关编号>/# 的权限;证书当账号时,"
            "证书里的编号要和 gateway.id 一样"
        ),
        "connected, but this account may not publish <prefix>/<gateway id>/#; a certificate must be for this id",
    ),
    (
        r"not authori[sz]ed|bad user ?name or password|refuses the token",
        (
            "平台不认我们的账号。核对 username、password 或 token(客户端证书当账号时核对证书);口令改过就更新口令文件,"
            "不用重启;再核对平台给的权限"
        ),
        "the platform refuses our account: check username, password, token or certificate, and what it may do",
    ),
    (
        r"quota exceeded|message rate too high|^429:",
        "平台说超过了限额。写 rate: 或 only: 少送一些,或请平台放宽",
        "over the platform's limit: send less (rate:, only:), or ask for more",
    ),
    (
        r"no such bucket, or no v2 write api",
        "没有这个 bucket,或者对方不是 InfluxDB 2、3 或 VictoriaMetrics(InfluxDB 1.x 不行)。核对 url、bucket、org",
        "no such bucket, or neither InfluxDB 2 or 3 nor VictoriaMetrics (1.x will not do): check url, bucket, org",
    ),
    (
        r"sends us elsewhere",
        "对方叫我们去别的地址。url 直接写那个地址,不要写会跳转的网址",
        "the server redirects: write its own address into url",
    ),
    (
        r"refuses every write",
        "时序库连一行正确的数据也不收。核对 url、bucket、org,问管理员",
        "the server refuses even a right line: check url, bucket and org",
    ),
    (
        r"state online on",
        "在等主站上线(primary_host)。核对主站编号;主站停着时数据存在本机,上线后补送",
        "waiting for the primary host: check its id; everything is kept until it is online",
    ),
    (
        r"no connack|within .* of connecting|timed out|has not answered",
        "连得上,但平台没有回答。核对端口是不是 MQTT(时序库)的;没错就是平台太忙或线路太差,会自动再试",
        "connected, but no answer: check that the port is the right one; otherwise the platform or the line is slow",
    ),
    (
        r"^\[errno 104\]|connection aborted|connection reset|broken pipe",
        "对方把连接断了。若从来没连上过:一边加密一边没加密,核对 port 和 tls;若时通时断:看线路,或平台正在重启",
        (
            "the other side reset the connection: if it never worked, one side speaks TLS and the other does not (port,"
            " tls); if it comes and goes, the line or the platform"
        ),
    ),
    (
        r"protocol error",
        "对方的回答不是 MQTT。核对 host 和 port(是不是写成了网页、时序库的端口);没错就把原文告诉平台",
        "what answers there is no MQTT: check host and port (a web server's?); if they are right, tell the platform",
    ),
    (
        r"broker closed the connection|broker does not read|keep ?alive",
        "平台断开了连接。常见原因:另一个连接用了同一个 client_id,账号没有权限,或平台在重启",
        (
            "the platform closed the connection: often a second connection with the same client_id, missing rights or a"
            " restart"
        ),
    ),
    # what the platform says of a row
    (r"larger than the", "这一条超过了平台收的大小", "this row is larger than the platform takes"),
    (
        r"^4\d\d:|refuses a message",
        "平台说这一条的内容不对,所以放到一边,后面的照送。把原文告诉平台,修好后由主管在值班页点「再发一次」",
        "the platform says that this row is wrong: it was put aside; tell them, then send it again",
    ),
    (r"took only a part", "平台只收了一部分,其余的会再送", "the platform took a part; the rest is sent again"),
    (
        r"^5\d\d:",
        "平台自己出了错,会自动再试;一直这样就找平台",
        "an error of the platform's own: tried again by itself; tell them if it lasts",
    ),
    # ourselves
    (
        r"cannot write the|database or disk is full|no space left|readonly database|the bridge itself",
        "本机的磁盘写不进去或已满。看值班页的磁盘状态,尽快处理;报警照常",
        "this box cannot write its disk: see to it; alarms go on",
    ),
    (
        r"last session still hangs",
        "上一次的写入还没有结束,等它超时后再连",
        "a write still hangs: wait for its time-out",
    ),
)
_KNOWN = tuple((re.compile(pattern, re.IGNORECASE), Advice(zh, en)) for pattern, zh, en in _ROWS)
_UNKNOWN = Advice(
    "会自动再试;一直这样,把原文告诉平台的管理员", "tried again by itself; if it lasts, show this to the platform"
)
_NOTHING = Advice("", "")


def advice(reason: str) -> Advice:
    """What ``reason`` means and what to do about it; nothing where there is no reason."""
    if not reason:
        return _NOTHING
    return next((each for pattern, each in _KNOWN if pattern.search(reason)), _UNKNOWN)
