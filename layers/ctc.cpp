#include "layers/ctc.h"

#include <cmath>

#include "backend/graph/ops/ops.h"

namespace nacre::emit {

namespace {

// Logarithms of probabilities that are 0: of transitions that do not exist, and (Keras's number on TensorFlow) of ending
// where an alignment does not.
constexpr double impossible = -1e30, improbable = -706.89362354;

// log Σ exp over operands of one shape.
Value log_add(const Values& terms) {
  Value largest = terms.front();
  for (const Value& term : terms) largest = ops::maximum(largest, term);
  largest = ops::stop_gradient(largest);
  Value sum;
  for (const Value& term : terms) sum = sum ? sum + ops::exp(term - largest) : ops::exp(term - largest);
  return largest + ops::log(sum);
}

// What each state was `places` states before, along the last axis.
Value before(Value states, std::int64_t places, double filling) {
  return ops::pad(ops::slice_axis(states, 1, 0, states.shape()[1] - places), {0, places}, {0, 0}, filling);
}

}  // namespace

std::int64_t blank_class(std::int64_t given, std::int64_t classes) {
  const std::int64_t blank = given < 0 ? given + classes : given;
  need(blank >= 0 && blank < classes, "got {} as the blank of {} classes", given, classes);
  return blank;
}

Value ctc(Value labels, Value logits, const CtcExtent& extent) {
  need(labels.shape().rank() == 2, "wants labels of shape (batch, places), got {}", labels.shape());
  need(logits.shape().rank() == 3, "wants logits of shape (batch, steps, classes), got {}", logits.shape());
  const std::int64_t batch = logits.shape()[0], steps = logits.shape()[1], classes = logits.shape()[2];
  const std::int64_t places = labels.shape()[1], states = 2 * places + 1;
  need(labels.shape()[0] == batch && places > 0, "labels {} do not go with logits {}", labels.shape(), logits.shape());
  const std::int64_t blank = blank_class(extent.blank, classes);
  Graph& graph = logits.graph();
  const auto number = [&](std::int64_t value) { return graph.scalar(static_cast<double>(value), DType::int32); };
  labels = ops::cast(labels, DType::int32);
  Value length;  // of the labels
  if (extent.labels) {
    length = ops::reshape(ops::cast(extent.labels, DType::int32), {batch, 1});
    const Value place = ops::iota(graph, {DType::int32, {batch, places}}, 1);
    labels = ops::select(ops::less(place, length), labels, number(blank));
  } else {
    length = ops::sum(ops::cast(ops::not_equal(labels, number(blank)), DType::int32), {1}, true);
  }

  // The states of an alignment: blank, first label, blank, second label, …, blank.
  const Value each = ops::expand_dims(labels, -1), blanks = ops::fill_like(each, static_cast<double>(blank));
  const Value classes_of =
      ops::concat({ops::reshape(ops::concat({blanks, each}, -1), {batch, 2 * places}),
                   ops::slice_axis(ops::reshape(blanks, {batch, places}), 1, 0, 1)}, 1);

  // What each state says about each step: (steps, batch, states).
  const Type grid{DType::int32, {batch, states}};
  const Value row = ops::iota(graph, grid, 0) * number(classes) + classes_of;
  const Value known = ops::logical_and(ops::greater_equal(classes_of, number(0)), ops::less(classes_of, number(classes)));
  const Value table = ops::reshape(ops::transpose(ops::log_softmax(logits), {0, 2, 1}), {batch * classes, steps});
  const Value observed = ops::transpose(ops::gather(table, ops::select(known, row, number(-1))), {2, 0, 1});

  // A label may follow the one before it without a blank between them, unless they are equal.
  const Value differ = ops::not_equal(ops::slice_axis(classes_of, 1, 2, states), ops::slice_axis(classes_of, 1, 0, states - 2));
  const auto float_number = [&](double value) { return graph.scalar(value, logits.dtype()); };
  const Value skips = ops::pad(ops::select(differ, float_number(0), float_number(impossible)), {0, 2}, {0, 0}, impossible);

  const Value state = ops::iota(graph, grid, 1);
  const Value start = ops::select(ops::equal(state, number(0)), float_number(0), float_number(impossible));
  // Steps that do not count leave the states as they are.
  Values items{observed};
  if (extent.steps) {
    const Value step = ops::iota(graph, {DType::int32, {steps, batch, 1}}, 0);
    items.push_back(ops::less(step, ops::reshape(ops::cast(extent.steps, DType::int32), {batch, 1})));
  }
  const Values last = ops::scan({start}, items, {skips}, false,
                                [](Graph&, const Values& carries, const Values& item, const Values& fixed) {
                                  const Value now = carries[0];
                                  Value next = log_add({now, before(now, 1, impossible),
                                                        before(now, 2, impossible) + fixed[0]}) + item[0];
                                  if (item.size() > 1) next = ops::select(item[1], next, now);
                                  return ops::ScanStep{{next}, {}};
                                }).carries;

  // It ends with the last label or the blank after it.
  const Value from_end = state - length * number(2);
  const Value ends = ops::logical_or(ops::equal(from_end, number(0)), ops::equal(from_end, number(-1)));
  const Value paths = last.front() + ops::select(ends, float_number(0), float_number(improbable));
  const Value largest = ops::stop_gradient(ops::max(paths, {1}, true));
  return -(ops::squeeze(largest, 1) + ops::log(ops::sum(ops::exp(paths - largest), {1})));
}

}  // namespace nacre::emit
