#!/usr/bin/env bash
# Replaces an older build by a newer one, node by node, while clients write, and puts the older one back on the way. Exit code: 0 pass, 1 a promise was broken, 2 no verdict.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

from=84ebed4
to=
out=out/upgrade
port_base=17600
nodes=(n1 n2 n3)
writers=3
first_keys=2000
ready_seconds=60
stop_seconds=20
refuse_seconds=30
level_seconds=15
mended=23416bf # what closing a connection from both sides is right since
aborted_stops=0
quiet_seconds=3

usage() {
  cat <<EOF
Usage: scripts/upgrade.sh [--from COMMIT] [--to COMMIT] [--out DIR] [--port-base N]

  --from COMMIT   the older build ($from)
  --to COMMIT     the newer build; without it the working tree
  --out DIR       builds, data, logs ($out); data of an earlier run there is deleted
  --port-base N   the nodes listen on loopback from this port on, nine ports ($port_base)

Builds both, starts three processes of the older build, writes $first_keys keys, then replaces one node after the other while
$writers clients write. After each replacement, and once the cluster has raised its feature level, one node is started with the
older build again: until the level is raised it must serve, after that it may be refused in words, with its folder as it was; then it gets
the newer one back. The moments in between: upgrade-moments.sh.

PASS when every write that was acknowledged is there at the end, no process ended that was not told to, every stop ended with exit
code 0, and in the quiet after each step no connection between nodes was lost, refused or made anew.

One fault of an older build is known and passed over, aloud and counted: before $mended a process that was told to stop could abort when it closed
a connection which the other side was closing. It had stopped serving by then, and what it acknowledged must be there like all else.
EOF
}

# No verdict: what was needed is not there.
void() {
  echo "upgrade.sh: $*" >&2
  exit 2
}

broken() {
  echo "FAIL: $*"
  echo "logs: $out/logs"
  exit 1
}

say() { printf '%(%H:%M:%S)T  %s\n' -1 "$*"; }

while (($# > 0)); do
  case $1 in
    --from | --to | --out | --port-base)
      [[ -n ${2:-} ]] || void "$1 needs a value"
      case $1 in
        --from) from=$2 ;;
        --to) to=$2 ;;
        --out) out=$2 ;;
        --port-base) port_base=$2 ;;
      esac
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

declare -A pid=() build_of=()
writer_pids=()

