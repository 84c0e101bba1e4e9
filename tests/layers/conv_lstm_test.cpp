// What ConvLSTM layers promise beyond the formula, which the golden cases hold: shapes, states, dropout.
#include "layers/conv_lstm.h"

#include <gtest/gtest.h>

#include "backend/executable.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/passes/pipeline.h"
#include "tests/support/paths.h"
#include "tests/support/tensors.h"

namespace nacre {
namespace {

Tensor numbers(const Shape& shape) {
  Tensor tensor = Tensor::uninitialised({DType::float32, shape});
  RandomStream random(RandomKey::of(5, "numbers", 0));
  for (float& value : tensor.writable<float>()) value = static_cast<float>(random.normal());
  return tensor;
}

std::vector<Tensor> results_of(const LayerRef& layer, const Tensor& x, bool training = false, std::int64_t seed = 1) {
  Graph graph;
  Context context(graph, training, graph.constant(Tensor::scalar(seed)),
                  graph.constant(Tensor::scalar(std::int64_t{0})));
  const Values outputs = (*layer)(context, {.inputs = {graph.constant(x)}}).outputs;
  layer->initialize(3);
  for (std::size_t i = 0; i < outputs.size(); ++i) graph.output(fmt::format("output{}", i), outputs[i]);
  return Executable(*decompose_missing(graph, reference_backend()), reference_backend()).run();
}

// Steps [begin, end) of (batch, time, …).
Tensor steps(const Tensor& x, std::int64_t begin, std::int64_t end) {
  Graph graph;
  graph.output("y", ops::slice_axis(graph.constant(x), 1, begin, end));
  return Executable(graph, reference_backend()).run()[0];
}

TEST(ConvLSTM, TakesSequencesOfAnyLength) {
  const LayerRef layer =
      ConvLSTM2D({.filters = 3, .kernel_size = 2, .strides = 2, .return_sequences = true, .return_state = true});
  const Symbols outputs = layer.all({Input({unknown, 7, 5, 2})});
  EXPECT_EQ(outputs[0].shape(), (Shape{unknown, unknown, 3, 2, 3}));
  EXPECT_EQ(outputs[1].shape(), (Shape{unknown, 3, 2, 3}));
  EXPECT_EQ(outputs[2].shape(), (Shape{unknown, 3, 2, 3}));
}

TEST(ConvLSTM, SaysWhatItWants) {
  EXPECT_EQ(test::message_of([] {
              ConvLSTM1D({.filters = 1, .kernel_size = 2})(Input({3, 5}));
            }),
            "layer 'conv_lstm1d' (ConvLSTM1D): got input (None, 3, 5), wanted rank 4\n"
            "  hint: put a Reshape layer before it that adds the missing axes");
  EXPECT_EQ(test::message_of([] {
              ConvLSTM1D({.filters = 1, .kernel_size = 2})(Input({3, unknown, 5}));
            }),
            "layer 'conv_lstm1d' (ConvLSTM1D): got input (None, 3, None, 5), wanted a known size in axis 2");
  EXPECT_EQ(test::message_of([] { ConvLSTM1D({.filters = 1, .kernel_size = 2, .strides = 2, .dilation_rate = 2}); }),
            "'dilation_rate': got strides and a dilation_rate above 1, wanted one of them to be 1");
}

TEST(ConvLSTM, StatesAreCarriedFromBatchToBatch) {
  const Tensor x = numbers({2, 2, 6, 4});  // channels first
  ConvLSTMConfig<1> config{.filters = 3, .kernel_size = 2, .padding = Padding::same};
  config.data_format = DataFormat::channels_first;
  const LayerRef whole = ConvLSTM1D(config);
  const Tensor want = results_of(whole, x)[0];
  config.stateful = true;
  const LayerRef parts = ConvLSTM1D(config);
  results_of(parts, steps(x, 0, 1));
  EXPECT_TRUE(test::close(results_of(parts, steps(x, 1, 2))[0], want, 1e-6));
  parts->reset_states();
  results_of(parts, steps(x, 0, 1));
  EXPECT_TRUE(test::close(results_of(parts, steps(x, 1, 2))[0], want, 1e-6));
}

TEST(ConvLSTM, DropsInTrainingAlone) {
  const Tensor x = numbers({2, 3, 6, 4});
  const LayerRef layer = ConvLSTM1D({.filters = 3, .kernel_size = 2, .dropout = 0.4, .recurrent_dropout = 0.3});
  const Tensor plain = results_of(layer, x)[0], first = results_of(layer, x, true, 1)[0];
  EXPECT_TRUE(plain.identical(results_of(layer, x, false, 2)[0]));
  EXPECT_FALSE(first.identical(plain));
  EXPECT_TRUE(first.identical(results_of(layer, x, true, 1)[0]));
  EXPECT_FALSE(first.identical(results_of(layer, x, true, 2)[0]));
}

}  // namespace
}  // namespace nacre
