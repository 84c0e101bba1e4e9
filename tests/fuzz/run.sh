#!/usr/bin/env bash
# Fuzzes the readers of files with libFuzzer: bash tests/fuzz/run.sh [SECONDS [TARGET…]]
# Each target runs SECONDS (default 60) from its own good files and what was found before. What it finds is written to
# build/fuzz/finds; put it into tests/fuzz/finds/TARGET/ with the fix. Needs clang 15 or later with its runtime
# (Debian: clang-16 libclang-rt-16-dev).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(h5 keras yaml idx npy npz csv image)
build=${NACRE_FUZZ_BUILD:-build/fuzz}
jobs=$(nproc)

compiler=$(command -v clang++-19 clang++-16 clang++-15 clang++ | head -n1) || { echo "fuzz: no clang++ (apt-get install clang-16 libclang-rt-16-dev)" >&2; exit 1; }
mkdir -p "$build/finds"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DNACRE_FUZZ=ON -DNACRE_WERROR=OFF -DCMAKE_CXX_COMPILER="$compiler" >"$build/configure.log" 2>&1 ||
  { cat "$build/configure.log" >&2; exit 1; }
cmake --build "$build" -j "$jobs" --target "${targets[@]/#/fuzz_}"

failed=()
for target in "${targets[@]}"; do
  corpus=$build/corpus/$target
  mkdir -p "$corpus" "$build/finds/$target"
  known=tests/fuzz/finds/$target
  [ -d "$known" ] && cp "$known"/* "$corpus/"
  echo "== fuzz $target: $seconds s"
  NACRE_FUZZ_SEEDS=$corpus "$build/tests/fuzz_$target" "$corpus" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 \
    -max_len=65536 -artifact_prefix="$build/finds/$target/" -print_final_stats=1 -verbosity=0 -close_fd_mask=1 >"$build/$target.log" 2>&1 || failed+=("$target")
  grep -E "number_of_executed_units|SUMMARY" "$build/$target.log" || true
done
[ ${#failed[@]} = 0 ] || { echo "fuzz: findings in $build/finds for: ${failed[*]}" >&2; exit 1; }
