#!/bin/sh
# 守望云端的私有 CA:服务器证书、每台网关一张客户端证书。只依赖 openssl。
# A private CA for the cloud side: certificates of servers, and one client certificate for each gateway.
#
#   make-certs.sh DIR ca                                   # DIR/ca.pem, DIR/ca.key
#   make-certs.sh DIR server nats1 nats1.example.org 10.0.0.11   # DIR/nats1.pem, .key: DNS names and IP addresses
#   make-certs.sh DIR gateway sunshine-01                  # DIR/sunshine-01.pem, .key: CN=sunshine-01,OU=gateway
#   make-certs.sh DIR reader platform                      # CN=platform,OU=reader: takes everything, sends nothing
#
# ca.key 决定谁能上来:放在不联网的机器上,只把 ca.pem 发出去。
# Whoever has ca.key decides who may connect: keep it on a machine without a network; give out ca.pem only.
set -eu
umask 077
[ $# -ge 2 ] || { sed -n '5,8p' "$0" >&2; exit 2; }
dir=$1 kind=$2
command -v openssl >/dev/null || { echo "没有 openssl: apt-get install openssl / install openssl" >&2; exit 1; }
mkdir -p "$dir"

ask() { # name: why it will not be overwritten
    if [ -e "$dir/$1.key" ]; then
        echo "已有 $dir/$1.key,不覆盖 / $dir/$1.key exists and is not replaced" >&2
        exit 1
    fi
}

sign() { # name subject days extensions
    if [ ! -r "$dir/ca.key" ] || [ ! -r "$dir/ca.pem" ]; then
        echo "$dir 里没有(或读不了)ca.key、ca.pem:先运行 $0 $dir ca / make the CA there first" >&2
        exit 1
    fi
    ask "$1"
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/$1.key" 2>/dev/null
    printf '%s\n' "$4" >"$dir/$1.ext"
    openssl req -new -key "$dir/$1.key" -subj "$2" |
        openssl x509 -req -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
            -days "$3" -sha256 -extfile "$dir/$1.ext" -out "$dir/$1.pem" 2>/dev/null
    rm "$dir/$1.ext"
    chmod 644 "$dir/$1.pem"
}

common='basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid'

case $kind in
ca)
    ask ca
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/ca.key" 2>/dev/null
    openssl req -x509 -new -key "$dir/ca.key" -subj "/O=shouwang/CN=shouwang CA" -days 3650 -sha256 \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign \
        -out "$dir/ca.pem"
    chmod 644 "$dir/ca.pem"
    ;;
server)
    [ $# -ge 4 ] || { echo "写出名字和至少一个地址 / give a name and at least one address" >&2; exit 2; }
    name=$3
    shift 3
    alt=
    for each; do
        case $each in
        *[!0-9.]*:* | *:*) alt="$alt,IP:$each" ;;
        *[!0-9.]*) alt="$alt,DNS:$each" ;;
        *) alt="$alt,IP:$each" ;;
        esac
    done
    # Nodes of a cluster are clients of each other as well.
    sign "$name" "/OU=server/CN=$name" 825 "$common
extendedKeyUsage=serverAuth,clientAuth
subjectAltName=${alt#,}"
    ;;
gateway | reader)
    [ $# -eq 3 ] || { echo "写出一个编号 / give one id" >&2; exit 2; }
    case $3 in
    *[!A-Za-z0-9_-]* | '') echo "编号只用英文字母、数字、- 和 _ / an id is letters, digits, - and _" >&2; exit 2 ;;
    esac
    sign "$3" "/OU=$kind/CN=$3" 825 "$common
extendedKeyUsage=clientAuth"
    ;;
*)
    sed -n '5,8p' "$0" >&2
    exit 2
    ;;
esac
