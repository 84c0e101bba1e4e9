#include <algorithm>

#include "backend/collective.h"
#include "backend/graph/ops/all_reduce.h"
#include "tests/support/op_cases.h"

namespace nacre::test {

namespace {

bool flip(RandomStream& random) { return draw(random, 0, 1) == 0; }

OpCase::Operand real(Shape shape) { return {{DType::float32, std::move(shape)}}; }
OpCase::Operand weight(Shape shape, Domain domain = {}) { return {{DType::float32, std::move(shape)}, domain, true}; }

// --- windows ------------------------------------------------------------------------------------------------------

// Windows over one to three axes that fit.
struct WindowCase {
  std::vector<std::int64_t> sizes, window, strides, dilations, before, after;
  Padding padding;

  WindowCase(RandomStream& random, std::int64_t largest_dilation)
      : padding(flip(random) ? Padding::same : Padding::valid) {
    const std::int64_t axes = draw(random, 1, 3);
    for (std::int64_t i = 0; i < axes; ++i) {
      window.push_back(draw(random, 1, axes == 3 ? 2 : 3));
      strides.push_back(draw(random, 1, 3));
      dilations.push_back(draw(random, 1, largest_dilation));
      const std::int64_t extent = (window.back() - 1) * dilations.back() + 1;
      sizes.push_back((padding == Padding::same ? 1 : extent) + draw(random, 0, axes == 3 ? 2 : 4));
    }
    if (!flip(random)) return;
    // More places around the axes, fewer than the window spans: it always covers some of the operand's.
    for (std::size_t i = 0; i < window.size(); ++i) {
      const std::int64_t extent = (window[i] - 1) * dilations[i] + 1;
      const std::int64_t most = padding == Padding::same ? (extent - 1) / 2 : extent - 1;
      before.push_back(draw(random, 0, most));
      after.push_back(draw(random, 0, most));
    }
  }
  Shape around(const std::vector<std::int64_t>& spatial, std::int64_t batch, std::int64_t channels) const {
    return Shape{batch} + Shape(spatial) + Shape{channels};
  }
};

struct ConvCase {
  ConvAttrs attrs;
  Shape x, kernel;

  explicit ConvCase(RandomStream& random) {
    WindowCase windows(random, 2);
    std::int64_t channels = draw(random, 1, 3), filters = draw(random, 1, 3);
    switch (draw(random, 0, 2)) {
      case 0: break;
      case 1:  // in groups
        attrs.groups = 2;
        channels *= 2;
        filters *= 2;
        break;
      default:  // depthwise
        attrs.groups = channels;
        filters *= channels;
    }
    x = windows.around(windows.sizes, draw(random, 1, 2), channels);
    kernel = Shape(windows.window) + Shape{channels / attrs.groups, filters};
    attrs.strides = windows.strides;
    attrs.dilations = windows.dilations;
    attrs.padding = windows.padding;
    attrs.before = windows.before;
    attrs.after = windows.after;
  }

