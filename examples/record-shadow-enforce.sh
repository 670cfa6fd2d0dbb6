#!/bin/sh
# From a record to a policy: record what a program does, write the policy of it, watch with it, enforce it.
. "$(dirname "$0")/upstream.sh"

RUN="$SALLYPORT run --upstream-ca $TMP/ca.pem --add-host api.example.test=$API"
program='curl -sS https://api.example.test/v1/items/17 https://api.example.test/v1/items/4711'
other='curl -sS -X DELETE https://api.example.test/v1/items/17'

echo '1. record'
$RUN --quiet --event-log "$TMP/record.jsonl" --allow api.example.test -- sh -c "$program"
$SALLYPORT events tail --host api.example.test "$TMP/record.jsonl"

echo '2. suggest'
$SALLYPORT events suggest -o "$TMP/policy.yaml" "$TMP/record.jsonl"
cat "$TMP/policy.yaml"
$SALLYPORT check "$TMP/policy.yaml"
$SALLYPORT events replay --policy "$TMP/policy.yaml" --fail-on newly-denied --fail-on newly-allowed "$TMP/record.jsonl"

echo '3. shadow'
sed 's/^mode: block_all/mode: shadow/' "$TMP/policy.yaml" > "$TMP/shadow.yaml"
$RUN --policy "$TMP/shadow.yaml" --event-log "$TMP/shadow.jsonl" -- sh -c "$program; $other"
$SALLYPORT events tail --denied "$TMP/shadow.jsonl"

echo '4. enforce'
$RUN --policy "$TMP/policy.yaml" --event-log "$TMP/enforced.jsonl" -- sh -c "$program; $other"
$SALLYPORT events stats "$TMP/enforced.jsonl"
