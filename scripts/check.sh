#!/usr/bin/env bash
# What a contributor runs before sending a change: restore, build without warnings, formatting, all tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dotnet restore KvStore.sln
dotnet build KvStore.sln -c Release --no-restore
dotnet build loadtests/Micro -c Release       # beside the solution: its packages do not restore without a warning
dotnet format KvStore.sln --no-restore --verify-no-changes
dotnet test KvStore.sln -c Release --no-build
