#include "layers/tabular.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"
#include "layers/quantiles.h"

namespace nacre {

// --- numbers in configs -------------------------------------------------------------------------------------------

namespace {

void read_numbers(const Tree& tree, int depth, NumberArray& array) {
  if (!tree.is_sequence()) {
    if (depth != array.shape.rank()) throw Error("lists of different depths").at(tree.mark()).usage();
    return array.values.push_back(tree.as_number());
  }
  const auto size = static_cast<std::int64_t>(tree.items().size());
  if (depth == array.shape.rank() && array.values.empty()) array.shape.append(size);
  else if (depth >= array.shape.rank() || array.shape[depth] != size)
    throw Error("lists of different lengths").at(tree.mark()).usage();
  for (const Tree& item : tree.items()) read_numbers(item, depth + 1, array);
}

Tree write_numbers(const NumberArray& array, int depth, std::size_t& next) {
  if (depth == array.shape.rank()) return array.values[next++];
  Tree list = Tree::sequence();
  for (std::int64_t i = 0; i < array.shape[depth]; ++i) list.push(write_numbers(array, depth + 1, next));
  return list;
}

}  // namespace

void FieldKind<NumberArray>::read(const Tree& tree, NumberArray& value) {
  value = {};
  read_numbers(tree, 0, value);
}

Tree FieldKind<NumberArray>::write(const NumberArray& value, Style) {
  std::size_t next = 0;
  return write_numbers(value, 0, next);
}

Tree FieldKind<NumberArray>::schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("number"), schema_type("array")});
  return schema;
}

namespace {

// --- Normalization ------------------------------------------------------------------------------------------------

class NormalizationLayer;

// Mean and variance per kept element, put together from batches (Chan, Golub and LeVeque, 1979).
class Moments final : public Adaptation {
 public:
  explicit Moments(NormalizationLayer& layer) : layer_(layer) {}
  void add(const Tensor& batch) override;
  void finish() override;

 private:
  NormalizationLayer& layer_;
  std::vector<double> mean_, deviations_;  // mean, and the sum of squared distances from it
  std::int64_t count_ = 0;
};

class NormalizationLayer final : public ConfiguredLayer<NormalizationConfig> {
 public:
  explicit NormalizationLayer(NormalizationConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    const auto& [axis, mean, variance, invert] = config_;
    if (mean.has_value() != variance.has_value()) throw Error("'mean' and 'variance' are given together").usage();
    if (!mean) return;
    if (mean->shape != variance->shape)
      throw Error("'mean' has the shape {}, 'variance' {}", mean->shape, variance->shape).usage();
    if (mean->shape.rank() > static_cast<int>(axes().axes.size()))
      throw Error("'mean' has the shape {} for {} axes", mean->shape, axes().axes.size()).usage();
  }
  bool supports_masking() const override { return true; }
  std::unique_ptr<Adaptation> adaptation() override {
    return config_.mean ? nullptr : std::make_unique<Moments>(*this);
  }
  bool adapted() const override { return config_.mean || (mean_ && mean_->has_value()); }
  Tree config_tree(Style style) const override {
    Tree tree = ConfiguredLayer::config_tree(style);
    if (style != Style::keras) return tree;
    Tree list = Tree::sequence();  // Keras writes a list, [] for all axes together
    for (std::int64_t axis : axes().axes) list.push(axis);
    tree.set("axis", std::move(list));
    return tree;
  }

  // The kept axes, for data of this shape.
  std::vector<std::int64_t> kept(const Shape& shape) const { return axes().in(shape); }
  void assign(Tensor mean, Tensor variance, std::int64_t count) {
    mean_->assign(std::move(mean));
    variance_->assign(std::move(variance));
    count_->assign(Tensor::scalar(count));
    tables_changed();
  }

