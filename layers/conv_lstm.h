// Long short-term memory whose products with kernels are convolutions: sequences of signals, pictures or volumes.
#pragma once

#include "backend/graph/ops/conv.h"
#include "layers/fields.h"
#include "layers/recurrent.h"

namespace nacre {

template <std::size_t rank>
struct ConvLSTMConfig {
  static constexpr std::string_view class_names[3] = {"ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"};
  static constexpr std::string_view class_name = class_names[rank - 1];
  static constexpr std::string_view doc =
      "Long short-term memory whose products with the kernels are convolutions over the spatial axes of each step.";
  std::int64_t filters = 0;
  Extent<rank> kernel_size, strides = 1;
  Padding padding = Padding::valid;
  DataFormat data_format = DataFormat::channels_last;
  Extent<rank> dilation_rate = 1;
  Ref<Activation> activation = "tanh", recurrent_activation = "sigmoid";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform", recurrent_initializer = "Orthogonal",
                   bias_initializer = "Zeros";
  bool unit_forget_bias = true;
  Ref<Regularizer> kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, recurrent_constraint, bias_constraint;
  double dropout = 0, recurrent_dropout = 0;
  std::optional<std::int64_t> seed;
  bool return_sequences = false, return_state = false, go_backwards = false, stateful = false, unroll = false,
       zero_output_for_mask = false;
  static void describe(auto&& field) {
    describe_recurrence<ConvLSTMConfig>(field);
    field("filters", &ConvLSTMConfig::filters, "number of output channels", at_least(1), required());
    field("kernel_size", &ConvLSTMConfig::kernel_size, "size of the window, on the inputs and on the state",
          at_least(1), required());
    field("strides", &ConvLSTMConfig::strides, "step of the window on the inputs", at_least(1));
    field("padding", &ConvLSTMConfig::padding,
          "of the inputs: valid: none; same: zeros that keep the size at strides 1");
    field("data_format", &ConvLSTMConfig::data_format, "where the channels of each step are");
    field("dilation_rate", &ConvLSTMConfig::dilation_rate, "distance of the window's elements on the inputs",
          at_least(1));
    describe_gates<ConvLSTMConfig>(field);
  }
};

// Initial states may be given as further inputs or as the named argument "initial_state".
LayerRef ConvLSTM1D(ConvLSTMConfig<1> config, LayerOptions options = {});
LayerRef ConvLSTM2D(ConvLSTMConfig<2> config, LayerOptions options = {});
LayerRef ConvLSTM3D(ConvLSTMConfig<3> config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> conv_lstm_layers();

}  // namespace nacre
