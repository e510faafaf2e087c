#!/usr/bin/env bash
# Measures a fresh cluster of three processes on this machine and prints one table. docs/performance.md says how to read it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

config=${KV_CONFIG:-cluster.json}
out=out/bench
quick=
peer=
fill_keys=1000000
against=
pairs=
rounds=3
others_limit=0.3

usage() {
  cat <<EOF
Usage: scripts/bench.sh [--quick] [--peer redis] [--out DIR]
       scripts/bench.sh --peer etcd [--rounds N] [--quick] [--out DIR]
       scripts/bench.sh --against COMMIT [--pairs N] [--quick] [--out DIR]

  --quick        5 s per point and 64 clients only; no fill of a million keys, no restart
  --peer redis   then redis-benchmark on one redis with a sync per write, when it is installed: no replication, a weaker promise
  --out DIR      reports as Markdown and JSON, and the data of the nodes ($out); data of an earlier run there is deleted

Writes, strong and eventual reads over the binary protocol and REST; then, without --quick, a fill of $fill_keys keys and a restart.
The nodes are processes of its own on the ports of cluster.json; KV_CONFIG names another file.

  --peer etcd    three etcd processes beside ours, both up at once, measured in turn with the same keys and values: etcd over gRPC at its leader,
                 ours by the binary protocol at any node, by the .NET client at leaders, and by REST at any node; prints ratios
  --rounds N     so many of each point (3)

  --against COMMIT  builds that commit (A) and the working tree (B), measures A B A B … on a fresh cluster each, and prints B/A
  --pairs N         so many of each (5, with --quick 2)

Writes of 64 clients, of 64 connections with 16 requests in flight each, strong and eventual reads; medians and all pairs' range, and the CPU
of the three servers per operation. Before each run it says how many cores other processes use, and warns above $others_limit.
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
    --rounds)
      rounds=${2:?--rounds needs a number}
      shift
      ;;
    --against)
      against=${2:?--against needs a commit}
      shift
      ;;
    --pairs)
      pairs=${2:?--pairs needs a number}
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
[[ $out == /* ]] || out=$PWD/$out

if [[ -n $against ]]; then
  git rev-parse -q --verify "$against^{commit}" >/dev/null || fail "the history has no $against"
  [[ -z $peer ]] || fail "--against and --peer are two runs"
  pairs=${pairs:-${quick:+2}}
  pairs=${pairs:-5}
  [[ $pairs =~ ^[1-9][0-9]*$ ]] || fail "--pairs is a number from 1 on, not $pairs"
fi

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
start_etcd() {
  local dir=$out/etcd i nodes= peers=e1=http://127.0.0.1:7411,e2=http://127.0.0.1:7412,e3=http://127.0.0.1:7413
  rm -rf "$dir"
  mkdir -p "$dir/.run"
  for i in 1 2 3; do
    etcd --name "e$i" --data-dir "$dir/e$i" --log-level error --initial-cluster "$peers" \
      --listen-client-urls "http://127.0.0.1:740$i" --advertise-client-urls "http://127.0.0.1:740$i" \
      --listen-peer-urls "http://127.0.0.1:741$i" --initial-advertise-peer-urls "http://127.0.0.1:741$i" >"$dir/.run/e$i.log" 2>&1 &
    peers_started+=($!)
    echo $! >"$dir/.run/e$i.pid"
    nodes+=${nodes:+, }"{ \"id\": \"e$i\", \"http\": \"127.0.0.1:740$i\", \"binary\": \"127.0.0.1:740$i\", \"peer\": \"127.0.0.1:741$i\" }"
  done
  echo "{ \"clusterId\": \"etcd\", \"groups\": 1, \"replicationFactor\": 3, \"nodes\": [$nodes] }" >"$dir/cluster.json"
  for i in 1 2 3; do
    wait_for "etcd" "http://127.0.0.1:740$i/health"
  done
}

# Both clusters up, each point warmed up on both and then measured in turn. Idle servers of the other cluster cost under a tenth of a core.
bench_etcd() {
  local dir=$out/etcd round others warmup=10 duration=8 keys=100000
  [[ -z $quick ]] || { warmup=4; duration=3; keys=20000; }
  mkdir -p "$out/against/report"
  : >"$out/against/results.tsv"
  scripts/cluster.sh wipe
  others=$(load_of_others)
  echo "others use $others cores, load average $(cut -d' ' -f1 /proc/loadavg)"
  awk -v others="$others" -v limit="$others_limit" 'BEGIN { exit !(others > limit) }' &&
    echo "warning: more than $others_limit cores are busy with other work; these ratios say little"
  start_etcd
  scripts/cluster.sh up >/dev/null
  loadtests fill --keys "$keys" --cluster "$config" --data "$KV_DATA" >/dev/null
  beside write-1 write 1
  beside write-64 write 64
  beside write-256 write 256
  beside read-strong-64 read-strong 64
  beside read-local-64 read-eventual 64
  {
    echo
    echo "$(etcd --version | head -n 1), KvStore $(git describe --always --dirty --abbrev=10), $rounds rounds, others $others cores"
    echo
    peer_table
  } | tee "$out/beside-etcd.md"
}

# One workload at every door, once to warm up and then in turn.
beside() {
  local name=$1 workload=$2 clients=$3 round door
  for ((round = 0; round <= rounds; round++)); do
    for door in etcd binary client rest; do
      one_beside "$round" "$door" "$name" "$workload" "$clients"
    done
  done
}

one_beside() {
  local round=$1 door=$2 name=$3 workload=$4 clients=$5 report=$out/against/report cluster=$config data=$KV_DATA first=1
  [[ $door != etcd ]] || { cluster=$out/etcd/cluster.json; data=$out/etcd; }
  [[ $round != 0 ]] || first=$warmup
  dotnet loadtests/bin/Release/net10.0/KvStore.LoadTests.dll run --over "$door" --workload "$workload" --clients "$clients" --keys "$keys" \
    --warmup "$first" --duration "$duration" --cluster "$cluster" --data "$data" --out "$report" >"$report.log" ||
    fail "a run of $name over $door failed; see $report.log"
  [[ $round != 0 ]] || return 0 # the warm-up
  awk -v round="$round" -v door="$door" -v name="$name" -F'[:,]' '
    $1 ~ /"okPerSecond"/ { rate = $2 + 0 }
    $1 ~ /"failed"/ { failed = $2 + 0 }
    $1 ~ /"p50Ns"/ { p50 = $2 / 1e6 }
    $1 ~ /"p99Ns"/ { p99 = $2 / 1e6 }
    $1 ~ /"cpuSecondsPer100k"/ { cpu = $2 * 10 }
    END { printf "%s\t%s\t%s\t%.0f\t%.1f\t%d\t%.2f\t%.2f\n", round, door, name, rate, cpu, failed, p50, p99 }' \
    "$report/run.json" | tee -a "$out/against/results.tsv"
}

# Medians of each door, and of the ratios to etcd of the same round.
peer_table() {
  awk -F'\t' '
    function median(list, n,    i, j, t) {
      for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
      return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    { if (!($3 in seen)) { seen[$3] = 1; names[++count] = $3 }
      rate[$3, $2, $1] = $4; cpu[$3, $2, $1] = $5; failed += $6; p50[$3, $2, $1] = $7; p99[$3, $2, $1] = $8; if ($1 > rounds) rounds = $1 }
    END {
      split("etcd binary client rest", doors, " ")
      print "| workload | door | ops/s | to etcd | range | us CPU/op | to etcd | p50 ms | p99 ms |"
      print "|---|---|---:|---:|---:|---:|---:|---:|---:|"
      for (w = 1; w <= count; w++) for (d = 1; d <= 4; d++) {
        name = names[w]; door = doors[d]
        for (r = 1; r <= rounds; r++) {
          a[r] = rate[name, door, r]; c[r] = cpu[name, door, r]; m[r] = p50[name, door, r]; t[r] = p99[name, door, r]
          q[r] = rate[name, "etcd", r] > 0 ? a[r] / rate[name, "etcd", r] : 0
          k[r] = cpu[name, "etcd", r] > 0 ? c[r] / cpu[name, "etcd", r] : 0
        }
        ratio = median(q, rounds)
        printf "| %s | %s | %d | %.2f | %.2f to %.2f | %.1f | %.2f | %.2f | %.2f |\n", name, door, median(a, rounds), ratio, q[1], q[rounds], \
          median(c, rounds), median(k, rounds), median(m, rounds), median(t, rounds)
      }
      printf "\nfailed requests: %d\n", failed
    }' "$out/against/results.tsv"
}

bench_redis() {
  local dir=$out/redis
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

# The node program of a commit, built from a copy of its sources; of the working tree, when no commit is named.
program_of() {
  local source=$PWD into=$out/against/${1:-tree}
  if [[ -n ${1:-} ]]; then
    source=$into-src
    rm -rf "$source"
    mkdir -p "$source"
    git archive "$1" | tar -x -C "$source"
  fi
  build=$(dotnet build "$source/src/Node" -c Release --nologo -v quiet 2>&1) || fail "$build"
  rm -rf "$into"
  cp -r "$source/src/Node/bin/Release/net10.0" "$into"
}

# Cores in use by everybody: nothing of ours runs when this is called.
load_of_others() {
  local before after
  before=$(awk '$1 == "cpu" { printf "%.0f", $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat)
  sleep 3
  after=$(awk '$1 == "cpu" { printf "%.0f", $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat)
  awk -v ticks="$((after - before))" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f", ticks / hz / 3 }'
}

# One point against the running cluster, as a line of results: pair, side, name, operations a second, microseconds of CPU per operation.
measure_point() {
  local pair=$1 side=$2 name=$3 dir=$out/against/report
  shift 3
  dotnet loadtests/bin/Release/net10.0/KvStore.LoadTests.dll run "$@" --keys "$against_keys" --warmup "$warmup" --duration "$duration" \
    --cluster "$config" --data "$KV_DATA" --out "$dir" >"$dir.log" || fail "a run of $name failed; see $dir.log"
  awk -v pair="$pair" -v side="$side" -v name="$name" -F'[:,]' '
    $1 ~ /"okPerSecond"/ { rate = $2 + 0 }
    $1 ~ /"failed"/ { failed = $2 + 0 }
    $1 ~ /"cpuSecondsPer100k"/ { cpu = $2 * 10 }
    END { printf "%s\t%s\t%s\t%.0f\t%.1f\t%d\n", pair, side, name, rate, cpu, failed }' "$dir/run.json" | tee -a "$out/against/results.tsv"
}

bench_against() {
  local pair side others warmup=3 duration=10 against_keys=20000
  [[ -z $quick ]] || { warmup=1; duration=2; against_keys=5000; }
  mkdir -p "$out/against/report"
  : >"$out/against/results.tsv"
  program_of "$against"
  program_of
  for ((pair = 1; pair <= pairs; pair++)); do
    for side in A B; do
      KV_PROGRAM=$out/against/tree/KvStore.Node.dll
      [[ $side == B ]] || KV_PROGRAM=$out/against/$against/KvStore.Node.dll
      export KV_PROGRAM
      scripts/cluster.sh wipe
      others=$(load_of_others)
      echo "pair $pair, $side: others use $others cores, load average $(cut -d' ' -f1 /proc/loadavg)"
      printf '%s\t%s\tothers\t%s\n' "$pair" "$side" "$others" >>"$out/against/results.tsv"
      awk -v others="$others" -v limit="$others_limit" 'BEGIN { exit !(others > limit) }' &&
        echo "warning: more than $others_limit cores are busy with other work; this pair says little"
      scripts/cluster.sh up >/dev/null
      loadtests fill --keys "$against_keys" --cluster "$config" --data "$KV_DATA" >/dev/null
      measure_point "$pair" "$side" write-64 --workload write --clients 64
      measure_point "$pair" "$side" write-64x16 --workload write --clients 1024 --connections 21
      measure_point "$pair" "$side" read-strong-64 --workload read-strong --clients 64
      measure_point "$pair" "$side" read-eventual-64 --workload read-eventual --clients 64
      scripts/cluster.sh wipe
    done
  done
  against_table | tee "$out/against/table.md"
}

# Medians of each side, and of the ratios B/A of each pair.
against_table() {
  echo
  echo "A is $(git rev-parse --short "$against"), B is $(git describe --always --dirty --abbrev=10), $pairs pairs"
  echo
  awk -F'\t' '
    function median(list, n,    i, j, t) {
      for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
      return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    $3 == "others" { if ($4 > worst) worst = $4; next }
    { if (!($3 in seen)) { seen[$3] = 1; names[++count] = $3 } rate[$3, $2, $1] = $4; cpu[$3, $2, $1] = $5; failed += $6; if ($1 > pairs) pairs = $1 }
    END {
      print "| workload | A ops/s | B ops/s | B/A | range | A us CPU/op | B us CPU/op | B/A |"
      print "|---|---:|---:|---:|---:|---:|---:|---:|"
      for (w = 1; w <= count; w++) {
        name = names[w]
        for (p = 1; p <= pairs; p++) {
          a[p] = rate[name, "A", p]; b[p] = rate[name, "B", p]; r[p] = a[p] > 0 ? b[p] / a[p] : 0
          ca[p] = cpu[name, "A", p]; cb[p] = cpu[name, "B", p]; cr[p] = ca[p] > 0 ? cb[p] / ca[p] : 0
        }
        ratio = median(r, pairs)
        printf "| %s | %d | %d | %.2f | %.2f to %.2f | %.1f | %.1f | %.2f |\n", name, median(a, pairs), median(b, pairs), ratio, r[1], r[pairs], \
          median(ca, pairs), median(cb, pairs), median(cr, pairs)
      }
      printf "\nfailed requests: %d; other work: at most %.2f cores before a run\n", failed, worst
    }' "$out/against/results.tsv"
}

peers_started=()
finish() {
  scripts/cluster.sh down
  ((${#peers_started[@]} == 0)) || kill "${peers_started[@]}" 2>/dev/null || true
}

build=$(dotnet build loadtests -c Release --nologo -v quiet 2>&1) || fail "$build"
export KV_DATA=$out/data
trap finish EXIT
if [[ -n $against ]]; then
  bench_against
  exit 0
fi

if [[ $peer == etcd ]]; then
  [[ $rounds =~ ^[1-9][0-9]*$ ]] || fail "--rounds is a number from 1 on, not $rounds"
  bench_etcd
  exit 0
fi

fresh_cluster
loadtests bench $quick --cluster "$config" --data "$KV_DATA"
if [[ -z $quick ]]; then
  fresh_cluster
  loadtests fill --keys "$fill_keys" --cluster "$config" --data "$KV_DATA"
  loadtests restart --node n2 --cluster "$config" --data "$KV_DATA"
fi
scripts/cluster.sh down
[[ -z $peer ]] || "bench_$peer"
