#!/usr/bin/env bash
# Installs what the bench compares with: nginx (the upstream, too), squid and h2load from Debian, mitmproxy into a
# virtual environment and the three libraries of npm into a folder of their own, both under .cache/bench. What is there
# already is left alone. What cannot be installed becomes a column "not installed"; this never fails for it.
set -uo pipefail
cd "$(dirname "$0")/.."
cache=.cache/bench
mkdir -p "$cache/npm"

attempt() {
  local name=$1
  shift
  timeout --kill-after=10 300 "$@" >"$cache/install-$name.log" 2>&1 || echo "bench: $name could not be installed (see $cache/install-$name.log)" >&2
}

missing=()
[ -x /usr/sbin/nginx ] || missing+=(nginx-light)
[ -x /usr/lib/squid/security_file_certgen ] || missing+=(squid-openssl)
command -v h2load >/dev/null || missing+=(nghttp2-client)
command -v openssl >/dev/null || missing+=(openssl)
command -v taskset >/dev/null || missing+=(util-linux)
if [ "${#missing[@]}" -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120)
  attempt apt-update "${apt[@]}" update -qq
  # One after the other: one that this distribution lacks must not keep out the rest.
  for package in "${missing[@]}"; do
    attempt "$package" "${apt[@]}" install -y -qq --no-install-recommends "$package"
  done
fi

if [ ! -x "$cache/mitmproxy/bin/mitmdump" ]; then
  attempt venv python3 -m venv "$cache/mitmproxy"
  attempt mitmproxy "$cache/mitmproxy/bin/pip" install -q mitmproxy
fi

if [ ! -d "$cache/npm/node_modules/http-mitm-proxy" ] || [ ! -d "$cache/npm/node_modules/mockttp" ] ||
  [ ! -d "$cache/npm/node_modules/ssh2" ]; then
  echo '{ "private": true }' >"$cache/npm/package.json"
  attempt npm npm --prefix "$cache/npm" install --no-audit --no-fund --ignore-scripts http-mitm-proxy mockttp ssh2
fi
exit 0
