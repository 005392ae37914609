#!/bin/sh
# 从网关编号表(每行一个,# 之后是注释)写出 users.conf: users.sh gateways.txt > users.conf ,然后 systemctl reload。
# From a list of gateway ids, one a line: the users of the cluster. Reload the servers afterwards.
#   READERS="platform grafana" users.sh gateways.txt > users.conf
set -eu
if [ $# -ne 1 ] || [ ! -r "$1" ]; then
    echo "用法: $0 gateways.txt > users.conf (文件要在、能读) / give the list of gateways, a file that can be read" >&2
    exit 2
fi
echo "users: ["
for reader in ${READERS:-platform}; do
    echo "    {user: \"CN=$reader,OU=reader\", permissions: {publish: {allow: [\"shouwang.*.request\", \"shouwang.*.request.>\"]}, subscribe: {allow: [\"shouwang\", \"shouwang.>\", \"\$MQTT.sub.>\"]}}}"
done
sed 's/#.*//' "$1" | tr -d ' \t\r' | while read -r id || [ -n "$id" ]; do # 最后一行没有换行也算 / also a last line without its end
    case $id in
    '') continue ;;
    *[!A-Za-z0-9_-]*) echo "$id: 编号只用英文字母、数字、- 和 _ / letters, digits, - and _" >&2; exit 1 ;;
    esac
    echo "    {user: \"CN=$id,OU=gateway\", permissions: {publish: {allow: [\"shouwang.$id.>\"]}, subscribe: {allow: [\"shouwang.$id\", \"shouwang.$id.>\", \"\$MQTT.sub.>\"]}}}"
done
echo "]"
