#!/bin/sh
# Every fact of a run is one JSON line; here they become a table.
. "$(dirname "$0")/upstream.sh"

$SALLYPORT run --quiet --event-log "$TMP/events.jsonl" --upstream-ca "$TMP/ca.pem" \
  --allow api.example.test --add-host "api.example.test=$API" -- sh -c '
  curl -sS https://api.example.test/a; curl -s https://evil.example.test/; curl -s http://10.0.0.5/ >/dev/null; true'
node -e '
  for (const line of require("fs").readFileSync(process.argv[1], "utf8").trim().split("\n")) {
    const { seq, type, network } = JSON.parse(line);
    if (network) console.log(seq, type, network.decision, network.host, network.reason ?? "-");
  }' "$TMP/events.jsonl"
