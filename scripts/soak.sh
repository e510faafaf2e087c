#!/usr/bin/env bash
# A load that can be served, for an hour, or ten times as much as can be, and a verdict. Exit code: 0 pass, 1 a promise was broken, 2 no verdict.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<EOF
Usage: scripts/soak.sh [--minutes M] [--rate R] [--out DIR] [--cluster FILE]
       scripts/soak.sh overload [--minutes M] [--in-flight N] [--out DIR] [--cluster FILE]

  --minutes M    60; of overload 2
  --rate R       requests a second over each door, half of them writes (400)
  --in-flight N  of overload: requests in flight at most (20000, more than the nodes take)
  --out DIR      report.md and the data of the nodes (out/soak, out/overload); data of an earlier run there is deleted

Starts three processes of its own on the ports of cluster.json (--cluster FILE for another one) and stops them at the end. Resident
memory and handles of each are looked at every 2 s. A line of least squares through the second half must not rise by more than 5 % of the
mean memory (overload: 10 %) nor by more than 5 handles; no node may end. In a soak every request must succeed; under overload at least 80 % as many
writes a second must be acknowledged as 64, 512 or 4,096 clients get by themselves, whichever is most.
EOF
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
  overload) command=("$@") ;;
  *) command=(soak "$@") ;;
esac

ulimit -n "$(ulimit -Hn)"
build=$(dotnet build loadtests -c Release --nologo -v quiet 2>&1) || { echo "$build" >&2; exit 2; }
exec dotnet loadtests/bin/Release/net10.0/KvStore.LoadTests.dll "${command[@]}"
