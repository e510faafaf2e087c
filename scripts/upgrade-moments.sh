#!/usr/bin/env bash
# Puts an older build back into a running cluster at every moment of a raise, and asks both builds through every door. Exit code: 0 pass, 1 a promise was broken, 2 no verdict.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

from=84ebed4
out=out/upgrade

usage() {
  cat <<EOF
Usage: scripts/upgrade-moments.sh [--from COMMIT] [--out DIR]

  --from COMMIT   the older build, one of feature level 1 ($from)
  --out DIR       where it is built ($out)

Builds it and runs the tests of OlderBuildTests with its program, against the working tree; what they saw is printed.

PASS when the older build serves before the level is proposed and is refused in words, without an end of the others and with its folder as it
was, when the level is appended, committed, used and in a snapshot; when every acknowledged write is there at the end; when what an older
node does not know is never sent to it; and when a key that it has recorded is answered from the record through doors of the new build.
EOF
}

# No verdict: what was needed is not there.
void() {
  echo "upgrade-moments.sh: $*" >&2
  exit 2
}

while (($# > 0)); do
  case $1 in
    --from | --out)
      [[ -n ${2:-} ]] || void "$1 needs a value"
      case $1 in
        --from) from=$2 ;;
        --out) out=$2 ;;
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

git rev-parse -q --verify "$from^{commit}" >/dev/null || void "the history has no $from; a shallow clone lacks it (git fetch --unshallow)"
mkdir -p "$out"
out=$(cd "$out" && pwd)
source=$out/src-$from
if [[ ! -d $source ]]; then
  mkdir -p "$source"
  git archive "$from" | tar -x -C "$source"
fi
echo "building $from"
dotnet build "$source/src/Node" -c Release --nologo -v quiet >"$out/build.log" 2>&1 || void "the build of $from failed: $out/build.log"
rm -rf "$out/old"
cp -r "$source/src/Node/bin/Release/net10.0" "$out/old"
echo "building the working tree"
dotnet build tests/Node.Tests -c Release --nologo -v quiet >"$out/build.log" 2>&1 || void "the build of the working tree failed: $out/build.log"

code=0
KVSTORE_OLDER_BUILD=$out/old/KvStore.Node.dll dotnet test tests/Node.Tests -c Release --no-build --nologo \
  --filter FullyQualifiedName~OlderBuildTests --logger 'console;verbosity=detailed' >"$out/moments.log" 2>&1 || code=$?
grep -vE '^\[xUnit|^Test run|^A total|^$' "$out/moments.log" || true
if ((code != 0)); then
  echo "FAIL: $from to the working tree; $out/moments.log"
  exit 1
fi
grep -q 'Passed: 3' "$out/moments.log" || void "the tests did not run: $out/moments.log"
echo "PASS: $from to the working tree, at every moment"
