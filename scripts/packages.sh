#!/usr/bin/env bash
# Makes the packages and uses them as a stranger would: from an empty project, outside the repository. Exit code: 0 pass, 1 it does not work, 2 no verdict.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=yes
keep=no
port=$((20000 + RANDOM % 10000))

usage() {
  cat <<EOF
Usage: scripts/packages.sh [--no-build] [--keep] [--port N]

  --no-build   pack what a Release build has left instead of building first
  --keep       leave the folder with the packages and the projects, and print where it is
  --port N     the nodes of kvctl dev listen on loopback from this port on, nine ports; without it one drawn at random

Packs the solution, installs kvctl from the packages and starts its three nodes, makes a console project whose only package is the client, and runs in it
what docs/client.md shows, snippet by snippet, and compiles the program of README.md as it stands; then a test project with the package for
tests, and a test of it is run. NuGet's own folder is not touched.

PASS when the tool answers, everything compiles without a warning, the program runs to its end and the test passes.
EOF
}

void() {
  echo "packages.sh: $*" >&2
  exit 2
}

fail() {
  echo "FAIL: $*"
  exit 1
}

while [ $# -gt 0 ]; do
  case $1 in
    --no-build) build=no ;;
    --keep) keep=yes ;;
    --port) port=${2:?--port needs a number}; shift ;;
    -h | --help) usage; exit 0 ;;
    *) void "unknown option '$1'; see --help" ;;
  esac
  shift
done

folder=$(mktemp -d -t kvstore-packages-XXXXXX)
nodes=
finish() {
  code=$?
  [ -z "$nodes" ] || { kill "$nodes" 2>/dev/null || true; wait "$nodes" 2>/dev/null || true; }
  if [ "$keep" = yes ]; then echo "kept: $folder"; else rm -rf "$folder"; fi
  exit "$code"
}
trap finish EXIT

command -v unzip > /dev/null || void "unzip is needed to look into the packages"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1

# A version nobody has: what an earlier run left in a cache cannot be meant.
version=1.0.0-try.$(date +%s)
if [ "$build" = yes ]; then
  dotnet build KvStore.sln -c Release -v q -clp:ErrorsOnly > "$folder/build.log" 2>&1 || { tail -20 "$folder/build.log"; void "the build is broken"; }
fi
dotnet pack KvStore.sln -c Release --no-build -o "$folder/packages" -p:PackageVersion="$version" -v q > "$folder/pack.log" 2>&1 ||
  { tail -20 "$folder/pack.log"; fail "dotnet pack does not work"; }
! grep -E 'warning' "$folder/pack.log" || fail "dotnet pack warns"
for package in "$folder"/packages/*.nupkg; do
  # Not into grep -q, which goes at the first match and leaves unzip with nobody to write to.
  case $(unzip -l "$package") in *' README.md'*) ;; *) false ;; esac || fail "$(basename "$package") has no README"
  [ -f "${package%.nupkg}.snupkg" ] || fail "$(basename "$package") has no symbols"
done

# What the build has fetched is found there, and nothing else is fetched.
fetched=$(dotnet nuget locals global-packages --list --force-english-output | sed 's/^[^:]*: //')
export NUGET_PACKAGES=$folder/cache
cat > "$folder/nuget.config" <<EOF
<configuration>
  <packageSources><clear /><add key="here" value="$folder/packages" /></packageSources>
  <fallbackPackageFolders><add key="fetched" value="$fetched" /></fallbackPackageFolders>
</configuration>
EOF
cd "$folder"

dotnet tool install KvStore.Cli --version "$version" --tool-path tools > tool.log 2>&1 || { cat tool.log; fail "the tool cannot be installed"; }
tools/kvctl dev --port "$port" --data "$folder/dev" > dev.log 2>&1 &
nodes=$!
until tools/kvctl cluster --check -e "localhost:$port" --timeout 1s > check.log 2>&1; do
  kill -0 "$nodes" 2>/dev/null || { tail -5 dev.log; fail "kvctl dev has ended"; }
  [ $SECONDS -lt 120 ] || { cat check.log; fail "the nodes of kvctl dev are not well"; }
  sleep 0.2
done

# The console project: the page's program, then its other snippets, each in a block of its own.
dotnet new console -o shop > new.log 2>&1 || { cat new.log; void "dotnet new does not work"; }
dotnet add shop package KvStore.ClientLib --version "$version" > add.log 2>&1 || { cat add.log; fail "the client's package cannot be added"; }
page=$OLDPWD/docs/client.md
snippet() {
  sed -n "/^<!-- snippet: $1 -->\$/,/^\`\`\`\$/p" "$page" | sed '1,2d;$d' | sed "s/localhost:7101/localhost:$port/"
}
{
  snippet first
  for name in conditions typed levels session several unknown; do
    printf '{\n%s\n}\n\n' "$(snippet "$name")"
  done
  echo 'Console.WriteLine("the page runs");'
  grep -m1 -o 'record Order([^`]*' "$page" || fail "the page does not show its record"
} > shop/Program.cs
dotnet build shop -v q -warnaserror > shop.log 2>&1 || { cat shop.log; fail "the page's snippets do not compile in an empty project"; }
cp -r shop readme && rm -rf readme/bin readme/obj && mv readme/shop.csproj readme/readme.csproj
sed -n '/^```csharp$/,/^```$/p' "$OLDPWD/README.md" | sed '1d;$d' > readme/Program.cs
dotnet build readme -v q -warnaserror > readme.log 2>&1 || { cat readme.log; fail "the program of README.md does not compile in an empty project"; }
dotnet shop/bin/Debug/net*/shop.dll > run.log 2>&1 || { cat run.log; fail "the page's snippets do not run"; }
grep -q 'the page runs' run.log || { cat run.log; fail "the program did not come to its end"; }
[ "$(tools/kvctl get greeting -o raw -e "localhost:$port")" = hello ] || fail "kvctl does not see what the program wrote"

# The test project: test packages as the repository has them, the package for tests, the page's cluster.
mkdir checks
{
  echo '<Project Sdk="Microsoft.NET.Sdk"><PropertyGroup><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings>'
  echo '<Nullable>enable</Nullable></PropertyGroup><ItemGroup>'
  grep -E '"(Microsoft.NET.Test.Sdk|xunit|xunit.runner.visualstudio)"' "$OLDPWD/Directory.Packages.props" | sed 's/PackageVersion/PackageReference/'
  echo "<PackageReference Include=\"KvStore.Testing\" Version=\"$version\" /></ItemGroup></Project>"
} > checks/checks.csproj
{
  printf 'using KvStore.Client;\nusing KvStore.Testing;\nusing Xunit;\n\npublic sealed class Checks\n{\n[Fact]\npublic async Task A_leader_dies()\n{\n'
  snippet cluster
  printf 'Assert.Equal("new", there);\n}\n}\n'
} > checks/Checks.cs
dotnet test checks -warnaserror > checks.log 2>&1 || { tail -40 checks.log; fail "a test with the package for tests does not pass in an empty project"; }

echo "PASS: $(ls packages/*.nupkg | wc -l) packages, used from an empty project in $SECONDS s"
