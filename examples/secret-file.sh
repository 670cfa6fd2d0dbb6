#!/bin/sh
# A secret whose value is in a file that the sandbox cannot see, named by the policy.
. "$(dirname "$0")/upstream.sh"
printf 'value-from-a-file-0123456789' > "$TMP/token"
cat > "$TMP/policy.yaml" <<POLICY
allow_domain: [api.example.test]
secrets:
  API_TOKEN: { hosts: [api.example.test], value_from: { file: $TMP/token } }
POLICY

$SALLYPORT run --policy "$TMP/policy.yaml" --add-host "api.example.test=$API" --upstream-ca "$TMP/ca.pem" -- sh -c '
  curl -sS -u "bot:$API_TOKEN" https://api.example.test/basic
'
