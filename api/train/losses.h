// Losses: what training makes small. Each is a described config with Keras's names and defaults and a rule that emits
// the loss of every sample.
#pragma once

#include "api/train/class_texts.h"
#include "api/train/loss_functions.h"
#include "formats/config.h"

namespace nacre {

// How the losses of samples become one. sum_over_batch_size and mean: divided by the number of values;
// mean_with_sample_weight: by the sum of the weights.
enum class Reduction : std::uint8_t { sum_over_batch_size, sum, mean, mean_with_sample_weight, none };
template <>
struct EnumNames<Reduction> {
  static constexpr std::string_view names[] = {"sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none"};
};

// What every loss's config has besides its own fields.
struct LossOptions {
  std::string name{};  // "" becomes the class's
  Reduction reduction = Reduction::sum_over_batch_size;
  std::optional<DType> dtype{};  // of computation
  static void describe(auto&& field) {
    field("name", &LossOptions::name, "shown in messages");
    field("reduction", &LossOptions::reduction, "how the losses of the samples become one");
    field("dtype", &LossOptions::dtype, "of the computation; null: float32, or float64 for such predictions");
  }
};

// The loss of each sample and, for sequences and pictures, of each place.
struct SampleLosses {
  Value values;
  Value counted;  // bool, of the shape of `values`: which of them count; null when all do
  SampleLosses(Value values_, Value counted_ = {}) : values(values_), counted(counted_) {}
};

// Immutable. Shapes are known when a loss is emitted. Computes in the dtype of its options, else in y_pred's when that is
// float32 or float64, else in float32.
class Loss : public Configurable<Loss> {
 public:
  explicit Loss(LossOptions options) : options_(std::move(options)) {}

  const std::string& name() const { return options_.name; }
  Reduction reduction() const { return options_.reduction; }

  // Unweighted; errors say what shapes came.
  SampleLosses per_sample(Value y_true, Value y_pred) const;
  // Weighted and reduced. sample_weight: one per sample or per value of per_sample, or null; mask: y_pred's, bool, or
  // null. A masked mean is over the places that count. Source: Keras 3, losses/loss.py. With an exchange the samples are a
  // part of those of all processes; the sum of their losses, each times its share's fraction, is then the loss of the whole.
  Value operator()(Value y_true, Value y_pred, Value sample_weight = {}, Value mask = {}, Exchange* exchange = nullptr) const;

 protected:
  // y_pred in the dtype of computation, y_true too unless it holds integers that are labels (takes_labels).
  virtual SampleLosses emit(Value y_true, Value y_pred) const = 0;
  virtual bool takes_labels() const { return false; }

  LossOptions options_;
};
// Names, and Keras's function names: "mse", "sparse_categorical_crossentropy", …
template <>
Registry<Loss>& registry<Loss>();

// Axes, written as one number or a list; null (none) means all.
struct AxisList {
  std::vector<std::int64_t> axes;
};
template <>
struct FieldKind<AxisList> {
  static void read(const Tree& tree, AxisList& value);
  static Tree write(const AxisList& value, Style style);
  static Tree schema();
};

// A loss made of a config whose operator() emits it: SampleLosses operator()(Value y_true, Value y_pred) const. Its
// `default_name` names objects that are given no name.
template <Described Config_>
class LossOf final : public Loss {
 public:
  using Config = Config_;
  explicit LossOf(Config config = {}, LossOptions options = {}) : Loss(std::move(options)), config_(std::move(config)) {
    if (options_.name.empty()) options_.name = Config::default_name;
  }
  const Config& config() const { return config_; }
  std::string_view class_name() const override { return Config::class_name; }
  Tree config_tree(Style style) const override {
    Tree tree = write_config(options_, config_, style);
    if (!options_.dtype) tree.erase("dtype");  // as Keras, which never writes it
    if (style != Style::yaml) return tree;
    if (options_.name == Config::default_name) tree.erase("name");
    return without_defaults<LossOptions, Config>(std::move(tree));
  }

 protected:
  SampleLosses emit(Value y_true, Value y_pred) const override { return config_(y_true, y_pred); }
  bool takes_labels() const override {
    return requires { Config::takes_labels; };
  }

