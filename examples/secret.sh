#!/bin/sh
# The command holds a placeholder; the host that the secret is for gets the value, and no other host gets anything.
. "$(dirname "$0")/upstream.sh"
export API_TOKEN=the-real-token-0123456789

$SALLYPORT run --secret API_TOKEN@api.example.test --upstream-ca "$TMP/ca.pem" \
  --allow api.example.test --add-host "api.example.test=$API" \
  --allow other.example.test --add-host "other.example.test=$API" -- sh -c '
  echo "in the sandbox: $API_TOKEN"
  curl -sS -H "Authorization: Bearer $API_TOKEN" https://api.example.test/user
  curl -sS -H "Authorization: Bearer $API_TOKEN" https://other.example.test/user
'
