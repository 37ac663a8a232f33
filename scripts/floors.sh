#!/usr/bin/env bash
# Checks the rules of the house: imports go down only, primitives and clocks have one door, `unsafe`
# one floor, files and functions a size, mod.rs no logic, every file a header.
#   scripts/floors.sh              check the tree
#   scripts/floors.sh --selftest   plant one violation of each kind and see each refused
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v python3 >/dev/null || { echo "floors: python3 is needed to parse the sources: install it"; exit 2; }
PYTHONDONTWRITEBYTECODE=1 exec python3 floors.py "$@"
