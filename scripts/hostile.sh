#!/usr/bin/env bash
# Attacks one node while another client works, and gives a verdict. Exit code: 0 pass, 1 a request failed, a node ended or took too much memory, 2 no verdict.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<EOF
Usage: scripts/hostile.sh [--attacks LIST] [--rounds N] [--seconds S] [--quick] [--control] [--out DIR] [--cluster FILE]

  --attacks LIST  some of idle-binary, idle-greeted, idle-rest, slow-bodies, unfinished-frames, silent-peers, ack-all (all)
  --rounds N      of all attacks (5); the figures are medians
  --seconds S     so long the other client works before, and again under each attack (5)
  --quick         one round of two seconds each: whether it works, not how well
  --control       the nodes have 500 places and one address may take them all: exit code 0 when the verdict is a failure, as it must be
  --out DIR       report.md and the data of the nodes (out/hostile); data of an earlier run there is deleted

Starts three processes of its own on the ports of cluster.json (--cluster FILE for another one) and stops them at the end. The
attacker is a process with connections from 127.0.0.2 and, where control groups may be made, a fifth of a processor. The other
client must see no refusal and no timeout, the attacked node must stay below its limit of memory, and no node may end. How long
requests took with and without the attack is reported.
EOF
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
esac

ulimit -n "$(ulimit -Hn)"
build=$(dotnet build loadtests -c Release --nologo -v quiet 2>&1) || { echo "$build" >&2; exit 2; }
exec dotnet loadtests/bin/Release/net10.0/KvStore.LoadTests.dll hostile "$@"
