#!/bin/sh
# Install the system tools that some tests use, when that is possible: STILTS (VO client), Chromium (page), curl (README),
# gcc (storage shim), MariaDB (what SQL of Qserv means), nginx (the cut-over).
# Without them those tests skip with a reason; REQUIRE_ALL=1 turns such a skip into a failure.
missing=""
command -v stilts >/dev/null 2>&1 || missing="$missing stilts"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v gcc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
command -v mariadbd >/dev/null 2>&1 || missing="$missing mariadb-server"
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed:$missing (root and apt-get are needed); tests that use them will skip."
    exit 0
fi
echo "Installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null || {
    echo "Could not install$missing; tests that use them will skip."
    exit 0
}
