// Recurrent layers and their cells.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

// The fields of the gates, which layers of one kind of cell have in common with the cell itself.
template <class Config>
void describe_gates(auto&& field) {
  field("activation", &Config::activation, "of the candidate state");
  if constexpr (requires { &Config::recurrent_activation; })
    field("recurrent_activation", &Config::recurrent_activation, "of the gates");
  field("use_bias", &Config::use_bias, "add learned offsets");
  field("kernel_initializer", &Config::kernel_initializer, "initial kernel of the inputs");
  field("recurrent_initializer", &Config::recurrent_initializer, "initial kernel of the state");
  field("bias_initializer", &Config::bias_initializer, "initial bias");
  if constexpr (requires { &Config::unit_forget_bias; })
    field("unit_forget_bias", &Config::unit_forget_bias, "the bias of the forget gate starts at 1");
  field("kernel_regularizer", &Config::kernel_regularizer, "penalty on the kernel of the inputs");
  field("recurrent_regularizer", &Config::recurrent_regularizer, "penalty on the kernel of the state");
  field("bias_regularizer", &Config::bias_regularizer, "penalty on the bias");
  if constexpr (requires { &Config::activity_regularizer; })
    field("activity_regularizer", &Config::activity_regularizer, "penalty on the result");
  field("kernel_constraint", &Config::kernel_constraint, "applied to the kernel of the inputs after each update");
  field("recurrent_constraint", &Config::recurrent_constraint, "applied to the kernel of the state after each update");
  field("bias_constraint", &Config::bias_constraint, "applied to the bias after each update");
  field("dropout", &Config::dropout, "share of the inputs that is dropped in training, the same at each step",
        between(0, 1));
  field("recurrent_dropout", &Config::recurrent_dropout, "share of the state that is dropped in training",
        between(0, 1));
  if constexpr (requires { &Config::reset_after; })
    field("reset_after", &Config::reset_after, "the reset gate acts after the product with the recurrent kernel");
  field("seed", &Config::seed, "own seed of dropout; null: that of the experiment");
}
template <class Config>
void describe_cell(auto&& field) {
  field("units", &Config::units, "size of the state and of the result", at_least(1), required());
  describe_gates<Config>(field);
}

// The fields of every recurrent layer.
template <class Config>
void describe_recurrence(auto&& field) {
  field("return_sequences", &Config::return_sequences, "the results of all steps, not of the last alone");
  field("return_state", &Config::return_state, "the last states are further outputs");
  field("go_backwards", &Config::go_backwards, "walks from the last step to the first; results come in that order");
  field("stateful", &Config::stateful, "each batch goes on where the last one ended");
  field("unroll", &Config::unroll, "of no effect on results; loops are compiled either way");
  field("zero_output_for_mask", &Config::zero_output_for_mask, "masked steps give 0 instead of the result before");
}

struct SimpleRNNCellConfig {
  static constexpr std::string_view class_name = "SimpleRNNCell";
  static constexpr std::string_view doc =
      "One step of a fully connected recurrent network: h = activation(x · kernel + h · recurrent_kernel + bias).";
  std::int64_t units = 0;
  Ref<Activation> activation = "tanh";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform", recurrent_initializer = "Orthogonal",
                   bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, recurrent_regularizer, bias_regularizer;
  Ref<WeightConstraint> kernel_constraint, recurrent_constraint, bias_constraint;
  double dropout = 0, recurrent_dropout = 0;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) { describe_cell<SimpleRNNCellConfig>(field); }
};
struct SimpleRNNConfig {
  static constexpr std::string_view class_name = "SimpleRNN";
  static constexpr std::string_view doc = "A fully connected recurrent network.";
  std::int64_t units = 0;
  Ref<Activation> activation = "tanh";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform", recurrent_initializer = "Orthogonal",
                   bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, recurrent_constraint, bias_constraint;
  double dropout = 0, recurrent_dropout = 0;
  std::optional<std::int64_t> seed;
  bool return_sequences = false, return_state = false, go_backwards = false, stateful = false, unroll = false,
       zero_output_for_mask = false;
  static void describe(auto&& field) {
    describe_recurrence<SimpleRNNConfig>(field);
    describe_cell<SimpleRNNConfig>(field);
  }
};

