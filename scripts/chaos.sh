#!/usr/bin/env bash
# Kills, pauses or cuts off nodes under recorded load, or lets one miss a lot, and gives a verdict. Exit code: 0 pass, 1 a promise was broken, 2 no verdict.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<EOF
Usage: scripts/chaos.sh [--scenario NAME] [--rounds N | --seconds S] [--seed X] [--out DIR]
       scripts/chaos.sh check [--history FILE]
       scripts/chaos.sh catch-up [--stop kill|term] [--writes N] [--value-bytes N] [--out DIR]

  --scenario kill-one   kill -9 of one node at a time; every group takes a write again within 3 s (default)
  --scenario kill-all   kill -9 of all nodes at once
  --scenario pause      SIGSTOP and SIGCONT of one node at a time, mostly one that leads; every group takes a write again within 5 s
  --scenario partition  one node at a time cut off from the others, and still reached by clients; every group takes a write again
                        within 5 s. The nodes reach each other through ports of the run; no rights and no network tools are needed.
  --scenario disk-full  the disk of one node filled to the last byte, and every second time the node killed and started on it; no node ends, what
                        grows is refused and not applied, every group takes a write again within 3 s of room
  --scenario disk-freeze  the disk of one node frozen for 12 s, mostly one that leads; every group takes a write again within 5 s,
                        the node is not ready meanwhile, and no group moves more than twice
  --scenario clock      the wall clock of one node moved by minutes, an hour or a year for 6 s, mostly of one that leads; every group takes
                        a write within 5 s, and the node leads nothing by then
  --scenario memory     each node in a control group of 256 MiB with default settings, filled with values of 100 B and 1 MiB, counters and named
                        writes until it refuses, emptied by deletes, filled again (--rounds 10); nobody is killed for want of memory, deletes and
                        reads are answered, and what is resident at the end is within 10 % of what was after the second round
  --memory-bytes N      of memory: limits.memoryBytes of each node; far above the group's, it must fail
  --rounds N            faults (30)
  --seconds S           go on for so long instead; fewer than 10 faults are no verdict
  --seed X              of everything that is drawn (1)
  --out DIR             history.jsonl, report.md and the data of the nodes (out/chaos); data of an earlier run there is deleted

disk-full and disk-freeze make a file system of 256 MB in a file for each node: they need root, loop devices, mkfs.ext4 and fsfreeze
(packages e2fsprogs, util-linux). memory needs root and the memory controller of control groups, version 1 or 2. clock loads a library into the nodes that is compiled here: it needs cc (packages gcc, libc6-dev). Where that
is missing the scenario is skipped, says so, and ends with 2.

Starts three processes of its own on the ports of cluster.json (--cluster FILE for another one) and stops them at the end.
Every answer is recorded with the level it met, its age, its token and its place in the log, and judged at the end; check judges
the history of an earlier run again.

catch-up stops one node, writes to the others until their logs no longer reach back to it (200,000 writes of 8 KiB), starts it
again and waits until it holds what they hold: by snapshot, with equal hashes at an equal index in every group (out/catch-up).
EOF
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
  check | catch-up) command=("$@") ;;
  *) command=(chaos "$@") ;;
esac

build=$(dotnet build loadtests -c Release --nologo -v quiet 2>&1) || { echo "$build" >&2; exit 2; }
exec dotnet loadtests/bin/Release/net10.0/KvStore.LoadTests.dll "${command[@]}"
