#!/usr/bin/env bash
# Proves that the fuzz targets find bugs: plants one after the other in a copy of the sources and expects
# each to be found within so many seconds: fuzz/plant.sh [SECONDS [PATCH…]]
set -euo pipefail
cd "$(dirname "$0")"
seconds="${1:-60}"
shift || true
patches=("$@")
((${#patches[@]})) || patches=(planted/*.patch)
copy="${HAUL_FUZZ_TARGET_DIR:-$PWD/target}/planted"
export HAUL_FUZZ_TARGET_DIR="$copy/target"
missed=0
for patch in "${patches[@]}"; do
    patch="$PWD/planted/$(basename "$patch")"
    # Only what differs is copied, so that builds stay incremental.
    rm -rf "$copy/fuzz/corpus" "$copy/fuzz/artifacts"
    mkdir -p "$copy/crates" "$copy/fuzz"
    for crate in haul-core haul-reduce; do
        rm -rf "$copy/crates/$crate"
        cp -R "../crates/$crate" "$copy/crates/$crate"
    done
    cp ../Cargo.toml ../Cargo.lock "$copy/"
    cp -R Cargo.toml Cargo.lock json.dict run.sh seeds targets "$copy/fuzz/"
    # Not a part of the repository around it.
    (cd "$copy" && GIT_CEILING_DIRECTORIES="${copy%/*}" git apply "$patch")
    name="$(basename "$patch" .patch)"
    target="$(sed -n 's/^# target: //p' "$patch")"
    if "$copy/fuzz/run.sh" "$target" "$seconds" >"$copy/$name.log"; then
        echo "$name: NOT FOUND by $target in $seconds s"
        missed=1
    else
        echo "$name: $(head -1 "$copy/$name.log")"
    fi
done
exit "$missed"
