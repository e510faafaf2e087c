#!/usr/bin/env bash
# Sends changed and made-up bytes to every port of a node, and gives a verdict. Exit code: 0 pass, 1 a node ended, an error was logged or another client failed, 2 no verdict.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<EOF
Usage: scripts/fuzz.sh [--inputs N | --quick] [--ports LIST] [--seed X] [--out DIR] [--cluster FILE]

  --inputs N    for each port (200,000)
  --quick       2,000 for each port: whether it works
  --ports LIST  some of rest, binary, peer, peer-secret (all); peer-secret knows the secret of its cluster, peer meets a cluster without
  --seed X      of all inputs (1); it is printed, and the same seed makes the same inputs
  --out DIR     report.md, logs and data of the nodes (out/fuzz); data of an earlier run there is deleted

Starts three processes of its own on the ports of cluster.json (--cluster FILE for another one) and stops them at the end. An
input is a valid request or frame with one to four changes, before or after its checksum is made, or random bytes. Meanwhile
another client reads and writes through all nodes.
EOF
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
esac

build=$(dotnet build loadtests -c Release --nologo -v quiet 2>&1) || { echo "$build" >&2; exit 2; }
exec dotnet loadtests/bin/Release/net10.0/KvStore.LoadTests.dll fuzz "$@"