 protected:
  void build(const std::vector<Shape>& inputs) override {
    Shape sizes, spread;  // of the kept axes alone, and with size 1 at the others
    const std::vector<std::int64_t> keeps = kept(inputs[0]);
    for (int axis = 0; axis < inputs[0].rank(); ++axis) {
      const bool keep = std::ranges::find(keeps, axis) != keeps.end();
      spread.append(keep ? emit::known_size(inputs[0], axis) : 1);
      if (keep) sizes.append(spread[axis]);
    }
    broadcast_ = spread;
    if (!config_.mean) {
      const WeightOptions frozen{.trainable = false};
      mean_ = add_weight("mean", sizes, "Zeros", frozen);
      variance_ = add_weight("variance", sizes, "Ones", frozen);
      count_ = add_weight("count", {}, "Zeros", {.trainable = false, .dtype = DType::int64});
      return;
    }
    // What is given lies along the last of the kept axes.
    const Shape& given = config_.mean->shape;
    broadcast_ = Shape(std::vector<std::int64_t>(static_cast<std::size_t>(spread.rank()), 1));
    for (int i = 1; i <= given.rank(); ++i) {
      const auto axis = static_cast<int>(keeps[keeps.size() - static_cast<std::size_t>(i)]);
      need(given[-i] == 1 || given[-i] == spread[axis], "'mean' has the shape {}, the input {}", given, inputs[0]);
      broadcast_.set(axis, given[-i]);
    }
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const DType dtype = this->dtype().compute();
    const Value x = ops::cast(arguments.inputs[0], dtype);
    const auto moment = [&](const VariableRef& learned, const std::optional<NumberArray>& given) {
      if (learned) return ops::reshape(value(context, learned), broadcast_);
      return context.graph().constant(Tensor::of<double>(broadcast_, given->values).cast(dtype));
    };
    const Value mean = moment(mean_, config_.mean);
    const Value root = ops::sqrt(moment(variance_, config_.variance));
    const Value deviation = ops::maximum(root, ops::scalar_like(root, smallest_deviation));
    return {config_.invert ? mean + x * deviation : (x - mean) / deviation};
  }

 private:
  static constexpr double smallest_deviation = 1e-7;  // Keras's epsilon()
  Axes axes() const { return config_.axis.value_or(Axes(std::vector<std::int64_t>{})); }

  VariableRef mean_, variance_, count_;
  Shape broadcast_;  // of mean and variance, to fit the input
};

void Moments::add(const Tensor& batch) {
  Shape shape = batch.shape();
  const std::vector<std::int64_t> keeps = layer_.kept(shape);
  if (std::ranges::find(keeps, 0) == keeps.end() && shape.rank() > 0) shape.set(0, unknown);
  layer_.ensure_built({shape});
  // How far each axis moves in the kept elements; 0: it is reduced.
  std::vector<std::int64_t> strides(static_cast<std::size_t>(shape.rank()), 0);
  std::int64_t elements = 1;
  for (auto axis = keeps.rbegin(); axis != keeps.rend(); ++axis) {
    strides[static_cast<std::size_t>(*axis)] = elements;
    elements *= batch.shape()[static_cast<int>(*axis)];
  }
  if (mean_.empty()) mean_.resize(static_cast<std::size_t>(elements)), deviations_ = mean_;
  if (mean_.size() != static_cast<std::size_t>(elements))
    throw Error("batches of different shapes, the last of {}", batch.shape()).about(layer_.label());
  const std::vector<double> values = batch.to_doubles();
  if (values.empty()) return;
  std::vector<std::size_t> places(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    auto rest = static_cast<std::int64_t>(i);
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      places[i] += static_cast<std::size_t>(rest % batch.shape()[axis] * strides[static_cast<std::size_t>(axis)]);
      rest /= batch.shape()[axis];
    }
  }
  const auto count = static_cast<double>(values.size() / mean_.size()), before = static_cast<double>(count_);
  std::vector<double> mean(mean_.size()), deviations(mean_.size());
  for (std::size_t i = 0; i < values.size(); ++i) mean[places[i]] += values[i] / count;
  for (std::size_t i = 0; i < values.size(); ++i)
    deviations[places[i]] += (values[i] - mean[places[i]]) * (values[i] - mean[places[i]]);
  for (std::size_t k = 0; k < mean.size(); ++k) {
    const double step = mean[k] - mean_[k];
    mean_[k] += step * count / (before + count);
    deviations_[k] += deviations[k] + step * step * before * count / (before + count);
  }
  count_ += static_cast<std::int64_t>(count);
}

void Moments::finish() {
  if (count_ == 0) throw Error("there is no data to learn mean and variance from").about(layer_.label()).usage();
  for (double& deviation : deviations_) deviation /= static_cast<double>(count_);
  const std::vector<Weight> weights = layer_.own_weights();
  const auto tensor = [&](std::size_t weight, const std::vector<double>& values) {
    const Type& type = weights[weight].variable->type();
    return Tensor::of<double>(type.shape, values).cast(type.dtype);
  };
  layer_.assign(tensor(0, mean_), tensor(1, deviations_), 0);  // Keras keeps the count at 0 too
}

// --- CategoryEncoding ---------------------------------------------------------------------------------------------

