#!/bin/sh
# Makes an authority and the certificates of collector and clients, and prints them as two secrets:
#
#   deploy/kubernetes/certificates.sh [NAMESPACE] | kubectl apply -f -
#
# The authority's key is thrown away: to replace a certificate, run this again and restart agents and
# collector. NAMESPACE is podtap unless it is said.
set -eu
namespace=${1:-podtap}
days=3650
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"

new_key() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}

# NAME COMMON_NAME EXTENSIONS
issue() {
  new_key "$1"
  openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr"
  printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" "$3" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days $days \
    -extfile "$1.ext" -out "$1.crt" 2>/dev/null
}

# NAME SECRET
print_secret() {
  cat <<SECRET
---
apiVersion: v1
kind: Secret
metadata:
  name: $2
  namespace: $namespace
type: kubernetes.io/tls
data:
  ca.crt: $(base64 -w 0 <ca.crt)
  tls.crt: $(base64 -w 0 <"$1.crt")
  tls.key: $(base64 -w 0 <"$1.key")
SECRET
}

new_key ca
openssl req -x509 -new -key ca.key -subj "/CN=podtap" -days $days -out ca.crt
host=podtap-collector
issue collector "podtap collector" "extendedKeyUsage=serverAuth
subjectAltName=DNS:$host,DNS:$host.$namespace,DNS:$host.$namespace.svc,DNS:$host.$namespace.svc.cluster.local,DNS:localhost"
issue client "podtap client" "extendedKeyUsage=clientAuth"
print_secret collector podtap-collector-tls
print_secret client podtap-client-tls
