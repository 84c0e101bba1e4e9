#!/bin/sh
# Fine-tuning: a network that knows CIFAR-10's ten kinds of things learns the ten digits from 200 pictures of each. Then the
# same network learns them from scratch, in the same time. Files go to the working folder.
#   sh tutorials/finetune/few_digits.sh FOLDER_OF_MNIST [PICTURES_PER_CLASS [KEY=VALUE …]]
set -e
here=$(dirname "$0")
nacre=${NACRE:-nacre}
base=${BASE:-zoo:mobilenetv2_cifar}
mnist=$1
count=${2:-200}
[ $# -gt 1 ] && shift
shift

"$nacre" lua "$here/few_digits.lua" "$mnist" "$count"
cat > few_digits.yaml <<END
data:
  train: {npz: {file: few_digits.npz}}
  test: {idx: {images: $mnist/t10k-images-idx3-ubyte.gz, labels: $mnist/t10k-labels-idx1-ubyte.gz}}
END

began=$(date +%s)
"$nacre" finetune "$base" --data few_digits.yaml --output finetuned "$@"
seconds=$(($(date +%s) - began + 1))  # timeout takes 0 for no limit; without --foreground it sends the signal twice
echo "fine-tuned in $seconds seconds"

cat > scratch.yaml <<END
include: few_digits.yaml
name: scratch
model: {zoo: "${base#zoo:}", freeze: false, head: {}}
train: {optimizer: adam, loss: sparse_categorical_crossentropy, metrics: [accuracy], epochs: 1000, validation_split: 0.2}
END
case $base in *weights=none*) ;; *\?*) sed -i 's/", freeze/\&weights=none", freeze/' scratch.yaml ;; *) sed -i 's/", freeze/?weights=none", freeze/' scratch.yaml ;; esac
timeout --foreground --signal=INT "$seconds" "$nacre" train scratch.yaml --output scratch || [ -f scratch/model.h5 ]

for run in finetuned scratch; do
  echo "$run, on the 10000 test pictures of MNIST:"
  "$nacre" evaluate $run/model.h5 --data $run/config.yaml --batch-size 100
done
"$nacre" plot finetuned
[ ! -f scratch/history.csv ] || "$nacre" plot scratch  # no epoch may have ended in so short a time
