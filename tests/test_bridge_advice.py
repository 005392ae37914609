"""What a person is told of an uplink that is down: what the reason means, and what to do."""

from __future__ import annotations

import pytest

from cloud_bridge.advice import advice

# As sockets, OpenSSL, mosquitto, nats-server, victoria-metrics and influxdb 1.6 gave them.
SEEN = {
    "no-such-host.invalid:8883: [Errno -2] Name or service not known": "找不到这个主机名",
    "https://x:8086: HTTPSConnection(host='x', port=8086): Failed to resolve 'x' ([Errno -2] …)": "找不到这个主机名",
    "127.0.0.1:1: [Errno 111] Connection refused": "端口没有程序在听",
    "[Errno 113] No route to host": "网络不通",
    "x:8883: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate "
    "(_ssl.c:1006)": "不是我们认识的机构",
    "x:8883: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)": (
        "证书过期"
    ),
    "x:8883: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not valid "
    "for 'x'. (_ssl.c:1006)": "没有这个名字",
    "EOF occurred in violation of protocol (_ssl.c:2427)": "连上过又断:另一个连接用了同一个 client_id",
    "the server refuses every write: 400: <title>400 No required SSL certificate was sent</title>": "要客户端证书",
    "the server refuses every write: 400: <title>400 The SSL certificate error</title>": "要客户端证书",
    "the server refuses every write: 400: <title>400 The plain HTTP request was sent to HTTPS port</title>": "https://",
    "the server refuses every write: 400: Client sent an HTTP request to an HTTPS server.": "https://",
    "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)": "客户端证书",
    "no TLS session: SSLError\n[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)": "没有加密",
    "127.0.0.1:1883: [Errno 104] Connection reset by peer": "一边加密一边没加密",
    "http://127.0.0.1:1883: ('Connection aborted.', ConnectionResetError(104, 'reset'))": "一边加密一边没加密",
    "the TLS files cannot be used: [X509: NO_CERTIFICATE_OR_CRL_FOUND] no certificate or crl found": "PEM",
    "the TLS files cannot be used: [Errno 2] No such file or directory": "证书文件不在",
    "the TLS files cannot be used: [Errno 13] Permission denied": "没有权限读",
    "the TLS files cannot be used: [X509: KEY_VALUES_MISMATCH] key values mismatch (_ssl.c:3926)": "不是一对",
    "refused: Not authorized": "不认我们的账号",
    "refused: not authorized (0x87)": "发布",
    "the platform refuses a message: refused: not authorized (0x87)": "发布",
    "the platform refuses a message: refused: payload format invalid (0x99)": "再发一次",
    "Protocol error": "不是 MQTT",
    "refused: Bad user name or password": "不认我们的账号",
    "the server refuses the token (401): check token, org and bucket": "不认我们的账号",
    "cannot read the secret /etc/shouwang/x: FileNotFoundError": "口令文件不在",
    "cannot read the secret /etc/shouwang/x: PermissionError": "没有权限读",
    "the environment variable PLATFORM_PASSWORD is not set": "没有这个环境变量",
    "no CONNACK within 5 s": "没有回答",
    "http://x: HTTPConnectionPool(host='x', port=1): Read timed out. (read timeout=1.99)": "没有回答",
    "no such bucket, or no v2 write API there (404): 404 page not found": "InfluxDB 1.x 不行",
    "the platform has not answered within 30 s: STATE online on spBv1.0/STATE/SCADA01": "等主站上线",
    "the broker closed the connection": "client_id",
    "Session taken over": "client_id",
    "400: unable to parse 'x'": "再发一次",
    "the row is damaged: Error -3": "磁盘",
    "cannot write the status: database or disk is full": "磁盘",
}


@pytest.mark.parametrize("reason", SEEN)
def test_each_reason_that_was_seen_says_what_to_do(reason: str) -> None:
    """Chinese for the duty desk and the installer, English beside it, and not the general sentence."""
    told = advice(reason)
    assert SEEN[reason] in told.zh
    assert told.en.isascii()
    assert told != advice("something nobody has seen")


def test_a_refused_row_is_not_taken_for_a_line_that_is_down() -> None:
    """The reason of a dead letter quotes how the session ended; what to do is about the row."""
    assert "放到一边" in advice("refused again and again: the broker closed the connection").zh
    assert "放到一边" in advice("refused again and again: [Errno 104] Connection reset by peer").zh


def test_no_reason_no_words() -> None:
    """An uplink that is up has nothing to advise."""
    assert advice("") == ("", "")
