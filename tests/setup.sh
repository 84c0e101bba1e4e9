#!/usr/bin/env bash
# Installs what building and testing nacre needs and this machine lacks: Debian packages (needs root), and oneDNN,
# whose headers, library and CMake files come from its PyPI wheels. With NACRE_SETUP_CUDA=1 also the headers of
# cudnn-frontend, for the preset cuda. Does nothing when all is there.
#   bash tests/setup.sh [FOLDER]      FOLDER receives onednn/ and cudnn_frontend/; default: $NACRE_DEPS or build/deps
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
deps=${1:-${NACRE_DEPS:-build/deps}}
log=build/setup.log
mkdir -p build "$deps" || exit 1

fail() { echo "setup: $*" >&2; exit 1; }

# The line of the log that tells most about a failure.
reason() {
  grep -m1 -oE "connection broken by .*" "$log" || grep -m1 -E "^W: Failed|^E:|^ERROR" "$log" || tail -n1 "$log"
}

packages=(g++ cmake ninja-build ccache pkgconf libfmt-dev libeigen3-dev libyaml-cpp-dev libhdf5-dev zlib1g-dev
  libzip-dev libjpeg-dev libpng-dev liblua5.4-dev libcairo2-dev libfarmhash-dev libcurl4-openssl-dev libssl-dev libpcre2-dev
  libwebp-dev libgif-dev libcli11-dev
  libedit-dev libopenmpi-dev openmpi-bin lua5.4 libgtest-dev librapidcheck-dev libbenchmark-dev libvalijson-dev nlohmann-json3-dev)
# The fuzzers of tests/run.sh --long want a clang that knows _Float16.
[ -z "${NACRE_SETUP_FUZZ:-}" ] || packages+=(clang-16 libclang-rt-16-dev)

install_packages() {
  command -v dpkg-query >/dev/null || return 0  # not Debian: CMake names what is missing
  local installed missing=()
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  [ "$(id -u)" = 0 ] || fail "not root, so please run: apt-get install ${missing[*]}"
  echo "setup: installing ${#missing[@]} Debian packages: ${missing[*]}"
  { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 </dev/null || fail "apt-get could not install them (see $log): $(reason)"
}

install_onednn() {
  [ -e "$deps/onednn/lib/cmake/dnnl/dnnl-config.cmake" ] && [ -e "$deps/onednn/lib/libdnnl.so.3" ] && return
  python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
  echo "setup: fetching oneDNN into $deps/onednn"
  local work data
  work=$(mktemp -d "$deps/onednn.XXXXXX")
  trap "rm -rf '$work'" EXIT
  cat >"$work/wheels.txt" <<'END'
onednn-cpu-gomp==2023.2.0 --hash=sha256:2f22a54d6a890ed14bfa185d42a4be65d8b5b1df85dc1f0f3a9abe31620416fb
onednn-devel-cpu-gomp==2023.2.0 --hash=sha256:9763c69e8c907e119056bd52ad918ca84ac9ba939d130a99dfa95ccca3e5e284
END
  python3 -m pip download -q --no-deps --only-binary :all: -d "$work" -r "$work/wheels.txt" >"$log" 2>&1 ||
    fail "pip could not fetch oneDNN (see $log): $(reason)"
  mkdir "$work/onednn"
  for wheel in "$work"/*.whl; do python3 -m zipfile -e "$wheel" "$work/unpacked"; done
  for data in "$work"/unpacked/*.data/data; do cp -r "$data/." "$work/onednn"; done
  # The wheel holds the library three times instead of links.
  (cd "$work/onednn/lib" && ln -sf libdnnl.so.3.* libdnnl.so.3 && ln -sf libdnnl.so.3 libdnnl.so)
  rm -rf "$deps/onednn"
  mv "$work/onednn" "$deps/onednn"
}

install_cudnn_frontend() {
  [ -e "$deps/cudnn_frontend/include/cudnn_frontend.h" ] && return
  python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
  echo "setup: fetching cudnn-frontend into $deps/cudnn_frontend"
  local work
  work=$(mktemp -d "$deps/cudnn_frontend.XXXXXX")
  trap "rm -rf '$work'" EXIT
  cat >"$work/wheels.txt" <<'END'
nvidia-cudnn-frontend==1.32.0 --hash=sha256:c6006556017a4d1c914c52a556c71b1267f2d6a0500f742e7b4edef539878df0
END
  # Wheels for all versions of Python hold the same headers; the sum is of this one.
  python3 -m pip download -q --no-deps --only-binary :all: --python-version 3.11 --implementation cp \
    --platform manylinux_2_28_x86_64 -d "$work" -r "$work/wheels.txt" >"$log" 2>&1 ||
    fail "pip could not fetch cudnn-frontend (see $log): $(reason)"
  python3 -m zipfile -e "$work"/*.whl "$work/unpacked"
  mkdir "$work/cudnn_frontend"
  mv "$work/unpacked/include" "$work"/unpacked/*.dist-info/licenses "$work/cudnn_frontend"
  rm -rf "$deps/cudnn_frontend"
  mv "$work/cudnn_frontend" "$deps/cudnn_frontend"
}

install_packages "${packages[@]}"
(install_onednn)  # its temporary folder goes when it ends
[ -z "${NACRE_SETUP_CUDA:-}" ] || (install_cudnn_frontend)
