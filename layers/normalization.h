// Normalisation: by statistics of the batch, of features, of groups of channels.
#pragma once

#include "layers/fields.h"
#include "layers/symbol.h"

namespace nacre {

// Bounds of the corrections of batch renormalisation; null: none.
struct RenormClipping {
  std::optional<double> rmax, rmin, dmax;
  static void describe(auto&& field) {
    field("rmax", &RenormClipping::rmax, "largest factor r");
    field("rmin", &RenormClipping::rmin, "smallest factor r");
    field("dmax", &RenormClipping::dmax, "largest |d| of the shift", at_least(0));
  }
};

struct BatchNormalizationConfig {
  static constexpr std::string_view class_name = "BatchNormalization";
  static constexpr std::string_view doc =
      "(x - mean) / sqrt(variance + epsilon) · gamma + beta per channel; mean and variance are those of the batch in "
      "training, moving averages else.";
  std::int64_t axis = -1;
  double momentum = 0.99, epsilon = 1e-3;
  bool center = true, scale = true;
  Ref<Initializer> beta_initializer = "Zeros", gamma_initializer = "Ones", moving_mean_initializer = "Zeros",
                   moving_variance_initializer = "Ones";
  Ref<Regularizer> beta_regularizer, gamma_regularizer;
  Ref<WeightConstraint> beta_constraint, gamma_constraint;
  bool synchronized = false, renorm = false;
  std::optional<RenormClipping> renorm_clipping;
  double renorm_momentum = 0.99;
  static void describe(auto&& field) {
    field("axis", &BatchNormalizationConfig::axis, "the channels");
    field("momentum", &BatchNormalizationConfig::momentum, "moving = moving · momentum + batch · (1 - momentum)",
          between(0, 1));
    field("epsilon", &BatchNormalizationConfig::epsilon, "added to the variance", at_least(0));
    field("center", &BatchNormalizationConfig::center, "add a learned beta");
    field("scale", &BatchNormalizationConfig::scale, "multiply by a learned gamma");
    field("beta_initializer", &BatchNormalizationConfig::beta_initializer, "initial beta");
    field("gamma_initializer", &BatchNormalizationConfig::gamma_initializer, "initial gamma");
    field("moving_mean_initializer", &BatchNormalizationConfig::moving_mean_initializer, "initial moving mean");
    field("moving_variance_initializer", &BatchNormalizationConfig::moving_variance_initializer,
          "initial moving variance");
    field("beta_regularizer", &BatchNormalizationConfig::beta_regularizer, "penalty on beta");
    field("gamma_regularizer", &BatchNormalizationConfig::gamma_regularizer, "penalty on gamma");
    field("beta_constraint", &BatchNormalizationConfig::beta_constraint, "applied to beta after each update");
    field("gamma_constraint", &BatchNormalizationConfig::gamma_constraint, "applied to gamma after each update");
    field("synchronized", &BatchNormalizationConfig::synchronized,
          "statistics over the batches of all devices; on one device of no effect");
    field("renorm", &BatchNormalizationConfig::renorm,
          "batch renormalisation: training corrects towards moving statistics, x·r + d");
    field("renorm_clipping", &BatchNormalizationConfig::renorm_clipping, "bounds of the corrections r and d");
    field("renorm_momentum", &BatchNormalizationConfig::renorm_momentum,
          "of the moving statistics that renormalisation corrects towards", between(0, 1));
  }
};

struct LayerNormalizationConfig {
  static constexpr std::string_view class_name = "LayerNormalization";
  static constexpr std::string_view doc =
      "(x - mean) / sqrt(variance + epsilon) · gamma + beta over the features of each sample.";
  Axes axis = -1;
  double epsilon = 1e-3;
  bool center = true, scale = true, rms_scaling = false;
  Ref<Initializer> beta_initializer = "Zeros", gamma_initializer = "Ones";
  Ref<Regularizer> beta_regularizer, gamma_regularizer;
  Ref<WeightConstraint> beta_constraint, gamma_constraint;
  static void describe(auto&& field) {
    field("axis", &LayerNormalizationConfig::axis, "the features");
    field("epsilon", &LayerNormalizationConfig::epsilon, "added to the variance", at_least(0));
    field("center", &LayerNormalizationConfig::center, "add a learned beta");
    field("scale", &LayerNormalizationConfig::scale, "multiply by a learned gamma");
    field("rms_scaling", &LayerNormalizationConfig::rms_scaling,
          "divide by the root of the variance alone: no centre, no beta");
    field("beta_initializer", &LayerNormalizationConfig::beta_initializer, "initial beta");
    field("gamma_initializer", &LayerNormalizationConfig::gamma_initializer, "initial gamma");
    field("beta_regularizer", &LayerNormalizationConfig::beta_regularizer, "penalty on beta");
    field("gamma_regularizer", &LayerNormalizationConfig::gamma_regularizer, "penalty on gamma");
    field("beta_constraint", &LayerNormalizationConfig::beta_constraint, "applied to beta after each update");
    field("gamma_constraint", &LayerNormalizationConfig::gamma_constraint, "applied to gamma after each update");
  }
};

struct GroupNormalizationConfig {
  static constexpr std::string_view class_name = "GroupNormalization";
  static constexpr std::string_view doc =
      "Normalises groups of channels of each sample, then applies gamma and beta per channel.";
  std::int64_t groups = 32, axis = -1;
  double epsilon = 1e-3;
  bool center = true, scale = true;
  Ref<Initializer> beta_initializer = "Zeros", gamma_initializer = "Ones";
  Ref<Regularizer> beta_regularizer, gamma_regularizer;
  Ref<WeightConstraint> beta_constraint, gamma_constraint;
  static void describe(auto&& field) {
    field("groups", &GroupNormalizationConfig::groups, "number of groups; -1: one per channel", at_least(-1));
    field("axis", &GroupNormalizationConfig::axis, "the channels");
    field("epsilon", &GroupNormalizationConfig::epsilon, "added to the variance", at_least(0));
    field("center", &GroupNormalizationConfig::center, "add a learned beta");
    field("scale", &GroupNormalizationConfig::scale, "multiply by a learned gamma");
    field("beta_initializer", &GroupNormalizationConfig::beta_initializer, "initial beta");
    field("gamma_initializer", &GroupNormalizationConfig::gamma_initializer, "initial gamma");
    field("beta_regularizer", &GroupNormalizationConfig::beta_regularizer, "penalty on beta");
    field("gamma_regularizer", &GroupNormalizationConfig::gamma_regularizer, "penalty on gamma");
    field("beta_constraint", &GroupNormalizationConfig::beta_constraint, "applied to beta after each update");
    field("gamma_constraint", &GroupNormalizationConfig::gamma_constraint, "applied to gamma after each update");
  }
};

struct RMSNormalizationConfig {
  static constexpr std::string_view class_name = "RMSNormalization";
  static constexpr std::string_view doc = "x / sqrt(mean(x²) + epsilon) · scale over the features of each sample.";
  Axes axis = -1;
  double epsilon = 1e-6;
  static void describe(auto&& field) {
    field("axis", &RMSNormalizationConfig::axis, "the features");
    field("epsilon", &RMSNormalizationConfig::epsilon, "added to the mean square", at_least(0));
  }
};

struct UnitNormalizationConfig {
  static constexpr std::string_view class_name = "UnitNormalization";
  static constexpr std::string_view doc = "x / |x|: each sample's features get length 1.";
  Axes axis = -1;
  static void describe(auto&& field) { field("axis", &UnitNormalizationConfig::axis, "the features"); }
};

LayerRef BatchNormalization(BatchNormalizationConfig config = {}, LayerOptions options = {});
LayerRef LayerNormalization(LayerNormalizationConfig config = {}, LayerOptions options = {});
LayerRef GroupNormalization(GroupNormalizationConfig config = {}, LayerOptions options = {});
LayerRef RMSNormalization(RMSNormalizationConfig config = {}, LayerOptions options = {});
LayerRef UnitNormalization(UnitNormalizationConfig config = {}, LayerOptions options = {});

std::vector<ClassInfo<Layer>> normalization_layers();

}  // namespace nacre
