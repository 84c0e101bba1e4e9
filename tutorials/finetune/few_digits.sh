#!/bin/sh
# Fine-tuning: a network that knows CIFAR-10's ten kinds of things learns the ten digits from 200 pictures of each; then the
# same network learns them from scratch. Both are trained alike and for as many steps, all layers of them, so that they take
# the same time; they begin with other weights, which is all the difference. Files go to the working folder.
#   sh tutorials/finetune/few_digits.sh FOLDER_OF_MNIST [PICTURES_PER_CLASS [EPOCHS]]
set -e
here=$(dirname "$0")
nacre=${NACRE:-nacre}
mnist=$1
count=${2:-200}
epochs=${3:-3}

"$nacre" lua "$here/few_digits.lua" "$mnist" "$count"
cat > few_digits.yaml <<END
model: {zoo: mobilenetv2_cifar, freeze: false, head: {dropout: 0.2}}
data:
  train: {npz: {file: few_digits.npz}}
  test: {idx: {images: $mnist/t10k-images-idx3-ubyte.gz, labels: $mnist/t10k-labels-idx1-ubyte.gz}}
  augment: [{RandomTranslation: {height_factor: 0.1, width_factor: 0.1}}]
train:
  optimizer:
    Adam: {learning_rate: {CosineDecay: {initial_learning_rate: 0, warmup_target: 0.004, warmup_steps: 5%, decay_steps: auto}}}
  loss: sparse_categorical_crossentropy
  metrics: [accuracy]
  validation_split: 0.2
END

for run in finetuned scratch; do
  case $run in finetuned) weights= ;; scratch) weights='?weights=none' ;; esac
  began=$(date +%s)
  "$nacre" train few_digits.yaml --output $run "train.epochs=$epochs" "model.zoo=mobilenetv2_cifar$weights"
  echo "$run in $(($(date +%s) - began)) seconds"
done
for run in finetuned scratch; do
  echo "$run, on the 10000 test pictures of MNIST:"
  "$nacre" evaluate $run/model.h5 --data $run/config.yaml --batch-size 100 --no-details
  "$nacre" plot $run
done
