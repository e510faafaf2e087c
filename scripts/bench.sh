#!/usr/bin/env bash
# Measures a fresh cluster of three processes on this machine and prints one table. docs/performance.md says how to read it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=out/bench
quick=
fill_keys=1000000

usage() {
  cat <<EOF
Usage: scripts/bench.sh [--quick] [--out DIR]

  --quick        5 s per point and 64 clients only; no fill of a million keys, no restart
  --out DIR      reports as Markdown and JSON, and the data of the nodes ($out); data of an earlier run there is deleted

Writes, strong and eventual reads over the binary protocol and REST; then, without --quick, a fill of $fill_keys keys and a restart.
The nodes are processes of its own on the ports of cluster.json. For single points see: dotnet run -c Release --project loadtests -- --help
EOF
}

fail() {
  echo "bench.sh: $*" >&2
  exit 2
}

while (($# > 0)); do
  case $1 in
    --quick) quick=--quick ;;
    --out)
      out=${2:?--out needs a directory}
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  shift
done

# Nodes of somebody else on these ports would be measured instead of ours.
while read -r address; do
  if curl -s -m 2 -o /dev/null "http://$address/health/live"; then
    fail "something listens at $address already; stop it first (scripts/cluster.sh down)"
  fi
done < <(grep -o '"http": *"[^"]*"' cluster.json | cut -d'"' -f4)

mkdir -p "$out/data"
export KV_DATA=$out/data
loadtests() { dotnet loadtests/bin/Release/net10.0/KvStore.LoadTests.dll "$@" --data "$KV_DATA" --out "$out"; }
fresh_cluster() {
  scripts/cluster.sh wipe
  scripts/cluster.sh up
}

build=$(dotnet build loadtests -c Release --nologo -v quiet 2>&1) || { echo "$build" >&2; exit 2; }
trap 'scripts/cluster.sh down' EXIT
fresh_cluster
loadtests bench $quick
if [[ -z $quick ]]; then
  fresh_cluster
  loadtests fill --keys "$fill_keys"
  loadtests restart --node n2
fi
