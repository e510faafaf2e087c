#!/usr/bin/env bash
# The nodes of cluster.json as one process each: what chaos and load tests use. Works from any directory.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
config=${KV_CONFIG:-$root/cluster.json}
data=${KV_DATA:-$root/data}
run=$data/.run
program=${KV_PROGRAM:-$root/src/Node/bin/Release/net10.0/KvStore.Node.dll}
ready_seconds=60
down_seconds=10

usage() {
  cat <<EOF
Usage: scripts/cluster.sh VERB [N]

  up         start every node that does not run, wait until all are ready, print the pids
  down       SIGTERM to every node, SIGKILL to what is left after $down_seconds s
  status     one line per node: pid and readiness
  stop N     SIGTERM to one node, SIGKILL after $down_seconds s
  kill N     SIGKILL
  restart N  start again (stop first when it runs) and wait until it is ready
  pause N    SIGSTOP
  resume N   SIGCONT
  logs N     print the log file of a node and follow it
  wipe       down, then delete the data and the logs of all nodes

N is a node id (n1) or its number (1). Pids and logs are in $run.
KV_CONFIG and KV_DATA choose another configuration file and data directory. A node that sees the others at other addresses has a
file of its own beside it: cluster.n1.json beside cluster.json. KV_CGROUP is the beginning of the names of control groups, one for each node (KV_CGROUP=/sys/fs/cgroup/kv- and /sys/fs/cgroup/kv-n1): each node is started in its
own, as on a machine of its own.
EOF
}

fail() {
  echo "cluster.sh: $*" >&2
  exit 1
}

# "id http-address" per node, in the order of the ids. The file is JSON with one object per node; no JSON tool is needed
# on the machine because only these two keys are looked for, within "nodes".
node_lines() {
  tr -d '\n\r' <"$config" | sed 's/.*"nodes"[^[]*\[//; s/\].*//' | tr '{' '\n' |
    sed -nE 's/.*"id"[[:space:]]*:[[:space:]]*"([^"]*)".*"http"[[:space:]]*:[[:space:]]*"([^"]*)".*/\1 \2/p' | LC_ALL=C sort
}

ids() { node_lines | cut -d' ' -f1; }

url_of() { node_lines | awk -v id="$1" '$1 == id { print "http://" $2 }'; }

id_of() {
  local wanted=${1:-}
  [[ -n $wanted ]] || { usage >&2; exit 1; }
  if ids | grep -qxF -- "$wanted"; then
    echo "$wanted"
  elif [[ $wanted =~ ^[0-9]+$ ]] && [[ -n $(ids | sed -n "${wanted}p") ]]; then
    ids | sed -n "${wanted}p"
  else
    fail "there is no node $wanted in $config; it lists $(ids | tr '\n' ' ')"
  fi
}

# The pid of a node that we started and that still runs, or nothing. A pid alone proves nothing, the system uses it again
# for somebody else: the command line has to be ours. It is the data directory that counts, whatever configuration the node was
# started with. A process that is ending has lost its command line before it lets go of its files and ports: it still runs.
pid_of() {
  local file=$run/$1.pid pid line
  [[ -f $file ]] || return 0
  pid=$(<"$file")
  if [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] && ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null; then
    line=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) || true
    [[ -n $line && $line != *"$program --node $1 "*" --data $data "* ]] || echo "$pid"
  fi
}

# Ready, and it is our process that says so: a node writes its pid beside its ports once it has them. Somebody else's cluster on
# the same port would answer as well.
is_ready() {
  local pid
  pid=$(pid_of "$1")
  [[ -n $pid ]] && grep -qF "\"pid\":$pid," "$run/$1.json" 2>/dev/null && curl -fs -m 2 -o /dev/null "$(url_of "$1")/health/ready"
}

build() {
  [[ -z ${KV_PROGRAM:-} ]] || return 0
  # Always: the build is quick when nothing has changed, and old binaries cost more time than that.
  dotnet build "$root/src/Node" -c Release --nologo -v quiet >"$run/build.log" 2>&1 || { cat "$run/build.log" >&2; fail "the build failed"; }
}

# All nodes of the file share this machine: each may plan with its part, unless the file or the environment says how much, or each has a group of its own.
memory_share() {
  [[ -n ${KV_CGROUP:-} ]] || dotnet "$program" --config "$config" --print-config | sed -nE 's/^limits\.memoryBytes .*means ([0-9]+) now.*/\1/p'
}

