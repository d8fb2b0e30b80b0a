#!/usr/bin/env bash
# Runs a fuzz target, or all of them, for so many seconds each: fuzz/run.sh TARGET|all SECONDS
#
# Guided by coverage on the stable toolchain: the compiler's own instrumentation pass feeds libFuzzer,
# which needs a C++ compiler. Finds are kept in fuzz/artifacts, and what led to new code in fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")"
targets=()
for file in targets/*.rs; do
    name="${file##*/}"
    targets+=("${name%.rs}")
done
if (($# != 2)) || ! [[ " all ${targets[*]} " == *" $1 "* && "$2" =~ ^[0-9]+$ ]]; then
    echo "usage: fuzz/run.sh TARGET SECONDS, where TARGET is all or one of: ${targets[*]}" >&2
    exit 64
fi
[[ "$1" == all ]] || targets=("$1")
if ! command -v "${CXX:-c++}" >/dev/null; then
    echo "fuzz/run.sh: libFuzzer needs a C++ compiler (Debian: apt-get install g++)" >&2
    exit 1
fi

export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
export CARGO_TARGET_DIR="${HAUL_FUZZ_TARGET_DIR:-$PWD/target}"
# With a target named, the flags are for it alone and not for build scripts.
host="$(rustc -vV | sed -n 's/^host: //p')"
bins=()
for target in "${targets[@]}"; do bins+=(--bin "$target"); done
cargo build --release --quiet --target "$host" "${bins[@]}"

failed=0
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target" "artifacts/$target"
    seeds=()
    [[ -d "seeds/$target" ]] && seeds=("seeds/$target")
    log="artifacts/$target.log"
    started=$SECONDS
    if "$CARGO_TARGET_DIR/$host/release/$target" -max_total_time="$2" -max_len=1024 -timeout=10 -dict=json.dict \
        -use_value_profile=1 -print_final_stats=1 -artifact_prefix="artifacts/$target/" \
        "corpus/$target" "${seeds[@]}" >"$log" 2>&1; then
        runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
        echo "$target: nothing found in $runs runs, $((SECONDS - started)) s"
    else
        echo "$target: FOUND after $((SECONDS - started)) s"
        grep -aE "panicked at|disagree|finds other|ERROR|Test unit written|left:|right:|cut at" "$log" | head -12 || true
        failed=1
    fi
done
exit "$failed"
