#!/usr/bin/env bash
# From nothing to a network that reads digits: installs what is missing, builds nacre, trains, evaluates, draws, predicts.
#   bash tutorials/quickstart.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
run=build/quickstart
nacre=build/release/cli/nacre

fail() { echo "quickstart: $*" >&2; exit 1; }
# Says a command, then runs it.
step() { printf '\n$ %s\n' "$*"; "$@" || fail "'$*' failed"; }

bash tests/setup.sh || fail "the set-up failed"
echo "quickstart: building nacre (minutes the first time)"
cmake --preset release >build/release.log 2>&1 || { cat build/release.log >&2; fail "configuring failed"; }
cmake --build --preset release --target nacre -j "$(nproc)" || fail "the build failed"

rm -rf "$run"
step $nacre summary tutorials/digits.yaml
step $nacre train tutorials/digits.yaml --output $run
step $nacre evaluate $run/model.h5 --data tutorials/digits.yaml
step $nacre plot $run
step $nacre predict $run/model.h5 tutorials/seven.png

cat <<END

That was: a convolutional network described in tutorials/digits.yaml, trained on digits that nacre draws, saved in
$run/model.h5 (Keras opens it), its curves drawn in $run, and tutorials/seven.png read with it: the ten numbers are
the probabilities of the digits 0 to 9.

Try next:
  $nacre train tutorials/digits.yaml train.epochs=8 train.batch_size=32 --output build/longer
  $nacre render tutorials/digits.yaml       # every default filled in
  $nacre predict $run/model.h5 YOUR.png     # a light digit on dark ground, 28 x 28
  $nacre doctor                             # what this machine offers

More, a page for each thing that you may want: tutorials/README.md
END
