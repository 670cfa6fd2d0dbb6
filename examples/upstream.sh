# Sourced by the examples: an HTTPS server on loopback that stands in for the internet. It says what it was
# sent, and answers with it: a value that it sends back comes to the sandbox as the placeholder again.
cd "$(dirname "$0")"
: "${SALLYPORT:=npx sallyport}"
TMP=$(mktemp -d)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=examples \
  -addext 'subjectAltName=DNS:*.example.test' -keyout "$TMP/key.pem" -out "$TMP/ca.pem" 2>/dev/null
node upstream.mjs "$TMP" &
trap 'kill $! 2>/dev/null; rm -rf "$TMP"' EXIT
until [ -s "$TMP/port" ]; do sleep 0.05; done
API="127.0.0.1:$(cat "$TMP/port")"
