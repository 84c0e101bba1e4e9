#include "layers/operations.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// The second operand, a tensor or a constant: Keras's argument x2.
Value second_operand(const CallArguments& arguments) {
  if (arguments.inputs.size() == 2) return arguments.inputs[1];
  if (const auto named = arguments.named.find("x2"); named != arguments.named.end()) return named->second.at(0);
  const Tree* constant = arguments.options.find("x2");
  need(constant, "got one operand, wanted two");
  return ops::scalar_like(arguments.inputs[0], constant->is_bool() ? constant->as_bool() : constant->as_number());
}

struct NotEqualConfig {
  static constexpr std::string_view class_name = "NotEqual";
  static constexpr std::string_view doc = "x1 ≠ x2, element by element.";
  static constexpr bool binary = true;
  std::string name{};
  static void describe(auto&& field) { field("name", &NotEqualConfig::name, "unique within its model"); }
  Value operator()(const CallArguments& arguments) const {
    return ops::not_equal(arguments.inputs[0], second_operand(arguments));
  }
};

struct LogicalOrConfig {
  static constexpr std::string_view class_name = "LogicalOr";
  static constexpr std::string_view doc = "x1 or x2, element by element.";
  static constexpr bool binary = true;
  std::string name{};
  static void describe(auto&& field) { field("name", &LogicalOrConfig::name, "unique within its model"); }
  Value operator()(const CallArguments& arguments) const {
    return ops::logical_or(ops::cast(arguments.inputs[0], DType::boolean),
                           ops::cast(second_operand(arguments), DType::boolean));
  }
};

struct AnyConfig {
  static constexpr std::string_view class_name = "Any";
  static constexpr std::string_view doc = "Whether any element along the axes is true.";
  std::string name{};
  std::optional<Axes> axis{};
  bool keepdims = false;
  static void describe(auto&& field) {
    field("name", &AnyConfig::name, "unique within its model");
    field("axis", &AnyConfig::axis, "reduced; null: all");
    field("keepdims", &AnyConfig::keepdims, "reduced axes stay with size 1");
  }
  Value operator()(const CallArguments& arguments) const {
    const Value x = arguments.inputs[0];
    return emit::any(x, axis ? axis->in(x.shape()) : std::vector<std::int64_t>{}, keepdims);
  }
};

struct ExpandDimsConfig {
  static constexpr std::string_view class_name = "ExpandDims";
  static constexpr std::string_view doc = "A new axis of size 1.";
  std::string name{};
  std::int64_t axis = 0;
  static void describe(auto&& field) {
    field("name", &ExpandDimsConfig::name, "unique within its model");
    field("axis", &ExpandDimsConfig::axis, "where it stands in the result", required());
  }
  Value operator()(const CallArguments& arguments) const {
    return ops::expand_dims(arguments.inputs[0], static_cast<int>(axis));
  }
};

template <int value>
struct FilledLikeConfig {
  static constexpr std::string_view class_name = value == 0 ? "ZerosLike" : "OnesLike";
  static constexpr std::string_view doc = value == 0 ? "Zeros in the shape of x." : "Ones in the shape of x.";
  std::string name{};
  std::optional<DType> dtype{};
  static void describe(auto&& field) {
    field("name", &FilledLikeConfig::name, "unique within its model");
    field("dtype", &FilledLikeConfig::dtype, "of the result; null: x's");
  }
  Value operator()(const CallArguments& arguments) const {
    const Value x = arguments.inputs[0];
    return ops::cast(ops::fill_like(x, value), dtype.value_or(x.dtype()));
  }
};

// An operation made of a config with a name and operator()(const CallArguments&); `binary` ones take x1 and x2.
template <Described Config>
class OperationLayer final : public Layer {
 public:
  explicit OperationLayer(Config config) : Layer({.name = config.name}), config_(std::move(config)) {}
  std::string_view class_name() const override { return Config::class_name; }
  Tree config_tree(Style style) const override {
    Config config = config_;
    config.name = style == Style::keras ? own_name() : name();
    Tree tree = write_config(config, style);
    return style == Style::yaml ? without_defaults(fields_of<Config>(), std::move(tree)) : tree;
  }
  bool casts_inputs() const override { return false; }
  bool spreads_inputs() const override { return true; }
  int input_count() const override { return binary ? 0 : 1; }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    need(!binary || inputs.size() == 1 || inputs.size() == 2, "got {} inputs, wanted two", inputs.size());
  }
  Values call(Context&, const CallArguments& arguments) override { return {config_(arguments)}; }

 private:
  static constexpr bool binary = requires { Config::binary; };
  Config config_;
};

template <Described Config>
ClassInfo<Layer> operation_info() {
  return {Config::class_name, Config::doc, "keras.src.ops.numpy", {&fields_of<Config>()},
          [](const Tree& tree) { return std::make_shared<OperationLayer<Config>>(read_config<Config>(tree)); }};
}

}  // namespace

std::vector<ClassInfo<Layer>> operation_layers() {
  return {operation_info<NotEqualConfig>(),      operation_info<LogicalOrConfig>(),
          operation_info<AnyConfig>(),           operation_info<ExpandDimsConfig>(),
          operation_info<FilledLikeConfig<0>>(), operation_info<FilledLikeConfig<1>>()};
}

}  // namespace nacre