  Shape y() const { return op::conv.infer(attrs, {{DType::float32, x}, {DType::float32, kernel}})[0].shape; }
};

OpCase conv_epilogue(RandomStream& random) {
  const ConvCase c(random);
  ConvAttrs attrs = c.attrs;
  const auto kind = static_cast<EpilogueKind>(draw(random, 0, std::ssize(EnumNames<EpilogueKind>::names) - 1));
  attrs.epilogue = {flip(random), flip(random), kind, 0.25, 0.75};
  OpCase result{{real(c.x), weight(c.kernel)},
                [attrs](const Values& x) { return Values{x[0].graph().add(op::conv, attrs, x).out()}; }};
  if (attrs.epilogue.bias) result.operands.push_back(weight({c.kernel[-1]}));
  if (attrs.epilogue.residual) result.operands.push_back(real(c.y()));
  return result;
}

// Channels and windows of which some have kernels of their own.
OpCase pointwise_depthwise(RandomStream& random) {
  const std::int64_t channels = draw(random, 1, 40),
                     filters = flip(random) ? 16 * draw(random, 1, 4) : draw(random, 2, 20),
                     window = draw(random, 2, 5), stride = draw(random, 1, 2), most = window - 1;
  const auto epilogue = [&] {
    constexpr EpilogueKind kinds[] = {EpilogueKind::none, EpilogueKind::relu, EpilogueKind::clip, EpilogueKind::tanh};
    return Epilogue{.bias = flip(random), .activation = kinds[draw(random, 0, 3)], .alpha = -0.25, .beta = 0.75};
  };
  PointwiseDepthwiseAttrs attrs{{.strides = {1, 1}, .dilations = {1, 1}},
                                {.strides = {stride, stride},
                                 .dilations = {1, 1},
                                 .padding = flip(random) ? Padding::same : Padding::valid,
                                 .before = {draw(random, 0, most), draw(random, 0, most)},
                                 .after = {draw(random, 0, most), draw(random, 0, most)},
                                 .groups = filters}};
  attrs.pointwise.epilogue = epilogue();
  attrs.depthwise.epilogue = epilogue();
  OpCase result{{real({draw(random, 1, 3), draw(random, window, 12), draw(random, window, 12), channels}),
                 weight({1, 1, channels, filters})},
                [attrs](const Values& x) { return Values{x[0].graph().add(op::pointwise_depthwise, attrs, x).out()}; }};
  if (attrs.pointwise.epilogue.bias) result.operands.push_back(weight({filters}));
  result.operands.push_back(weight({window, window, 1, filters}));
  if (attrs.depthwise.epilogue.bias) result.operands.push_back(weight({filters}));
  return result;
}

OpCase conv_backward_weights(RandomStream& random) {
  const ConvCase c(random);
  const ConvBackwardWeightsAttrs attrs{c.attrs, c.kernel, flip(random)};
  return {{real(c.x), real(c.y())}, [attrs](const Values& x) {
            const Node& node = x[0].graph().add(op::conv_backward_weights, attrs, x);
            Values results = {node.out(0)};
            if (attrs.bias) results.push_back(node.out(1));
            return results;
          }};
}

OpCase pool(RandomStream& random, Value (*builder)(Value, PoolAttrs)) {
  const WindowCase windows(random, 1);
  const PoolAttrs attrs{windows.window, windows.strides, windows.padding, windows.before, windows.after};
  return {{real(windows.around(windows.sizes, draw(random, 1, 2), draw(random, 1, 3)))},
          [=](const Values& x) { return Values{builder(x[0], attrs)}; }};
}

// --- normalisation ------------------------------------------------------------------------------------------------

OpCase normalization(RandomStream& random, ops::Normalized (*builder)(Value, Value, Value, double)) {
  const std::int64_t channels = draw(random, 3, 5);
  const Shape x = Shape{draw(random, 3, 5)} + draw_shape(random, 0, 2) + Shape{channels};
  const double epsilon = flip(random) ? 1e-3 : 0.1;
  return {{real(x), real({channels}), real({channels})}, [=](const Values& in) {
            const ops::Normalized result = builder(in[0], in[1], in[2], epsilon);
            return Values{result.y, result.mean, result.variance};
          }};
}

// With each epilogue that it may have.
OpCase batch_norm_epilogue(RandomStream& random) {
  const std::int64_t channels = draw(random, 3, 5);
  const Shape x = Shape{draw(random, 3, 5)} + draw_shape(random, 0, 2) + Shape{channels};
  BatchNormAttrs attrs{.epsilon = 0.1, .epilogue = {.residual = flip(random)}};
  const bool clips = !attrs.epilogue.residual && flip(random);
  attrs.epilogue.activation = clips ? EpilogueKind::clip : flip(random) ? EpilogueKind::relu : EpilogueKind::none;
  if (clips) attrs.epilogue.alpha = -0.4, attrs.epilogue.beta = 1.1;
  std::vector<OpCase::Operand> operands{real(x), real({channels}), real({channels})};
  if (attrs.epilogue.residual) operands.push_back(real(x));
  return {std::move(operands), [attrs](const Values& in) {
            const Node& node = in[0].graph().add(op::batch_norm, attrs, in);
            return Values{node.out(0), node.out(1), node.out(2)};
          }};
}

// --- pictures -----------------------------------------------------------------------------------------------------

// Places lie within and around the picture, seldom on an element.
OpCase resample(RandomStream& random) {
  const std::int64_t batch = draw(random, 1, 3), height = draw(random, 1, 5), width = draw(random, 1, 6);
  const ResampleAttrs attrs{static_cast<Sampling>(draw(random, 0, 1)), static_cast<FillMode>(draw(random, 0, 4)), 0.5};
  const Shape places{batch, draw(random, 1, 5), draw(random, 1, 5), 2};
  return {
      {real({batch, height, width, draw(random, 1, 3)}), {{DType::int32, places}, {-20, 40}}},
      [attrs](const Values& x) { return Values{ops::resample(x[0], ops::cast(x[1], DType::float32) * 0.37, attrs)}; }};
}

// --- loops --------------------------------------------------------------------------------------------------------

// h ← tanh(h·w + b + x·scale[i]), with an integer sequence, a carry that only counts and one that stays as it is.
OpCase scan(RandomStream& random, bool nested) {
  const std::int64_t steps = draw(random, 1, 4), batch = draw(random, 1, 3), units = draw(random, 1, 3);
  const bool reverse = flip(random);
  OpCase result;
  result.operands = {real({batch, units}),
                     {{DType::int32, {}}, {0, 5}},
                     real({units}),
                     real({steps, batch, units}),
                     {{DType::int32, {steps}}, {0, 3}},
                     {{DType::float32, {units, units}}, {-1, 1}},
                     {{DType::float32, {3, units}}, {-1, 1}}};
  result.apply = [=](const Values& in) {
    const ops::Scanned scanned =
        ops::scan({in[0], in[1], in[2]}, {in[3], in[4]}, {in[5], in[6]}, reverse,
                  [=](Graph& graph, const Values& carry, const Values& item, const Values& fixed) -> ops::ScanStep {
                    const Value scaled = item[0] * ops::gather(fixed[1], item[1]);
                    Value h = ops::tanh(ops::matmul(carry[0], fixed[0]) + carry[2] + scaled);
                    if (nested) {  // over the rows of the batch
                      const ops::Scanned inner = ops::scan(
                          {carry[2]}, {h, scaled}, {fixed[0]}, !reverse,
                          [](Graph&, const Values& sum, const Values& row, const Values& w) -> ops::ScanStep {
                            const Value next = ops::sin(sum[0] + row[0] * row[1]);
                            return {{next}, {ops::reshape_like(ops::matmul(ops::expand_dims(next, 0), w[0]), row[0])}};
                          });
                      h = h + inner.items[0] * inner.carries[0];
                    }
                    const Value count = carry[1] + graph.constant(Tensor::scalar<std::int32_t>(1));
                    return {{h, count, carry[2]}, {h * scaled, count, ops::cast(item[1], h.dtype())}};
                  });
    Values results = scanned.carries;
    results.insert(results.end(), scanned.items.begin(), scanned.items.end());
    return results;
  };
  return result;
}

// One of three computations of two operands, of which none reaches both in every body; also by numbers beyond them.
OpCase branch(RandomStream& random) {
  const Shape shape = draw_shape(random, 0, 3);
  return {{{{DType::int32, {}}, {-1, 4}}, real(shape), real(shape)}, [](const Values& x) {
            return ops::branch(x[0], {x[1], x[2]},
                               {[](Graph&, const Values& in) {
                                  return Values{in[0] * in[1], ops::sin(in[0])};
                                },
                                [](Graph&, const Values& in) {
                                  return Values{ops::square(in[1]), in[1]};
                                },
                                [](Graph& graph, const Values& in) {
                                  const Value three = graph.scalar(3, in[0].dtype());
                                  return Values{in[0] * three, ops::broadcast_like(three, in[1])};
                                }});
          }};
}

// x ← sin(x·s) + b/2 for as long as a carry that counts is small, at most so often; b is a carry that stays as it is.
OpCase loop(RandomStream& random) {
  const Shape shape = draw_shape(random, 0, 3);
  const std::int64_t most = draw(random, 0, 4), fewer = draw(random, 0, 5);
  return {{real(shape), {{DType::int32, {}}, {0, 2}}, real(shape), {{DType::float32, {}}, {0.5, 1.5}}},
          [=](const Values& x) {
            const ops::Looped looped = ops::loop(
                {x[0], x[1], x[2]}, {x[3]},
                [=](Graph& graph, const Values& carry, const Values&) {
                  return ops::less(carry[1], graph.constant(Tensor::scalar(static_cast<std::int32_t>(fewer))));
                },
                [](Graph& graph, const Values& carry, const Values& fixed) {
                  return Values{ops::sin(carry[0] * fixed[0]) + carry[2] * 0.5,
                                carry[1] + graph.constant(Tensor::scalar<std::int32_t>(1)), carry[2]};
                },
                most);
            Values results = looped.carries;
            results.push_back(looped.steps);
            return results;
          }};
}

// Of as many elements as the count says, which may be below none or above all.
OpCase scan_counted(RandomStream& random) {
  const std::int64_t steps = draw(random, 0, 4);
  const bool reverse = flip(random);
  const Shape shape = draw_shape(random, 0, 2);
  return {{real(shape), real(Shape{steps} + shape), real(shape), {{DType::int32, {}}, {-1, 6}}},
          [=](const Values& x) {
            const ops::Scanned scanned = ops::scan(
                {x[0]}, {x[1]}, {x[2]}, reverse,
                [](Graph&, const Values& carry, const Values& item, const Values& fixed) -> ops::ScanStep {
                  const Value next = ops::sin(carry[0]) * item[0] + fixed[0];
                  return {{next}, {next * item[0]}};
                },
                x[3]);
            return Values{scanned.carries[0], scanned.items[0]};
          }};
}

// y = x₀·x₁ and sin(x₀), whose gradients are given as they are, by residuals.
OpCase custom_gradient(RandomStream& random) {
  const Shape shape = draw_shape(random, 0, 3);
  return {{real(shape), real(shape)}, [](const Values& x) {
            const auto backward = std::make_shared<Graph>();
            Values in;
            for (int i = 0; i < 4; ++i) in.push_back(backward->input(fmt::format("in{}", i), x[0].type()));
            backward->output("dx0", in[0] * in[3] + in[1] * ops::cos(in[2]));
            backward->output("dx1", in[0] * in[2]);
            return ops::custom_gradient({x[0] * x[1], ops::sin(x[0])}, x, x, backward);
          }};
}

// A process by itself: sums are what it has.
class Alone final : public Collective {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  Collective& machine() override { return *this; }
  void all_reduce(void*, std::size_t, Number, Combine) override {}
  std::unique_ptr<Exchange> exchange(std::size_t, Number, Combine) override {
    struct Nothing final : Exchange {
      void start(void*) override {}
      void wait() override {}
    };
    return std::make_unique<Nothing>();
  }
  void broadcast(void*, std::size_t, int) override {}
};

OpCase all_reduce(RandomStream& random) {
  OpCase result;
  for (std::int64_t count = draw(random, 1, 3); count > 0; --count) result.operands.push_back(real(draw_shape(random)));
  result.apply = [](const Values& x) {
    Values wide;
    for (const Value value : x) wide.push_back(ops::cast(value, value.dtype() == DType::float64 ? DType::float64 : DType::float32));
    const auto alone = std::make_shared<Alone>();
    const Values once = ops::all_reduce(alone, wide);
    return ops::all_reduce(alone, once, once[0]);
  };
  return result;
}

// Sight and dropout now and then; heads in groups. A query without any key is looked at in attention_test.cpp:
// differences of scores near -1e9 are lost in rounding.
OpCase attention(RandomStream& random) {
  const std::int64_t batch = draw(random, 1, 2), groups = draw(random, 1, 2), heads = groups * draw(random, 1, 2);
  const std::int64_t features = draw(random, 1, 9);
  std::int64_t queries = draw(random, 1, 40), keys = draw(random, 1, 5);
  if (flip(random)) std::swap(queries, keys);
  AttentionAttrs attrs{
      .scale = flip(random) ? 0.4 : 1.0, .causal = flip(random), .blind = static_cast<Blind>(draw(random, 0, 2))};
  OpCase result{{real({batch, queries, heads, features}), real({batch, keys, groups, features}),
                 real({batch, keys, groups, draw(random, 1, 20)})}};
  attrs.sight = attrs.blind != Blind::nearly_even && flip(random);
  if (attrs.sight)
    result.operands.push_back({{DType::boolean, draw_narrower(random, {batch, heads, queries, keys})}, {0, 2}});
  if (flip(random)) {
    attrs.dropout = draw(random, 0, 9) == 0 ? 1 : 0.3;
    attrs.path = "attention";
    attrs.call = draw(random, 0, 1);
    for (int i = 0; i < 2; ++i) result.operands.push_back({{DType::int64, {}}, {0, 1000}});
  }
  result.apply = [attrs](const Values& x) {
    return Values{ops::attention(x[0], x[1], x[2], attrs.sight ? x[3] : Value(), x[x.size() - 2], x.back(), attrs)};
  };
  return result;
}

OpCase recurrent(RandomStream& random, CellKind cell) {
  const std::int64_t batch = draw(random, 1, 3), steps = draw(random, 1, 3), features = draw(random, 1, 3),
                     units = draw(random, 1, 3), width = gates(cell) * units;
  const RecurrentAttrs attrs{cell, flip(random)};
  OpCase result;
  const Domain small = {-1, 1};
  result.operands = {real({batch, steps, features}), weight({features, width}, small), weight({units, width}, small),
                     weight(cell == CellKind::gru_reset_after ? Shape{2, width} : Shape{width}, small),
                     real({batch, units})};
  if (cell == CellKind::lstm) result.operands.push_back(real({batch, units}));
  result.apply = [attrs](const Values& x) {
    const auto [sequence, h, c] = ops::recurrent(x[0], x[1], x[2], x[3], x[4], x.back(), attrs);
    return c ? Values{sequence, h, c} : Values{sequence, h};
  };
  return result;
}

OpRecord recurrent_record(std::string name, CellKind cell) {
  return {std::move(name), [cell](RandomStream& random) { return recurrent(random, cell); }};
}

}  // namespace

std::vector<OpRecord> structured_records() {
  return {
      {"conv",
       [](RandomStream& random) {
         const ConvCase c(random);
         return OpCase{{real(c.x), weight(c.kernel)},
                       [attrs = c.attrs](const Values& x) { return Values{ops::conv(x[0], x[1], attrs)}; }};
       }},
      {"conv_epilogue", conv_epilogue, 0},
      {"pointwise_depthwise", pointwise_depthwise, 0},
      {"conv_transpose",
       [](RandomStream& random) {
         const ConvCase c(random);
         return OpCase{{real(c.y()), weight(c.kernel)},
                       [c](const Values& x) { return Values{ops::conv_transpose(x[0], x[1], c.attrs, c.x)}; }};
       }},
      {"conv_backward_weights", conv_backward_weights},
      {"max_pool", [](RandomStream& random) { return pool(random, ops::max_pool); }},
      {"average_pool", [](RandomStream& random) { return pool(random, ops::average_pool); }},
      {"resample", resample},
      {"batch_norm", [](RandomStream& random) { return normalization(random, ops::batch_norm); }},
      {"batch_norm_epilogue", batch_norm_epilogue},
      {"layer_norm", [](RandomStream& random) { return normalization(random, ops::layer_norm); }},
      {"scan", [](RandomStream& random) { return scan(random, false); }},
      {"scan_nested", [](RandomStream& random) { return scan(random, true); }},
      {"scan_counted", scan_counted},
      {"branch", branch},
      {"loop", loop},
      {"custom_gradient", custom_gradient},
      {"all_reduce", all_reduce, 0},
      {"attention", attention},
      recurrent_record("recurrent_simple", CellKind::simple),
      recurrent_record("recurrent_lstm", CellKind::lstm),
      recurrent_record("recurrent_gru", CellKind::gru),
      recurrent_record("recurrent_gru_reset_after", CellKind::gru_reset_after),
  };
}

}  // namespace nacre::test
