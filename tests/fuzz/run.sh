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
[ ${#targets[@]} -gt 0 ] || targets=(h5 keras yaml idx npy npz csv image lua lua_calls)
build=${NACRE_FUZZ_BUILD:-build/fuzz}
jobs=$(nproc)

compiler=$(command -v clang++-19 clang++-16 clang++-15 clang++ | head -n1) || { echo "fuzz: no clang++ (apt-get install clang-16 libclang-rt-16-dev)" >&2; exit 1; }
mkdir -p "$build/finds"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DNACRE_FUZZ=ON -DNACRE_WERROR=OFF -DCMAKE_CXX_COMPILER="$compiler" >"$build/configure.log" 2>&1 ||
  { cat "$build/configure.log" >&2; exit 1; }
cmake --build "$build" -j "$jobs" --target "${targets[@]/#/fuzz_}"

# The HDF5 library has memory errors of its own on damaged files, which is why untrusted files are read in a child process:
# it leaks, asks for whatever a file declares, and reads beyond its buffers. For readers that use it, fuzzing goes on
# after a crash, and crashes within the library are set aside.
export ASAN_OPTIONS=allocator_may_return_null=1
# harmless PROGRAM FIND: it does not happen again, or it happens within the library.
harmless() {
  local output
  output=$("$1" "$2" -detect_leaks=0 2>&1) || grep -qE '^ +#[0-3] .*libhdf5' <<<"$output"
}

failed=()
for target in "${targets[@]}"; do
  program=$build/tests/fuzz_$target corpus=$build/corpus/$target finds=$build/finds/$target known=tests/fuzz/finds/$target
  rm -rf "$finds"
  mkdir -p "$corpus" "$finds"
  [ -d "$known" ] && cp "$known"/* "$corpus/"
  options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -malloc_limit_mb=1000000 -max_len=65536 -print_final_stats=1)
  case $target in h5 | keras) options+=(-fork=1 -ignore_crashes=1 -detect_leaks=0) ;; esac
  echo "== fuzz $target: $seconds s"
  NACRE_FUZZ_SEEDS=$corpus "$program" "$corpus" "${options[@]}" -artifact_prefix="$finds/" >"$build/$target.log" 2>&1 || true
  grep -E "number_of_executed_units|^#[0-9]+: cov" "$build/$target.log" | tail -n1 || true
  library=0
  for find in "$finds"/*; do
    [ -e "$find" ] || continue
    if harmless "$program" "$find"; then library=$((library + 1)) && rm "$find"; else failed+=("$find"); fi
  done
  [ "$library" = 0 ] || echo "   $library within the HDF5 library, or that do not happen again"
done
[ ${#failed[@]} = 0 ] || { printf 'fuzz: %s\n' "${failed[@]}" >&2; exit 1; }