class CategoryEncodingLayer final : public ConfiguredLayer<CategoryEncodingConfig> {
 public:
  explicit CategoryEncodingLayer(CategoryEncodingConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    want_mode(config_.output_mode, {CategoryMode::one_hot, CategoryMode::multi_hot, CategoryMode::count});
  }
  int input_count() const override { return 0; }
  std::vector<std::string_view> argument_names() const override { return {"inputs", "count_weights"}; }
  Tree config_tree(Style style) const override {
    Tree tree = ConfiguredLayer::config_tree(style);
    if (style == Style::keras) tree.erase("sparse");  // as Keras leaves it out
    return tree;
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    need(inputs.size() == 1 || inputs.size() == 2, "got {} inputs, wanted numbers and perhaps their weights", inputs.size());
    if (inputs.size() < 2) return;
    need(config_.output_mode == CategoryMode::count, "weights count only where output_mode is count");
    need(same(inputs[0], inputs[1]), "got numbers {} with weights {}", inputs[0], inputs[1]);
  }
  Values call(Context&, const CallArguments& arguments) override {
    const bool weighted = arguments.inputs.size() == 2;
    const Value numbers = ops::cast(arguments.inputs[0], DType::int64);
    return {encode_categories(config_.output_mode, numbers, config_.num_tokens,
                              weighted ? dtype().compute() : dtype().variable(),
                              weighted ? arguments.inputs[1] : Value())};
  }
};

// --- Discretization -----------------------------------------------------------------------------------------------

class DiscretizationLayer final : public ConfiguredLayer<DiscretizationConfig> {
 public:
  explicit DiscretizationLayer(DiscretizationConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(std::move(config), std::move(options)) {
    want_mode(config_.output_mode,
              {CategoryMode::integer, CategoryMode::one_hot, CategoryMode::multi_hot, CategoryMode::count});
    if (!config_.num_bins && !config_.bin_boundaries) throw Error("'bin_boundaries' or 'num_bins' is missing").usage();
  }
  std::unique_ptr<Adaptation> adaptation() override {
    return config_.num_bins ? std::make_unique<Quantiles>(*this) : nullptr;
  }
  bool adapted() const override { return config_.bin_boundaries.has_value(); }
  Tree config_tree(Style style) const override {
    Tree tree = ConfiguredLayer::config_tree(style);
    if (style == Style::keras) tree.erase("trainable");  // Keras's class has no such argument
    return tree;
  }

 protected:
  Values call(Context& context, const CallArguments& arguments) override {
    const Value x = arguments.inputs[0];
    Value bin = ops::fill_like(ops::cast(x, DType::int32), 0);
    std::int64_t bins = config_.num_bins.value_or(1);
    if (const auto& bounds = config_.bin_boundaries) {  // else shapes alone are wanted
      bins = static_cast<std::int64_t>(bounds->size()) + 1;
      if (!bounds->empty()) {
        // As many boundaries as are not above x; NaN is above all.
        const Value wide = ops::expand_dims(is_floating(x.dtype()) ? x : ops::cast(x, DType::float32), x.shape().rank());
        const Value limits = context.graph().constant(Tensor::of<double>({bins - 1}, *bounds).cast(wide.dtype()));
        bin = ops::sum(ops::cast(ops::logical_not(ops::less(wide, limits)), DType::int32), {-1});
      }
    }
    if (config_.output_mode == CategoryMode::integer) return {bin};
    return {encode_categories(config_.output_mode, bin, bins, dtype().compute())};
  }

 private:
  class Quantiles final : public Adaptation {
   public:
    explicit Quantiles(DiscretizationLayer& layer) : layer_(layer) {}
    void add(const Tensor& batch) override {
      const Tensor numbers = batch.cast(DType::float32);
      values_.insert(values_.end(), numbers.data<float>().begin(), numbers.data<float>().end());
    }
    void finish() override {
      if (values_.empty()) throw Error("there is no data to learn bins from").about(layer_.label()).usage();
      layer_.config_.bin_boundaries =
          quantile_boundaries(std::move(values_), *layer_.config_.num_bins, layer_.config_.epsilon);
      layer_.tables_changed();
    }

   private:
    DiscretizationLayer& layer_;
    std::vector<float> values_;
  };
};

}  // namespace

LayerRef Normalization(NormalizationConfig config, LayerOptions options) {
  return std::make_shared<NormalizationLayer>(std::move(config), std::move(options));
}
LayerRef CategoryEncoding(CategoryEncodingConfig config, LayerOptions options) {
  return std::make_shared<CategoryEncodingLayer>(std::move(config), std::move(options));
}
LayerRef Discretization(DiscretizationConfig config, LayerOptions options) {
  return std::make_shared<DiscretizationLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> tabular_layers() {
  return {layer_info<NormalizationLayer>(), layer_info<CategoryEncodingLayer>(), layer_info<DiscretizationLayer>()};
}

}  // namespace nacre
