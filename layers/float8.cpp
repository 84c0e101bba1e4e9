#include "layers/float8.h"

#include <algorithm>

#include "backend/graph/ops/custom_gradient.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/float8.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"

namespace nacre {

namespace {

// So that the largest value of the history becomes the largest number of the format. Computed as Keras does, by the
// scale's reciprocal.
Value next_scale(Value scale, Value history, Float8Format format) {
  const Value most = ops::max(history, {0}), present = ops::reciprocal(scale);
  const Value wanted = ops::scalar_like(most, largest(format)) / most;
  const Value usable = ops::logical_and(ops::greater(most, ops::scalar_like(most, 0)), ops::is_finite(most));
  return ops::reciprocal(ops::select(usable, wanted, present));
}

// As Keras has it: all move towards the front, and the first takes the place that it left at the end and gives its own
// to the newest.
Value next_history(Value x, Value history) {
  const Value newest = ops::reshape(ops::cast(ops::max(ops::abs(x)), DType::float32), {1});
  const std::int64_t length = history.shape()[0];
  if (length == 1) return newest;
  return ops::concat({newest, ops::slice_axis(history, 0, 2, length), ops::slice_axis(history, 0, 0, 1)}, 0);
}

// The scale as Keras divides by it: of the dtype of what is divided.
Value float8(Value x, Value scale, Float8Format format) {
  return ops::float8(x, ops::cast(ops::cast(scale, x.dtype()), DType::float32), format);
}

// x, rounded, whose gradient is that of the result.
Value factor(Value x, Value scale, Value history) {
  const Values next{next_scale(scale, history, Float8Format::e4m3fn), next_history(x, history)};
  const auto backward = std::make_shared<Graph>();
  const Value slope = backward->input("gradient", x.type());
  backward->output("x", slope);
  backward->output("scale", backward->input("next scale", scale.type()));
  backward->output("history", backward->input("next history", history.type()));
  return ops::custom_gradient({float8(x, scale, Float8Format::e4m3fn)}, {x, scale, history}, next, backward)[0];
}

// y, whose gradient is rounded.
Value result(Value y, Value scale, Value history) {
  const auto backward = std::make_shared<Graph>();
  const Value slope = backward->input("gradient", y.type()), scale_in = backward->input("scale", scale.type()),
              history_in = backward->input("history", history.type());
  backward->output("y", float8(slope, scale_in, Float8Format::e5m2));
  backward->output("scale", next_scale(scale_in, history_in, Float8Format::e5m2));
  backward->output("history", next_history(slope, history_in));
  return ops::custom_gradient({y}, {y, scale, history}, {scale, history}, backward)[0];
}

}  // namespace

bool takes_float8(std::string_view class_name) {
  static constexpr std::string_view classes[] = {
      "Dense", "EinsumDense", "MultiHeadAttention", "GroupQueryAttention", "TransformerEncoder", "TransformerDecoder"};
  return std::ranges::find(classes, class_name) != std::end(classes);
}

Float8Product::Float8Product(const DTypePolicy& policy, const AddWeight& add_weight) {
  const WeightOptions options{.dtype = DType::float32, .overwritten = true};
  const auto add = [&](Scaling& scaling, const std::string& name) {
    scaling.scale = add_weight(name + "_scale", {}, "Ones", options);
    scaling.history = add_weight(name + "_amax_history", {policy.amax_history_length}, "Zeros", options);
  };
  add(inputs_, "inputs");
  add(kernel_, "kernel");
  add(outputs_gradient_, "outputs_grad");
}

Value Float8Product::operator()(Graph& graph, Value x, Value kernel,
                                const std::function<Value(Value x, Value kernel)>& product) const {
  const auto scaled = [&](auto&& function, Value value, const Scaling& scaling) {
    return function(value, graph.latest(scaling.scale), graph.latest(scaling.history));
  };
  return scaled(result, product(scaled(factor, x, inputs_), scaled(factor, kernel, kernel_)), outputs_gradient_);
}

Value Float8Product::bias(Value value) {
  return value.dtype() == DType::float32 ? ops::cast(ops::cast(value, DType::bfloat16), DType::float32) : value;
}

}  // namespace nacre
