// The optimizers, with Keras's names and defaults.
#pragma once

#include "api/train/optimizer_wrappers.h"
#include "api/train/slot_optimizer.h"

namespace nacre {

// --- the optimizers -------------------------------------------------------------------------------------------------

namespace optimizers {

// Fields that all have, with defaults that differ.
template <class Config>
void describe_rate_and_decay(auto&& field) {
  field("learning_rate", &Config::learning_rate, "a number or a schedule");
  field("weight_decay", &Config::weight_decay, "weights shrink by this much times the learning rate at each update");
}

struct SGDConfig {
  static constexpr std::string_view class_name = "SGD";
  static constexpr std::string_view doc = "w -= rate · g, or with momentum m = momentum · m - rate · g; w += m.";
  LearningRate learning_rate = 0.01;
  std::optional<double> weight_decay{};
  double momentum = 0;
  bool nesterov = false;
  static void describe(auto&& field) {
    describe_rate_and_decay<SGDConfig>(field);
    field("momentum", &SGDConfig::momentum, "0: none", between(0, 1));
    field("nesterov", &SGDConfig::nesterov, "look ahead along the momentum");
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: Hinton, "Neural Networks for Machine Learning", lecture 6e (2012); centered: Graves (2013).
struct RMSpropConfig {
  static constexpr std::string_view class_name = "RMSprop";
  static constexpr std::string_view doc = "Gradients divided by the root of their moving mean square.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay{};
  double rho = 0.9, momentum = 0, epsilon = 1e-7;
  bool centered = false;
  static void describe(auto&& field) {
    describe_rate_and_decay<RMSpropConfig>(field);
    field("rho", &RMSpropConfig::rho, "momentum of the mean square", between(0, 1));
    field("momentum", &RMSpropConfig::momentum, "0: none", between(0, 1));
    field("epsilon", &RMSpropConfig::epsilon, "added to the mean square", at_least(0));
    field("centered", &RMSpropConfig::centered, "use the variance instead of the mean square");
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015); amsgrad: Reddi et al. (2018).
struct AdamConfig {
  static constexpr std::string_view class_name = "Adam";
  static constexpr std::string_view doc = "Moving mean of the gradient divided by the root of its moving mean square.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay{};
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  bool amsgrad = false;
  static void describe(auto&& field) {
    describe_rate_and_decay<AdamConfig>(field);
    field("beta_1", &AdamConfig::beta_1, "momentum of the mean", from_below(0, 1));
    field("beta_2", &AdamConfig::beta_2, "momentum of the mean square", from_below(0, 1));
    field("epsilon", &AdamConfig::epsilon, "added to the root", at_least(0));
    field("amsgrad", &AdamConfig::amsgrad, "divide by the largest mean square so far");
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019).
struct AdamWConfig {
  static constexpr std::string_view class_name = "AdamW";
  static constexpr std::string_view doc = "Adam with weight decay.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay = 0.004;
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  bool amsgrad = false;
  static void describe(auto&& field) {
    describe_rate_and_decay<AdamWConfig>(field);
    field("beta_1", &AdamWConfig::beta_1, "momentum of the mean", from_below(0, 1));
    field("beta_2", &AdamWConfig::beta_2, "momentum of the mean square", from_below(0, 1));
    field("epsilon", &AdamWConfig::epsilon, "added to the root", at_least(0));
    field("amsgrad", &AdamWConfig::amsgrad, "divide by the largest mean square so far");
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
  void check() const;
};

// Source: Duchi et al., "Adaptive Subgradient Methods" (2011).
struct AdagradConfig {
  static constexpr std::string_view class_name = "Adagrad";
  static constexpr std::string_view doc = "Gradients divided by the root of the sum of their squares.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay{};
  double initial_accumulator_value = 0.1, epsilon = 1e-7;
  static void describe(auto&& field) {
    describe_rate_and_decay<AdagradConfig>(field);
    field("initial_accumulator_value", &AdagradConfig::initial_accumulator_value, "start of the sum", at_least(0));
    field("epsilon", &AdagradConfig::epsilon, "added to the sum", at_least(0));
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012).
struct AdadeltaConfig {
  static constexpr std::string_view class_name = "Adadelta";
  static constexpr std::string_view doc =
      "Gradients scaled by the ratio of the moving mean squares of changes and gradients.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay{};
  double rho = 0.95, epsilon = 1e-7;
  static void describe(auto&& field) {
    describe_rate_and_decay<AdadeltaConfig>(field);
    field("rho", &AdadeltaConfig::rho, "momentum of the mean squares", between(0, 1));
    field("epsilon", &AdadeltaConfig::epsilon, "added to the mean squares", at_least(0));
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: Kingma and Ba (2015), section 7.
struct AdamaxConfig {
  static constexpr std::string_view class_name = "Adamax";
  static constexpr std::string_view doc = "Adam with a decaying maximum instead of the mean square.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay{};
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  static void describe(auto&& field) {
    describe_rate_and_decay<AdamaxConfig>(field);
    field("beta_1", &AdamaxConfig::beta_1, "momentum of the mean", from_below(0, 1));
    field("beta_2", &AdamaxConfig::beta_2, "decay of the maximum", from_below(0, 1));
    field("epsilon", &AdamaxConfig::epsilon, "added to the maximum", at_least(0));
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: Dozat, "Incorporating Nesterov Momentum into Adam" (2016).
struct NadamConfig {
  static constexpr std::string_view class_name = "Nadam";
  static constexpr std::string_view doc = "Adam that looks ahead along its momentum.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay{};
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  static void describe(auto&& field) {
    describe_rate_and_decay<NadamConfig>(field);
    field("beta_1", &NadamConfig::beta_1, "momentum of the mean", from_below(0, 1));
    field("beta_2", &NadamConfig::beta_2, "momentum of the mean square", from_below(0, 1));
    field("epsilon", &NadamConfig::epsilon, "added to the root", at_least(0));
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
  std::optional<double> shared_start() const { return 1; }  // the product of the momentum schedule
};

// Source: McMahan et al., "Ad Click Prediction: a View from the Trenches" (2013).
struct FtrlConfig {
  static constexpr std::string_view class_name = "Ftrl";
  static constexpr std::string_view doc = "Follow the regularized leader: sparse weights for large linear models.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay{};
  double learning_rate_power = -0.5, initial_accumulator_value = 0.1;
  double l1_regularization_strength = 0, l2_regularization_strength = 0, l2_shrinkage_regularization_strength = 0;
  double beta = 0;
  static void describe(auto&& field) {
    describe_rate_and_decay<FtrlConfig>(field);
    field("learning_rate_power", &FtrlConfig::learning_rate_power, "how fast rates fall, 0: not at all",
          between(-1e9, 0));
    field("initial_accumulator_value", &FtrlConfig::initial_accumulator_value, "start of the sum of squares",
          at_least(0));
    field("l1_regularization_strength", &FtrlConfig::l1_regularization_strength, "makes weights sparse", at_least(0));
    field("l2_regularization_strength", &FtrlConfig::l2_regularization_strength, "makes weights small", at_least(0));
    field("l2_shrinkage_regularization_strength", &FtrlConfig::l2_shrinkage_regularization_strength,
          "adds to gradients only", at_least(0));
    field("beta", &FtrlConfig::beta, "of the paper");
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: Chen et al., "Symbolic Discovery of Optimization Algorithms" (2023).
struct LionConfig {
  static constexpr std::string_view class_name = "Lion";
  static constexpr std::string_view doc = "Steps of one size along the sign of the momentum.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay{};
  double beta_1 = 0.9, beta_2 = 0.99;
  static void describe(auto&& field) {
    describe_rate_and_decay<LionConfig>(field);
    field("beta_1", &LionConfig::beta_1, "momentum of the step", above(0), between(0, 1));
    field("beta_2", &LionConfig::beta_2, "momentum that is kept", between(0, 1));
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: You et al., "Large Batch Optimization for Deep Learning" (2020).
struct LambConfig {
  static constexpr std::string_view class_name = "Lamb";
  static constexpr std::string_view doc = "Adam whose steps are in proportion to the norm of each weight.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay{};
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;
  static void describe(auto&& field) {
    describe_rate_and_decay<LambConfig>(field);
    field("beta_1", &LambConfig::beta_1, "momentum of the mean", from_below(0, 1));
    field("beta_2", &LambConfig::beta_2, "momentum of the mean square", from_below(0, 1));
    field("epsilon", &LambConfig::epsilon, "added to the root", at_least(0));
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost" (2018).
struct AdafactorConfig {
  static constexpr std::string_view class_name = "Adafactor";
  static constexpr std::string_view doc = "Mean squares kept as rows and columns; steps in proportion to the weight.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay{};
  double beta_2_decay = -0.8, epsilon_1 = 1e-30, epsilon_2 = 1e-3, clip_threshold = 1;
  bool relative_step = true;
  static void describe(auto&& field) {
    describe_rate_and_decay<AdafactorConfig>(field);
    field("beta_2_decay", &AdafactorConfig::beta_2_decay, "momentum of the mean square: 1 - step^this");
    field("epsilon_1", &AdafactorConfig::epsilon_1, "added to squares", at_least(0));
    field("epsilon_2", &AdafactorConfig::epsilon_2, "smallest size of a weight", at_least(0));
    field("clip_threshold", &AdafactorConfig::clip_threshold, "largest root mean square of a change", above(0));
    field("relative_step", &AdafactorConfig::relative_step, "the rate is at most 1/√step");
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: Defazio et al., "The Road Less Scheduled" (2024).
struct ScheduleFreeAdamWConfig {
  static constexpr std::string_view class_name = "ScheduleFreeAdamW";
  static constexpr std::string_view doc = "Adam with an average of the weights in place of a schedule.";
  LearningRate learning_rate = 0.0025;
  std::optional<double> weight_decay{};
  double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-8;
  std::int64_t warmup_steps = 0;
  static void describe(auto&& field) {
    describe_rate_and_decay<ScheduleFreeAdamWConfig>(field);
    field("beta_1", &ScheduleFreeAdamWConfig::beta_1, "how near the weight is to the average", above(0), between(0, 1));
    field("beta_2", &ScheduleFreeAdamWConfig::beta_2, "momentum of the mean square", from_below(0, 1));
    field("epsilon", &ScheduleFreeAdamWConfig::epsilon, "added to the root", at_least(0));
    field("warmup_steps", &ScheduleFreeAdamWConfig::warmup_steps, "of a linear warm-up", at_least(0));
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
};

// Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); Liu et al. (2025).
struct MuonConfig {
  static constexpr std::string_view class_name = "Muon";
  static constexpr std::string_view doc = "Orthogonal steps for matrices, Adam for all else.";
  LearningRate learning_rate = 0.001;
  std::optional<double> weight_decay = 0.004;
  double adam_beta_1 = 0.9, adam_beta_2 = 0.999, epsilon = 1e-7;
  std::vector<std::string> exclude_layers{};
  double muon_a = 3.4445, muon_b = -4.775, muon_c = 2.0315, adam_lr_ratio = 1, momentum = 0.95;
  std::int64_t ns_steps = 5;
  bool nesterov = true, exclude_embeddings = true;
  std::optional<double> adam_weight_decay = 0.004, rms_rate = 0.2;
  static void describe(auto&& field) {
    describe_rate_and_decay<MuonConfig>(field);
    field("adam_beta_1", &MuonConfig::adam_beta_1, "Adam's momentum of the mean", from_below(0, 1));
    field("adam_beta_2", &MuonConfig::adam_beta_2, "Adam's momentum of the mean square", from_below(0, 1));
    field("epsilon", &MuonConfig::epsilon, "added to Adam's root", at_least(0));
    field("exclude_layers", &MuonConfig::exclude_layers, "regular expressions: paths of weights that Adam takes");
    field("muon_a", &MuonConfig::muon_a, "coefficient of the iteration");
    field("muon_b", &MuonConfig::muon_b, "coefficient of the iteration");
    field("muon_c", &MuonConfig::muon_c, "coefficient of the iteration");
    field("adam_lr_ratio", &MuonConfig::adam_lr_ratio, "factor of Adam's rate");
    field("momentum", &MuonConfig::momentum, "of the matrices", between(0, 1));
    field("ns_steps", &MuonConfig::ns_steps, "rounds of the iteration", at_least(0));
    field("nesterov", &MuonConfig::nesterov, "look ahead along the momentum");
    field("exclude_embeddings", &MuonConfig::exclude_embeddings, "Adam takes weights with 'embedding' in their path");
    field("adam_weight_decay", &MuonConfig::adam_weight_decay, "decay of the weights that Adam takes");
    field("rms_rate", &MuonConfig::rms_rate, "root mean square of a step, times the rate; null: as it comes");
  }
  OptimizerSlots slots(const Variable& variable) const;
  Value operator()(UpdateStep& step) const;
  std::optional<double> weight_decay_of(const Variable& variable) const;

 private:
  bool uses_adam(const Variable& variable) const;
  Value orthogonalize(Value x) const;
};

using SGD = OptimizerOf<SGDConfig>;
using RMSprop = OptimizerOf<RMSpropConfig>;
using Adam = OptimizerOf<AdamConfig>;
using AdamW = OptimizerOf<AdamWConfig>;
using Adagrad = OptimizerOf<AdagradConfig>;
using Adadelta = OptimizerOf<AdadeltaConfig>;
using Adamax = OptimizerOf<AdamaxConfig>;
using Nadam = OptimizerOf<NadamConfig>;
using Ftrl = OptimizerOf<FtrlConfig>;
using Lion = OptimizerOf<LionConfig>;
using Lamb = OptimizerOf<LambConfig>;
using Adafactor = OptimizerOf<AdafactorConfig>;
using ScheduleFreeAdamW = OptimizerOf<ScheduleFreeAdamWConfig>;
using Muon = OptimizerOf<MuonConfig>;

}  // namespace optimizers

}  // namespace nacre
