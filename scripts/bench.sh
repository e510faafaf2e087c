#!/usr/bin/env bash
# Measures a fresh cluster of three processes on this machine and prints one table. docs/performance.md says how to read it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

config=${KV_CONFIG:-cluster.json}
out=out/bench
quick=
peer=
fill_keys=1000000

usage() {
  cat <<EOF
Usage: scripts/bench.sh [--quick] [--peer etcd|redis] [--out DIR]

  --quick        5 s per point and 64 clients only; no fill of a million keys, no restart
  --peer etcd    then the same load on three etcd processes, through etcd's JSON gateway, when etcd is installed
  --peer redis   then redis-benchmark on one redis with a sync per write, when it is installed: no replication, a weaker promise
  --out DIR      reports as Markdown and JSON, and the data of the nodes ($out); data of an earlier run there is deleted

Writes, strong and eventual reads over the binary protocol and REST; then, without --quick, a fill of $fill_keys keys and a restart.
The nodes are processes of its own on the ports of cluster.json; KV_CONFIG names another file.
For single points see: dotnet run -c Release --project loadtests -- --help
EOF
}

fail() {
  echo "bench.sh: $*" >&2
  exit 2
}

while (($# > 0)); do
  case $1 in
    --quick) quick=--quick ;;
    --peer)
      peer=${2:?--peer needs etcd or redis}
      shift
      ;;
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

case $peer in
  "") ;;
  etcd) type -P etcd >/dev/null || fail "etcd is not installed" ;;
  redis) type -P redis-server redis-benchmark >/dev/null || fail "redis-server and redis-benchmark are not installed" ;;
  *) fail "--peer is etcd or redis, not $peer" ;;
esac

# Nodes of somebody else on these ports would be measured instead of ours.
while read -r address; do
  if curl -s -m 2 -o /dev/null "http://$address/health/live"; then
    fail "something listens at $address already; stop it first (scripts/cluster.sh down)"
  fi
done < <(grep -o '"http": *"[^"]*"' "$config" | cut -d'"' -f4)

mkdir -p "$out/data"
loadtests() { dotnet loadtests/bin/Release/net10.0/KvStore.LoadTests.dll "$@" --out "$out"; }

fresh_cluster() {
  scripts/cluster.sh wipe
  scripts/cluster.sh up
}

# Three etcd processes on loopback with its defaults: a sync on a majority before the answer, as ours.
bench_etcd() {
  local dir=$PWD/$out/etcd i nodes= peers=e1=http://127.0.0.1:7411,e2=http://127.0.0.1:7412,e3=http://127.0.0.1:7413
  rm -rf "$dir"
  mkdir -p "$dir/.run"
  for i in 1 2 3; do
    etcd --name "e$i" --data-dir "$dir/e$i" --log-level error --initial-cluster "$peers" \
      --listen-client-urls "http://127.0.0.1:740$i" --advertise-client-urls "http://127.0.0.1:740$i" \
      --listen-peer-urls "http://127.0.0.1:741$i" --initial-advertise-peer-urls "http://127.0.0.1:741$i" >"$dir/.run/e$i.log" 2>&1 &
    peers_started+=($!)
    echo $! >"$dir/.run/e$i.pid"
    nodes+=${nodes:+, }"{ \"id\": \"e$i\", \"http\": \"127.0.0.1:740$i\", \"binary\": \"127.0.0.1:740$i\" }"
  done
  echo "{ \"groups\": 1, \"replicationFactor\": 3, \"nodes\": [$nodes] }" >"$dir/cluster.json"
  for i in 1 2 3; do
    wait_for "etcd" "http://127.0.0.1:740$i/health"
  done
  etcd --version | head -n 1
  loadtests bench $quick --over etcd --cluster "$dir/cluster.json" --data "$dir"
}

bench_redis() {
  local dir=$PWD/$out/redis
  rm -rf "$dir"
  mkdir -p "$dir"
  redis-server --port 7421 --dir "$dir" --appendonly yes --appendfsync always --save "" >"$dir/redis.log" 2>&1 &
  peers_started+=($!)
  for _ in {1..50}; do
    (: </dev/tcp/127.0.0.1/7421) 2>/dev/null && break
    sleep 0.2
  done
  redis-server --version
  redis-benchmark -p 7421 -t set,get -c 64 -d 256 -r 100000 -n 500000 --csv | tee "$out/bench-redis.csv"
}

wait_for() {
  curl -fs --retry 30 --retry-delay 1 --retry-all-errors -o /dev/null "$2" || fail "$1 does not start; its logs are under $out"
}

peers_started=()
finish() {
  scripts/cluster.sh down
  ((${#peers_started[@]} == 0)) || kill "${peers_started[@]}" 2>/dev/null || true
}

build=$(dotnet build loadtests -c Release --nologo -v quiet 2>&1) || fail "$build"
export KV_DATA=$out/data
trap finish EXIT
fresh_cluster
loadtests bench $quick --cluster "$config" --data "$KV_DATA"
if [[ -z $quick ]]; then
  fresh_cluster
  loadtests fill --keys "$fill_keys" --cluster "$config" --data "$KV_DATA"
  loadtests restart --node n2 --cluster "$config" --data "$KV_DATA"
fi
scripts/cluster.sh down
[[ -z $peer ]] || "bench_$peer"
