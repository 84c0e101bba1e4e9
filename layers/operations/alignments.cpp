// Labels for steps without knowing which step each belongs to.
#include "backend/graph/ops/reduce.h"
#include "layers/ctc.h"
#include "layers/operations/functions.h"
#include "layers/operations/operation.h"

namespace nacre::operations {

namespace {

constexpr Family neural("keras.src.ops.nn");

struct BlankField {
  std::int64_t mask_index = 0;
  static void describe(auto&& field) { field("mask_index", &BlankField::mask_index, "the class that is no label"); }
};
struct DecodeFields {
  std::string strategy = "greedy";
  std::int64_t beam_width = 100, top_paths = 1;
  bool merge_repeated = true;
  std::int64_t mask_index = 0;
  static void describe(auto&& field) {
    field("strategy", &DecodeFields::strategy, "greedy; beam_search is not supported here",
          one_of({"greedy", "beam_search"}));
    field("beam_width", &DecodeFields::beam_width, "of beam_search alone", at_least(1));
    field("top_paths", &DecodeFields::top_paths, "of beam_search alone", at_least(1));
    field("merge_repeated", &DecodeFields::merge_repeated, "equal labels in a row are one");
    field("mask_index", &DecodeFields::mask_index, "the class that is no label");
  }
};

Value loss(const BlankField& f, const Operands& in) {
  const Value target = in[0], output = real(in[1]);
  const DType dtype = output.dtype() == DType::float64 ? DType::float64 : DType::float32;
  emit::want_rank(target.shape(), 2);
  emit::want_rank(output.shape(), 3);
  if (!target.shape().known() || !output.shape().known())
    return emit::zeros(output.graph(), {dtype, output.shape().first(1)});
  return emit::ctc(target, ops::cast(output, dtype), {in[2], in[3], f.mask_index});
}

// The most probable class of each step, equal ones in a row merged, without blanks: (1, batch, steps) with -1 behind the
// last label, and minus the sum of the largest scores, (batch, 1).
Values decode(const DecodeFields& f, const Operands& in) {
  if (f.strategy != "greedy")
    throw Error("the strategy '{}' is not supported", f.strategy).hint("use strategy: greedy, or end the model before it").usage();
  const Value x = ops::stop_gradient(ops::cast(real(in[0]), DType::float32));
  emit::want_rank(x.shape(), 3);
  const std::int64_t batch = x.shape()[0], steps = x.shape()[1], classes = emit::known_size(x.shape(), 2);
  if (steps == unknown)
    return {emit::zeros(x.graph(), {DType::int32, {1, batch, unknown}}), emit::zeros(x.graph(), {x.dtype(), {batch, 1}})};
  const std::int64_t blank = emit::blank_class(f.mask_index, classes);
  const Value best = ops::argmax(x, 2);  // (batch, steps)
  const Value lengths = emit::reshape(ops::cast(in[1], DType::int32), {batch, 1});
  const Value step = ops::iota(x.graph(), {DType::int32, {1, steps}}, 1);
  const Value counts = ops::less(step, lengths);
  Value kept = ops::logical_and(counts, ops::not_equal(best, ops::scalar_like(best, static_cast<double>(blank))));
  if (f.merge_repeated) {
    const Value last = ops::pad(ops::slice_axis(best, 1, 0, steps - 1), {0, 1}, {0, 0}, -1);
    kept = ops::logical_and(kept, ops::not_equal(best, last));
  }
  const Value labels = take_along_axis(best, order(ops::logical_not(kept), 1, false), 1);
  const Value number = ops::sum(ops::cast(kept, DType::int32), {1}, true);
  const Value decoded = where(ops::less(step, number), labels, ops::scalar_like(labels, -1));
  const Value scores = ops::max(x, {2}), zero = ops::scalar_like(scores, 0);
  return {ops::expand_dims(decoded, 0), -ops::sum(where(counts, scores, zero), {1}, true)};
}

}  // namespace

Rows alignments() {
  return {
      neural.operation<BlankField>("CTCLoss", "target, output, target_length, output_length",
                                   "Minus the logarithm of the probability that the steps give the labels, summed over all "
                                   "alignments.",
                                   loss),
      neural.operation<DecodeFields>("CTCDecode", "inputs, sequence_lengths",
                                     "The labels of the most probable class of each step, and a score. No gradient flows.", decode),
  };
}

}  // namespace nacre::operations
