#!/bin/sh
# A policy file: checked, asked about, and in force. The flags add to it what belongs to this machine.
. "$(dirname "$0")/upstream.sh"

$SALLYPORT check policy.yaml
$SALLYPORT explain --policy policy.yaml --method DELETE https://api.example.test/v1/items || true
$SALLYPORT run --policy policy.yaml --add-host "api.example.test=$API" --upstream-ca "$TMP/ca.pem" -- sh -c '
  curl -sS https://api.example.test/v1/items
  curl -sS -X DELETE https://api.example.test/v1/items
'