struct LSTMCellConfig {
  static constexpr std::string_view class_name = "LSTMCell";
  static constexpr std::string_view doc = "One step of long short-term memory.";
  std::int64_t units = 0;
  Ref<Activation> activation = "tanh", recurrent_activation = "sigmoid";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform", recurrent_initializer = "Orthogonal",
                   bias_initializer = "Zeros";
  bool unit_forget_bias = true;
  Ref<Regularizer> kernel_regularizer, recurrent_regularizer, bias_regularizer;
  Ref<WeightConstraint> kernel_constraint, recurrent_constraint, bias_constraint;
  double dropout = 0, recurrent_dropout = 0;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) { describe_cell<LSTMCellConfig>(field); }
};
struct LSTMConfig {
  static constexpr std::string_view class_name = "LSTM";
  static constexpr std::string_view doc = "Long short-term memory: input, forget and output gates around a memory c.";
  std::int64_t units = 0;
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
    describe_recurrence<LSTMConfig>(field);
    describe_cell<LSTMConfig>(field);
  }
};

struct GRUCellConfig {
  static constexpr std::string_view class_name = "GRUCell";
  static constexpr std::string_view doc = "One step of a gated recurrent unit.";
  std::int64_t units = 0;
  Ref<Activation> activation = "tanh", recurrent_activation = "sigmoid";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform", recurrent_initializer = "Orthogonal",
                   bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, recurrent_regularizer, bias_regularizer;
  Ref<WeightConstraint> kernel_constraint, recurrent_constraint, bias_constraint;
  double dropout = 0, recurrent_dropout = 0;
  bool reset_after = true;
  std::optional<std::int64_t> seed;
  static void describe(auto&& field) { describe_cell<GRUCellConfig>(field); }
};
struct GRUConfig {
  static constexpr std::string_view class_name = "GRU";
  static constexpr std::string_view doc = "Gated recurrent units: an update gate z and a reset gate r.";
  std::int64_t units = 0;
  Ref<Activation> activation = "tanh", recurrent_activation = "sigmoid";
  bool use_bias = true;
  Ref<Initializer> kernel_initializer = "GlorotUniform", recurrent_initializer = "Orthogonal",
                   bias_initializer = "Zeros";
  Ref<Regularizer> kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer;
  Ref<WeightConstraint> kernel_constraint, recurrent_constraint, bias_constraint;
  double dropout = 0, recurrent_dropout = 0;
  bool reset_after = true;
  std::optional<std::int64_t> seed;
  bool return_sequences = false, return_state = false, go_backwards = false, stateful = false, unroll = false,
       zero_output_for_mask = false;
  static void describe(auto&& field) {
    describe_recurrence<GRUConfig>(field);
    describe_cell<GRUConfig>(field);
  }
};

struct StackedRNNCellsConfig {
  static constexpr std::string_view class_name = "StackedRNNCells";
  static constexpr std::string_view doc = "Several cells as one: each takes the result of the one before.";
  std::vector<Ref<Layer>> cells;
  static void describe(auto&& field) { field("cells", &StackedRNNCellsConfig::cells, "from the input on", required()); }
};
struct RNNConfig {
  static constexpr std::string_view class_name = "RNN";
  static constexpr std::string_view doc = "A cell applied to each step of a sequence.";
  Ref<Layer> cell;
  Ref<Regularizer> activity_regularizer;
  bool return_sequences = false, return_state = false, go_backwards = false, stateful = false, unroll = false,
       zero_output_for_mask = false;
  static void describe(auto&& field) {
    describe_recurrence<RNNConfig>(field);
    field("cell", &RNNConfig::cell, "LSTMCell, GRUCell, SimpleRNNCell or StackedRNNCells", required());
    field("activity_regularizer", &RNNConfig::activity_regularizer, "penalty on the result");
  }
};

LayerRef SimpleRNNCell(SimpleRNNCellConfig config, LayerOptions options = {});
LayerRef LSTMCell(LSTMCellConfig config, LayerOptions options = {});
LayerRef GRUCell(GRUCellConfig config, LayerOptions options = {});
LayerRef StackedRNNCells(StackedRNNCellsConfig config, LayerOptions options = {});
// Initial states may be given as further inputs or as the named argument "initial_state".
LayerRef SimpleRNN(SimpleRNNConfig config, LayerOptions options = {});
LayerRef LSTM(LSTMConfig config, LayerOptions options = {});
LayerRef GRU(GRUConfig config, LayerOptions options = {});
LayerRef RNN(RNNConfig config, LayerOptions options = {});

std::vector<ClassInfo<Layer>> recurrent_layers();

}  // namespace nacre
