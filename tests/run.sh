#!/usr/bin/env bash
# Installs what is missing, builds nacre and runs its tests.
#   bash tests/run.sh            release build, the tests of every day
#   bash tests/run.sh --long     also the long tests, the sanitizers' builds, a minute of fuzzing for each reader, loss curves
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case "${1:-}" in
  "") long="" ;;
  --long) long=1 ;;
  *) echo "usage: bash tests/run.sh [--long]" >&2; exit 2 ;;
esac
jobs=$(nproc)
export OMP_WAIT_POLICY=passive  # threads of several tests share the cores
export CTEST_OUTPUT_ON_FAILURE=1
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0

fail() { echo "tests/run.sh: $*" >&2; exit 1; }

# check PRESET CTEST_ARGUMENT…
check() {
  local preset=$1 log=build/$1.log
  shift
  echo "== $preset: build"
  cmake --preset "$preset" >"$log" 2>&1 || { cat "$log" >&2; fail "configuring '$preset' failed"; }
  cmake --build --preset "$preset" -j "$jobs" || fail "the build of '$preset' failed"
  echo "== $preset: test"
  ctest --preset "$preset" -j "$jobs" "$@" || fail "tests of '$preset' failed"
}

NACRE_SETUP_FUZZ=$long bash tests/setup.sh || fail "the set-up failed"
if [ -z "$long" ]; then
  check release -LE long
else
  # Functions need several times the stack there: 8 MiB are not enough for models as deep as they may be.
  (ulimit -S -s 65536 && check asan) || exit 1
  # libgomp is not instrumented: one OpenMP thread, so that only our own threads are judged.
  OMP_NUM_THREADS=1 check tsan -LE long -R '[Tt]hread|[Pp]arallel|[Pp]ipeline|[Pp]refetch|[Cc]allback|[Dd]ataset|[Ll]oader'
  check release
  bash tests/fuzz/run.sh 60 || fail "the fuzzers found something"
  python3 tests/bench/curves.py || fail "bfloat16 does not learn like float32"
fi