 private:
  Config config_;
};

// The config of a loss without fields.
template <const ClassTexts& texts, Value (*rule)(Value, Value)>
struct PlainLossConfig {
  static constexpr std::string_view class_name = texts.class_name, default_name = texts.default_name, doc = texts.doc;
  static void describe(auto&&) {}
  SampleLosses operator()(Value y_true, Value y_pred) const { return rule(y_true, y_pred); }
};
template <const ClassTexts& texts, Value (*rule)(Value, Value)>
using PlainLoss = LossOf<PlainLossConfig<texts, rule>>;

// --- the losses -----------------------------------------------------------------------------------------------------

namespace losses {

inline constexpr ClassTexts mean_squared_error_texts{"MeanSquaredError", "mean_squared_error",
                                                     "Mean of the squared errors."};
using MeanSquaredError = PlainLoss<mean_squared_error_texts, mean_squared_error>;
inline constexpr ClassTexts mean_absolute_error_texts{"MeanAbsoluteError", "mean_absolute_error",
                                                      "Mean of the absolute errors."};
using MeanAbsoluteError = PlainLoss<mean_absolute_error_texts, mean_absolute_error>;
inline constexpr ClassTexts mean_absolute_percentage_error_texts{
    "MeanAbsolutePercentageError", "mean_absolute_percentage_error", "Mean of the errors in percent of y_true."};
using MeanAbsolutePercentageError = PlainLoss<mean_absolute_percentage_error_texts, mean_absolute_percentage_error>;
inline constexpr ClassTexts mean_squared_logarithmic_error_texts{
    "MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", "Mean of the squared errors of log(1 + y)."};
using MeanSquaredLogarithmicError = PlainLoss<mean_squared_logarithmic_error_texts, mean_squared_logarithmic_error>;
inline constexpr ClassTexts log_cosh_texts{"LogCosh", "log_cosh", "Mean of the logarithms of the errors' cosh."};
using LogCosh = PlainLoss<log_cosh_texts, log_cosh>;
inline constexpr ClassTexts hinge_texts{"Hinge", "hinge", "Mean of max(1 - y_true y_pred, 0)."};
using Hinge = PlainLoss<hinge_texts, hinge>;
inline constexpr ClassTexts squared_hinge_texts{"SquaredHinge", "squared_hinge", "Mean of max(1 - y_true y_pred, 0)²."};
using SquaredHinge = PlainLoss<squared_hinge_texts, squared_hinge>;
inline constexpr ClassTexts categorical_hinge_texts{
    "CategoricalHinge", "categorical_hinge", "The margin by which the best wrong class beats the right one, plus 1."};
using CategoricalHinge = PlainLoss<categorical_hinge_texts, categorical_hinge>;
inline constexpr ClassTexts kl_divergence_texts{"KLDivergence", "kl_divergence",
                                                "Kullback-Leibler divergence of y_pred from y_true."};
using KLDivergence = PlainLoss<kl_divergence_texts, kl_divergence>;
inline constexpr ClassTexts poisson_texts{"Poisson", "poisson", "Negative log-likelihood of Poisson counts."};
using Poisson = PlainLoss<poisson_texts, poisson>;

struct BinaryCrossentropyConfig {
  static constexpr std::string_view class_name = "BinaryCrossentropy", default_name = "binary_crossentropy";
  static constexpr std::string_view doc = "Cross-entropy of independent yes-or-no labels.";
  bool from_logits = false;
  double label_smoothing = 0;
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    field("from_logits", &BinaryCrossentropyConfig::from_logits, "y_pred is before the sigmoid");
    field("label_smoothing", &BinaryCrossentropyConfig::label_smoothing, "labels move this far towards 1/2",
          between(0, 1));
    field("axis", &BinaryCrossentropyConfig::axis, "averaged over");
  }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

// Source: Lin et al., "Focal Loss for Dense Object Detection" (2017).
struct BinaryFocalCrossentropyConfig {
  static constexpr std::string_view class_name = "BinaryFocalCrossentropy", default_name = "binary_focal_crossentropy";
  static constexpr std::string_view doc = "Binary cross-entropy that weighs hard samples more.";
  bool from_logits = false;
  double label_smoothing = 0;
  std::int64_t axis = -1;
  bool apply_class_balancing = false;
  double alpha = 0.25, gamma = 2;
  static void describe(auto&& field) {
    using Self = BinaryFocalCrossentropyConfig;
    field("from_logits", &Self::from_logits, "y_pred is before the sigmoid");
    field("label_smoothing", &Self::label_smoothing, "labels move this far towards 1/2", between(0, 1));
    field("axis", &Self::axis, "averaged over");
    field("apply_class_balancing", &Self::apply_class_balancing, "weigh class 1 by alpha, class 0 by 1 - alpha");
    field("alpha", &Self::alpha, "weight of class 1");
    field("gamma", &Self::gamma, "exponent of the focus");
  }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

struct CategoricalCrossentropyConfig {
  static constexpr std::string_view class_name = "CategoricalCrossentropy", default_name = "categorical_crossentropy";
  static constexpr std::string_view doc = "Cross-entropy of one-hot labels.";
  bool from_logits = false;
  double label_smoothing = 0;
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    using Self = CategoricalCrossentropyConfig;
    field("from_logits", &Self::from_logits, "y_pred is before the softmax");
    field("label_smoothing", &Self::label_smoothing, "labels move this far towards 1/classes", between(0, 1));
    field("axis", &Self::axis, "of the classes");
  }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

// Source: as BinaryFocalCrossentropy.
struct CategoricalFocalCrossentropyConfig {
  static constexpr std::string_view class_name = "CategoricalFocalCrossentropy",
                                    default_name = "categorical_focal_crossentropy";
  static constexpr std::string_view doc = "Categorical cross-entropy that weighs hard samples more.";
  bool from_logits = false;
  double label_smoothing = 0;
  std::int64_t axis = -1;
  double alpha = 0.25, gamma = 2;
  static void describe(auto&& field) {
    using Self = CategoricalFocalCrossentropyConfig;
    field("from_logits", &Self::from_logits, "y_pred is before the softmax");
    field("label_smoothing", &Self::label_smoothing, "labels move this far towards 1/classes", between(0, 1));
    field("axis", &Self::axis, "of the classes");
    field("alpha", &Self::alpha, "weight of every class");
    field("gamma", &Self::gamma, "exponent of the focus");
  }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

struct SparseCategoricalCrossentropyConfig {
  static constexpr std::string_view class_name = "SparseCategoricalCrossentropy",
                                    default_name = "sparse_categorical_crossentropy";
  static constexpr std::string_view doc =
      "Cross-entropy of integer labels. CategoricalCrossentropy has label_smoothing: data: {one_hot: auto} makes "
      "vectors of them.";
  static constexpr bool takes_labels = true;
  bool from_logits = false;
  std::optional<std::int64_t> ignore_class{};
  std::int64_t axis = -1;
  static void describe(auto&& field) {
    using Self = SparseCategoricalCrossentropyConfig;
    field("from_logits", &Self::from_logits, "y_pred is before the softmax");
    field("ignore_class", &Self::ignore_class, "places with this label do not count");
    field("axis", &Self::axis, "of the classes");
  }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

// Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks" (2018).
struct CategoricalGeneralizedCrossEntropyConfig {
  static constexpr std::string_view class_name = "CategoricalGeneralizedCrossEntropy";
  static constexpr std::string_view default_name = "categorical_generalized_cross_entropy";
  static constexpr std::string_view doc = "(1 - p[label]^q) / q, for noisy integer labels.";
  static constexpr bool takes_labels = true;
  double q = 0.5;
  static void describe(auto&& field) {
    field("q", &CategoricalGeneralizedCrossEntropyConfig::q, "near 0: cross-entropy; near 1: absolute error", above(0),
          from_below(0, 1));
  }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

struct CosineSimilarityConfig {
  static constexpr std::string_view class_name = "CosineSimilarity", default_name = "cosine_similarity";
  static constexpr std::string_view doc = "-cos of the angle between y_true and y_pred.";
  std::int64_t axis = -1;
  static void describe(auto&& field) { field("axis", &CosineSimilarityConfig::axis, "of the vectors"); }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

struct HuberConfig {
  static constexpr std::string_view class_name = "Huber", default_name = "huber_loss";
  static constexpr std::string_view doc = "Squared error near zero, absolute error beyond delta.";
  double delta = 1;
  static void describe(auto&& field) {
    field("delta", &HuberConfig::delta, "where the error becomes linear", above(0));
  }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

struct DiceConfig {
  static constexpr std::string_view class_name = "Dice", default_name = "dice";
  static constexpr std::string_view doc = "1 - the overlap of two sets, 2|A∩B| / (|A| + |B|).";
  AxisList axis{};
  static void describe(auto&& field) { field("axis", &DiceConfig::axis, "summed over; null: all"); }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

// Source: Salehi et al., "Tversky loss function for image segmentation" (2017).
struct TverskyConfig {
  static constexpr std::string_view class_name = "Tversky", default_name = "tversky";
  static constexpr std::string_view doc = "Dice with weights for what is missed and what is too much.";
  double alpha = 0.5, beta = 0.5;
  AxisList axis{};
  static void describe(auto&& field) {
    field("alpha", &TverskyConfig::alpha, "weight of what is in y_true alone");
    field("beta", &TverskyConfig::beta, "weight of what is in y_pred alone");
    field("axis", &TverskyConfig::axis, "summed over; null: all");
  }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

// Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization" (2020).
struct CircleConfig {
  static constexpr std::string_view class_name = "Circle", default_name = "circle";
  static constexpr std::string_view doc =
      "Pulls embeddings of one label together and pushes others apart; y_pred has unit length.";
  static constexpr bool takes_labels = true;
  double gamma = 80, margin = 0.4;
  bool remove_diagonal = true;
  static void describe(auto&& field) {
    field("gamma", &CircleConfig::gamma, "scale", above(0));
    field("margin", &CircleConfig::margin, "relaxation", between(0, 1));
    field("remove_diagonal", &CircleConfig::remove_diagonal, "a sample makes no pair with itself");
  }
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

struct CTCConfig {
  static constexpr std::string_view class_name = "CTC", default_name = "ctc";
  static constexpr std::string_view doc =
      "-log of the probability of all alignments of labels (batch, places), padded with 0, with logits (batch, steps, "
      "classes), whose class 0 is the blank.";
  static constexpr bool takes_labels = true;
  static void describe(auto&&) {}
  SampleLosses operator()(Value y_true, Value y_pred) const;
};

using BinaryCrossentropy = LossOf<BinaryCrossentropyConfig>;
using BinaryFocalCrossentropy = LossOf<BinaryFocalCrossentropyConfig>;
using CategoricalCrossentropy = LossOf<CategoricalCrossentropyConfig>;
using CategoricalFocalCrossentropy = LossOf<CategoricalFocalCrossentropyConfig>;
using SparseCategoricalCrossentropy = LossOf<SparseCategoricalCrossentropyConfig>;
using CategoricalGeneralizedCrossEntropy = LossOf<CategoricalGeneralizedCrossEntropyConfig>;
using CosineSimilarity = LossOf<CosineSimilarityConfig>;
using Huber = LossOf<HuberConfig>;
using Dice = LossOf<DiceConfig>;
using Tversky = LossOf<TverskyConfig>;
using Circle = LossOf<CircleConfig>;
using CTC = LossOf<CTCConfig>;

}  // namespace losses

// What labels are, from the shapes of labels and predictions (batches may be unknown): binary when a prediction has one
// last place; sparse when labels have a rank less, or one last place; else categorical. Source: Keras 3.
enum class LabelKind : std::uint8_t { binary, sparse, categorical };
LabelKind label_kind(const Type& y_true, const Type& y_pred);

// The loss that a compile argument means: "crossentropy" and "ce" become the one for the kind of labels, anything else
// is read_object<Loss>.
std::shared_ptr<Loss> resolve_loss(const Tree& tree, const Type& y_true, const Type& y_pred);

}  // namespace nacre
