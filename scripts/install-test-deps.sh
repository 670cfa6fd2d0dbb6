#!/usr/bin/env bash
# Installs, on Debian and its relatives, what the tests stand on: the inner door's tools, and the clients that are
# run behind the gateway. What is there already is left alone, so that a prepared machine needs no network.
set -euo pipefail

packages=(
  bubblewrap nftables iproute2 util-linux
  ca-certificates openssl
  curl wget git
  python3 python3-requests python3-httpx python3-h2 python3-websockets
  postgresql bsdutils bash
  nginx-light apache2-bin haproxy squid-openssl
  qemu-system-x86 busybox-static perl-base squashfs-tools xz-utils
  slowhttptest nghttp2-client iodine dns2tcp nats-server rsyslog rsyslog-openssl
  zstd docker-registry
  chromium libnss3-tools
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
# A guest's kernel is taken out of its package, not installed: apt has to know where the package is.
kernel="linux-image-cloud-$(dpkg --print-architecture)"
knows_kernel=yes
apt-cache show "$kernel" >/dev/null 2>&1 || knows_kernel=no
if [ "${#missing[@]}" -eq 0 ] && [ "$knows_kernel" = yes ]; then
  echo "test dependencies: all present"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
export DEBIAN_FRONTEND=noninteractive
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=400)

echo "test dependencies: installing ${missing[*]}"
"${apt[@]}" update -qq
if [ "${#missing[@]}" -eq 0 ]; then exit 0; fi
"${apt[@]}" install -y -qq --no-install-recommends "${missing[@]}"
