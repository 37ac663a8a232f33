#!/usr/bin/env bash
# Checks what a user of the library pulls in: the tree without features is exactly the list below,
# never more than 13 crates; and every dependency in a manifest says why it is there.
#   scripts/deps.sh [MANIFEST]   (default: this package's Cargo.toml)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
manifest="${1:-$root/Cargo.toml}"
limit=13
target=x86_64-unknown-linux-gnu

allowed="arc-swap cfg-if crossbeam-queue crossbeam-utils libc lock_api parking_lot parking_lot_core
pin-project-lite rustversion scopeguard smallvec tokio"

echo "deps: the tree of the crate without features, for $target"
tree="$(cargo tree --quiet --manifest-path "$manifest" --package plunge --edges no-dev --target "$target" --prefix none --format '{p}')" \
    || { echo "deps: cargo tree failed: FAILED"; exit 1; }
found="$(sed 's/ .*//' <<<"$tree" | grep -vx plunge | sort -u)"
wanted="$(tr -s ' \n' '\n' <<<"$allowed" | sort -u)"
count="$(grep -c . <<<"$found" || true)"
bad=0

extra="$(comm -23 <(echo "$found") <(echo "$wanted"))"
missing="$(comm -13 <(echo "$found") <(echo "$wanted"))"
for name in $extra; do echo "  $name is not on the list: make it optional behind a feature"; bad=1; done
for name in $missing; do echo "  $name is on the list and no longer in the tree: take it off the list"; bad=1; done
[ "$count" -le "$limit" ] || { echo "  $count crates, limit $limit"; bad=1; }
[ "$count" -gt 0 ] || { echo "  an empty tree: the check itself is broken"; bad=1; }

manifests=0
while IFS= read -r file; do
    manifests=$((manifests + 1))
    awk -v file="${file#"$root"/}" '
        /^\[/ { inside = ($0 ~ /dependencies\]$/) ; previous = ""; next }
        inside && /^[A-Za-z0-9_-]+ *=/ && previous !~ /^# .*[a-z]/ {
            split($0, part, " "); printf "  %s:%d: %s has no reason in the line above it\n", file, NR, part[1]; bad = 1
        }
        { previous = $0 }
        END { exit bad }' "$file" || bad=1
done < <(if [ $# -gt 0 ]; then echo "$manifest"; else find . -name target -prune -o -name Cargo.toml -print | sort; fi)

verdict=passed
[ "$bad" -eq 0 ] || verdict=FAILED
echo "deps: $count third-party crates (limit $limit), $manifests manifests read: $verdict"
exit "$bad"
