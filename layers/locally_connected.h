// Convolutions whose kernel is another one at each place. Keras 1 and 2 have them, Keras 3 has not.
#pragma once

#include "backend/graph/ops/conv.h"
#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

// How Keras 2 stores the kernels; the results are the same.
enum class LocalKernel : std::uint8_t {
  windows = 1,  // (places, window·channels, filters), that is one kernel per place; with padding "valid" alone
  dense = 2,    // (input…, channels, output…, filters), of which what lies outside of the windows does not count
  sparse = 3,   // the elements of the dense matrix inside of the windows, by place of the output, then of the input
};
template <>
struct FieldKind<LocalKernel> {
  static void read(const Tree& tree, LocalKernel& value) { value = static_cast<LocalKernel>(tree.as_integer()); }
  static Tree write(LocalKernel value, Style) { return static_cast<std::int64_t>(value); }
  static Tree schema() { return FieldKind<std::int64_t>::schema(); }
};

template <std::size_t rank>
struct LocallyConnectedConfig {
  static constexpr std::string_view class_name = rank == 1 ? "LocallyConnected1D" : "LocallyConnected2D";
  static constexpr std::string_view doc = "A convolution with a kernel and a bias of its own at each place.";
  std::int64_t filters = 0;
  Extent<rank> kernel_size, strides = 1;
  Padding padding = Padding::valid;
  DataFormat data_format = DataFormat::channels_last;
  Ref<Activation> activation = "linear";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform", bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, bias_constraint;
  LocalKernel implementation = LocalKernel::windows;
  static void describe(auto&& field) {
    field("filters", &LocallyConnectedConfig::filters, "number of output channels", at_least(1), required());
    field("kernel_size", &LocallyConnectedConfig::kernel_size, "size of the window", at_least(1), required());
    field("strides", &LocallyConnectedConfig::strides, "step of the window", at_least(1));
    field("padding", &LocallyConnectedConfig::padding,
          "valid: windows that fit; same, of implementations 2 and 3: a window around each step");
    field("data_format", &LocallyConnectedConfig::data_format, "where the channels are");
    field("activation", &LocallyConnectedConfig::activation, "applied last");
    field("use_bias", &LocallyConnectedConfig::use_bias, "add a learned offset per place and channel");
    field("kernel_initializer", &LocallyConnectedConfig::kernel_initializer, "initial kernels");
    field("bias_initializer", &LocallyConnectedConfig::bias_initializer, "initial bias");
    field("kernel_regularizer", &LocallyConnectedConfig::kernel_regularizer, "penalty on the kernels");
    field("bias_regularizer", &LocallyConnectedConfig::bias_regularizer, "penalty on the bias");
    field("activity_regularizer", &LocallyConnectedConfig::activity_regularizer, "penalty on the result");
    field("kernel_constraint", &LocallyConnectedConfig::kernel_constraint, "applied to the kernels after each update");
    field("bias_constraint", &LocallyConnectedConfig::bias_constraint, "applied to the bias after each update");
    field("implementation", &LocallyConnectedConfig::implementation,
          "how the kernels are stored: 1 per window, 2 in a dense matrix, 3 as the elements of a sparse one",
          between(1, 3));
  }
};

LayerRef LocallyConnected1D(LocallyConnectedConfig<1> config, LayerOptions options = {});
LayerRef LocallyConnected2D(LocallyConnectedConfig<2> config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> locally_connected_layers();

}  // namespace nacre
