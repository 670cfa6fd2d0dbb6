#!/bin/sh
# One host is allowed. The other has no address in the sandbox, and its refusal is a line on standard error.
. "$(dirname "$0")/upstream.sh"

$SALLYPORT run --allow api.example.test --add-host "api.example.test=$API" --upstream-ca "$TMP/ca.pem" -- sh -c '
  curl -sS https://api.example.test/hello
  curl -sS https://evil.example.test/hello || echo "curl: exit code $?"
'