finish() {
  local id
  rm -f "$out/write"
  for id in "${!pid[@]}"; do
    kill -KILL "${pid[$id]}" 2>/dev/null || true
  done
  ((${#writer_pids[@]} == 0)) || kill "${writer_pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
}

http_port() { echo $((port_base + ${1#n})); }

url() { echo "http://127.0.0.1:$(http_port "$1")"; }

# The node program of a commit, or of the working tree, in a folder of its own: a build elsewhere does not change a run.
build() {
  local commit=$1 into=$2 source=$PWD
  if [[ -n $commit ]]; then
    source=$out/src-$commit
    if [[ ! -d $source ]]; then
      mkdir -p "$source"
      git archive "$commit" | tar -x -C "$source"
    fi
  fi
  dotnet build "$source/src/Node" -c Release --nologo -v quiet >"$out/logs/build.log" 2>&1 ||
    void "the build of ${commit:-the working tree} failed: $out/logs/build.log"
  rm -rf "$into"
  cp -r "$source/src/Node/bin/Release/net10.0" "$into"
}

write_config() {
  local id list=
  for id in "${nodes[@]}"; do
    local port
    port=$(http_port "$id")
    list+=${list:+, }"{ \"id\": \"$id\", \"http\": \"127.0.0.1:$port\", \"peer\": \"127.0.0.1:$((port + 10))\", \"binary\": \"127.0.0.1:$((port + 20))\" }"
  done
  echo "{ \"clusterId\": \"upgrade\", \"replicationFactor\": 3, \"virtualNodes\": 64, \"groups\": 4, \"nodes\": [$list] }" >"$out/cluster.json"
}

start() {
  local id=$1 build=$2
  dotnet "$out/$build/KvStore.Node.dll" --node "$id" --config "$out/cluster.json" --data "$out/data" --log text >>"$out/logs/$id.log" 2>&1 </dev/null &
  pid[$id]=$!
  build_of[$id]=$build
}

is_ready() { curl -fs -m 2 -o /dev/null "$(url "$1")/health/ready"; }

runs() { [[ -n ${pid[$1]:-} ]] && kill -0 "${pid[$1]}" 2>/dev/null; }

wait_ready() {
  local id=$1 deadline=$((SECONDS + ready_seconds))
  until is_ready "$id"; do
    runs "$id" || broken "$id (${build_of[$id]}) has ended: $(tail -n 1 "$out/logs/$id.log")"
    ((SECONDS < deadline)) || broken "$id (${build_of[$id]}) is not ready after $ready_seconds s"
    sleep 0.2
  done
}

# Waits for the end of a process; its exit code in $code.
wait_end() {
  local id=$1 deadline=$((SECONDS + $2))
  while runs "$id"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
  code=0
  wait "${pid[$id]}" || code=$?
  unset "pid[$id]"
}

# A stop of the older build that ended as that build is known to: its own words are behind this line of its log.
is_known_abort() {
  local id=$1 lines=$2 said
  [[ ${build_of[$id]} == old ]] || return 1
  ! git merge-base --is-ancestor "$mended" "$from" 2>/dev/null || return 1
  said=$(tail -n +$((lines + 1)) "$out/logs/$id.log")
  [[ $said == *"System.ObjectDisposedException"* && $said == *"at KvStore.Protocol.RequestChannel."* ]]
}

stop() {
  local id=$1 lines
  lines=$(wc -l <"$out/logs/$id.log")
  kill -TERM "${pid[$id]}"
  wait_end "$id" "$stop_seconds" || broken "$id (${build_of[$id]}) does not stop within $stop_seconds s"
  ((code != 0)) || return 0
  is_known_abort "$id" "$lines" || broken "$id (${build_of[$id]}) stopped with exit code $code: $(tail -n 1 "$out/logs/$id.log")"
  aborted_stops=$((aborted_stops + 1))
  say "KNOWN FAULT of $from, not of ${to:-the working tree}: $id was told to stop and aborted with exit code $code (mended by $mended)"
}

all_run() {
  local id
  for id in "${nodes[@]}"; do
    runs "$id" || broken "$id (${build_of[$id]}) ended by itself: $(tail -n 1 "$out/logs/$id.log")"
  done
}

# Lines that say that nodes lost, refused or made anew a connection between them.
link_events() { cat "$out"/logs/n?.log | grep -cE 'connected to |is gone: |refuses this node|refused a connection|closed the connection|cannot be reached' || true; }

quiet() {
  local before after
  sleep 2
  all_run
  before=$(link_events)
  sleep "$quiet_seconds"
  after=$(link_events)
  ((after == before)) || broken "$1: $((after - before)) connections were lost, refused or made anew in $quiet_seconds s of quiet"
  all_run
}

# The level the cluster has agreed on, when the build says one.
level() { curl -s -m 2 "$(url "$1")/metrics" | sed -nE 's/^kvstore_(cluster_)?feature_level[^ ]* ([0-9]+)$/\2/p' | sort -n | head -n 1; }

# What a refused start must leave alone. The older build counts its start in identity before it looks at the log.
folder_sum() { (cd "$out/data/$1" && find . -type f ! -name LOCK ! -name identity -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum); }

# One client: a new key each time, through all nodes in turn. What was acknowledged is written down, nothing else.
write_some() {
  local me=$1 i=0 id status
  while [[ -f $out/write ]]; do
    i=$((i + 1))
    id=${nodes[i % ${#nodes[@]}]}
    status=$(curl -s -m 8 -o /dev/null -w '%{http_code}' -X PUT --data-raw "v-$me-$i" "$(url "$id")/v1/kv/w-$me-$i?timeout=5s") || status=000
    case $status in
      20?) echo "w-$me-$i v-$me-$i" >>"$out/acked-$me" ;;
      *) echo "w-$me-$i $status" >>"$out/not-acked-$me" ;;
    esac
  done
}

# Every acknowledged key through one node, in one run of curl; one line each.
check_acked() {
  local through=$1
  cat "$out"/acked-* >"$out/acked"
  awk -v url="$(url "$through")" '{ print "url = \"" url "/v1/kv/" $1 "?timeout=10s\"" }' "$out/acked" >"$out/reads"
  curl -s -m 300 -K "$out/reads" -w '\n' >"$out/found" || true
  cut -d' ' -f2 "$out/acked" >"$out/expected"
  if ! cmp -s "$out/expected" "$out/found"; then
    broken "of $(wc -l <"$out/acked") acknowledged writes $(diff "$out/expected" "$out/found" | grep -c '^<') are not there through $through: $(diff "$out/expected" "$out/found" | head -n 3 | tr '\n' ' ')"
  fi
}

# The older build in a folder that the newer one had: it serves, or is refused by name and has changed nothing.
put_back() {
  local id=$1 when=$2 must=${3:-} before deadline said lines
  stop "$id"
  before=$(folder_sum "$id")
  lines=$(wc -l <"$out/logs/$id.log")
  start "$id" old
  deadline=$((SECONDS + refuse_seconds))
  while ! is_ready "$id"; do
    if ! runs "$id"; then
      [[ $must != serve ]] || broken "$when: $id with the older build has ended: $(tail -n 1 "$out/logs/$id.log")"
      wait_end "$id" 1
      said=$(tail -n +$((lines + 1)) "$out/logs/$id.log" | grep -v '^[[:space:]]*at ' | grep . | tail -n 1)
      # That build has no exit code of its own for a file of a later version: it says so, with 1.
      ((code == 2)) || { ((code == 1)) && [[ $said == *"is not known"* ]]; } || broken "$when: $id with the older build ended with exit code $code: $said"
      [[ $(folder_sum "$id") == "$before" ]] || broken "$when: $id with the older build was refused, and has changed its folder: $said"
      say "$when: $id with the older build is refused: $said"
      start "$id" new
      wait_ready "$id"
      return
    fi
    ((SECONDS < deadline)) || break
    sleep 0.2
  done
  if ! is_ready "$id"; then
    [[ $must != serve ]] || broken "$when: $id with the older build does not serve: $(tail -n 1 "$out/logs/$id.log")"
    said=$(tail -n +$((lines + 1)) "$out/logs/$id.log" | grep -E 'refuses this node' | tail -n 1)
    [[ -n $said ]] || broken "$when: $id with the older build neither serves nor is refused within $refuse_seconds s"
    say "$when: $id with the older build is refused by the others: $said"
  else
    quiet "$when, $id with the older build"
    say "$when: $id with the older build serves"
  fi
  stop "$id"
  start "$id" new
  wait_ready "$id"
}

git rev-parse -q --verify "$from^{commit}" >/dev/null || void "the history has no $from; a shallow clone lacks it (git fetch --unshallow)"
[[ -z $to ]] || git rev-parse -q --verify "$to^{commit}" >/dev/null || void "the history has no $to"
for id in "${nodes[@]}"; do
  if curl -s -m 2 -o /dev/null "$(url "$id")/health/live"; then
    void "something listens at $(url "$id") already"
  fi
done

mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -rf "$out/data" "$out/logs" "$out"/acked* "$out"/not-acked*
mkdir -p "$out/data" "$out/logs"
trap finish EXIT
say "building $from"
build "$from" "$out/old"
say "building ${to:-the working tree}"
build "$to" "$out/new"
write_config

for id in "${nodes[@]}"; do
  start "$id" old
done
for id in "${nodes[@]}"; do
  wait_ready "$id"
done
say "three nodes of $from serve"
for ((i = 1; i <= first_keys; i++)); do
  echo "first-$i v-first-$i"
done >"$out/acked-first"
awk -v url="$(url n1)" '{ print (NR > 1 ? "next\n" : "") "url = \"" url "/v1/kv/" $1 "?timeout=10s\"\nrequest = PUT\ndata = \"" $2 "\"\noutput = /dev/null\nwrite-out = \"%{http_code}\\n\"" }' \
  "$out/acked-first" >"$out/puts"
acknowledged=$(curl -s -m 300 -K "$out/puts" | grep -c '^20' || true)
((acknowledged == first_keys)) || void "$acknowledged of the first $first_keys writes were acknowledged"
touch "$out/write"
for ((i = 1; i <= writers; i++)); do
  write_some "$i" &
  writer_pids+=($!)
done

step=0
for id in "${nodes[@]}"; do
  step=$((step + 1))
  stop "$id"
  start "$id" new
  wait_ready "$id"
  quiet "$id replaced"
  say "$id replaced, level $(level "$id" | grep . || echo 'not said')"
  ((step == ${#nodes[@]})) || put_back "$id" "$step of ${#nodes[@]} replaced" serve
done

# All are new: the level may rise now. A build that says none has none to wait for.
if [[ -n $(level n1) ]]; then
  deadline=$((SECONDS + level_seconds))
  while (($(level n1) < 2 && SECONDS < deadline)); do
    sleep 0.5
  done
fi
put_back n2 "all replaced, level $(level n1 | grep . || echo 'not said')"
quiet "after the last step"

rm -f "$out/write"
wait "${writer_pids[@]}" || true
writer_pids=()
all_run
for id in "${nodes[@]}"; do
  check_acked "$id"
done
not_acked=$(cat "$out"/not-acked-* 2>/dev/null | wc -l)
say "$(wc -l <"$out/acked") acknowledged writes are there through every node; $not_acked were not acknowledged"
for id in "${nodes[@]}"; do
  stop "$id"
done
say "connections between nodes made, lost or refused in all: $(link_events)"
((aborted_stops == 0)) || say "KNOWN FAULT of $from: $aborted_stops of its stops aborted"
echo "PASS: $from to ${to:-the working tree}"