# For a subshell: what it turns into is in the group from its first moment.
enter_group() { [[ -z ${KV_CGROUP:-} ]] || echo "$BASHPID" >"$KV_CGROUP$1/cgroup.procs"; }

start() {
  local id=$1 own=$config share
  mkdir -p "$run"
  [[ ! -f ${config%.json}.$id.json ]] || own=${config%.json}.$id.json
  share=$(memory_share)
  # A session of its own: Ctrl-C in this terminal is not for the nodes.
  (enter_group "$id" && exec setsid dotnet "$program" --node "$id" --config "$own" --data "$data" --log text ${share:+--Limits:MemoryBytes "$share"}) \
    >>"$run/$id.log" 2>&1 </dev/null &
  echo $! >"$run/$id.pid"
}

wait_ready() {
  local deadline=$((SECONDS + ready_seconds)) id
  for id in "$@"; do
    until is_ready "$id"; do
      [[ -n $(pid_of "$id") ]] || { tail -n 20 "$run/$id.log" >&2; fail "$id has ended; its log is $run/$id.log"; }
      ((SECONDS < deadline)) || fail "$id is not ready after $ready_seconds s; its log is $run/$id.log"
      sleep 0.1
    done
  done
}

wait_gone() {
  local id=$1 deadline=$((SECONDS + $2))
  while [[ -n $(pid_of "$id") ]]; do
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}

signal() {
  local id=$1 name=$2 pid
  pid=$(pid_of "$id")
  [[ -n $pid ]] || fail "$id does not run"
  kill -s "$name" "$pid"
}

stop() {
  local id pid
  for id in "$@"; do
    pid=$(pid_of "$id")
    # A paused process cannot handle SIGTERM: wake it first.
    [[ -z $pid ]] || kill -s TERM "$pid" && kill -s CONT "$pid" 2>/dev/null || true
  done
  for id in "$@"; do
    if ! wait_gone "$id" "$down_seconds"; then
      kill -s KILL "$(pid_of "$id")" 2>/dev/null || true
      wait_gone "$id" "$down_seconds" || fail "$id does not end"
    fi
    rm -f "$run/$id.pid"
  done
}

status() {
  local id pid
  for id in $(ids); do
    pid=$(pid_of "$id")
    if [[ -z $pid ]]; then
      echo "$id  down"
    elif grep -q '^State:[[:space:]]*T' "/proc/$pid/status" 2>/dev/null; then
      echo "$id  pid $pid  paused     $(url_of "$id")"
    elif is_ready "$id"; then
      echo "$id  pid $pid  ready      $(url_of "$id")"
    else
      echo "$id  pid $pid  not ready  $(url_of "$id")"
    fi
  done
}

case ${1:-} in
  up | down | status | stop | kill | restart | pause | resume | logs | wipe) ;;
  *)
    usage >&2
    [[ -z ${1:-} ]] || fail "$1 is none of the verbs above"
    exit 1
    ;;
esac

mkdir -p "$run"
data=$(cd "$data" && pwd)
run=$data/.run
[[ -f $config ]] || fail "there is no $config"
config=$(cd "$(dirname "$config")" && pwd)/$(basename "$config")

case ${1:-} in
  up)
    build
    for id in $(ids); do
      [[ -n $(pid_of "$id") ]] || start "$id"
    done
    # shellcheck disable=SC2046 # ids have no spaces
    wait_ready $(ids)
    status
    ;;
  down)
    # shellcheck disable=SC2046
    stop $(ids)
    ;;
  status) status ;;
  stop) stop "$(id_of "${2:-}")" ;;
  kill)
    id=$(id_of "${2:-}")
    signal "$id" KILL
    wait_gone "$id" "$down_seconds" || fail "$id does not end"
    rm -f "$run/$id.pid"
    ;;
  restart)
    id=$(id_of "${2:-}")
    [[ -f $program ]] || build
    [[ -z $(pid_of "$id") ]] || stop "$id"
    start "$id"
    wait_ready "$id"
    echo "$id  pid $(pid_of "$id")  ready      $(url_of "$id")"
    ;;
  pause) signal "$(id_of "${2:-}")" STOP ;;
  resume) signal "$(id_of "${2:-}")" CONT ;;
  logs)
    id=$(id_of "${2:-}")
    [[ -f $run/$id.log ]] || fail "$id has no log yet"
    exec tail -n +1 -f "$run/$id.log"
    ;;
  wipe)
    # shellcheck disable=SC2046
    stop $(ids)
    for id in $(ids); do
      rm -rf "${data:?}/$id" "$run/$id.log" "$run/$id.json"
    done
    ;;
esac
