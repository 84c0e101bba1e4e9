#include "layers/constant_initializer.h"

namespace nacre {

namespace {

// A number, or an array in row-major order.
struct ConstantValue {
  Shape shape;
  std::vector<double> elements{0.0};
};

// Nested lists, all of one depth and size.
void read_nested(const Tree& tree, std::size_t depth, std::vector<std::int64_t>& sizes, std::vector<double>& elements) {
  if (!tree.is_sequence()) {
    if (depth != sizes.size()) throw Error("the lists of an array differ in depth").at(tree.mark()).usage();
    return elements.push_back(tree.as_number());
  }
  const std::int64_t size = std::ssize(tree.items());
  if (depth == sizes.size() && elements.empty()) sizes.push_back(size);
  if (depth >= sizes.size() || sizes[depth] != size)
    throw Error("the lists of an array differ in size").at(tree.mark()).usage();
  for (const Tree& item : tree.items()) read_nested(item, depth + 1, sizes, elements);
}

struct ConstantConfig {
  static constexpr std::string_view class_name = "Constant";
  static constexpr std::string_view doc = "All elements are the same number, or those of an array.";
  ConstantValue value;
  static void describe(auto&& field) {
    field("value", &ConstantConfig::value, "of every element; an array is repeated along axes that it has not");
  }
};

class Constant final : public Configured<Initializer, ConstantConfig> {
 public:
  using Configured::Configured;
  Tensor operator()(const Shape& shape, DType dtype, RandomKey) const override {
    const auto& [own, elements] = config_.value;
    bool fits = own.rank() <= shape.rank();
    for (int axis = 1; fits && axis <= own.rank(); ++axis) fits = own[-axis] == 1 || own[-axis] == shape[-axis];
    need(fits, "the Constant initializer has an array {} for a weight {}", own, shape);
    Tensor tensor = Tensor::uninitialised({dtype, shape});
    visit(dtype, [&]<class T>(T*) {
      std::vector<std::int64_t> place(static_cast<std::size_t>(shape.rank()), 0);
      for (T& target : tensor.writable<T>()) {
        std::int64_t index = 0;
        for (int axis = 0; axis < own.rank(); ++axis) {
          const std::int64_t at = place[static_cast<std::size_t>(shape.rank() - own.rank() + axis)];
          index = index * own[axis] + (own[axis] == 1 ? 0 : at);
        }
        target = convert<T>(elements[static_cast<std::size_t>(index)]);
        for (int axis = shape.rank(); axis-- > 0;) {
          if (++place[static_cast<std::size_t>(axis)] < shape[axis]) break;
          place[static_cast<std::size_t>(axis)] = 0;
        }
      }
    });
    return tensor;
  }
};

}  // namespace

template <>
struct FieldKind<ConstantValue> {
  // Keras writes an array as {class_name: __numpy__, config: {value: […]}}; Keras 2 as {type: ndarray, value: […]}.
  static void read(const Tree& tree, ConstantValue& value) {
    if (const Tree* config = tree.find("config")) return read(*config, value);
    if (const Tree* inner = tree.find("value")) return read(*inner, value);
    value.elements.clear();
    std::vector<std::int64_t> sizes;
    read_nested(tree, 0, sizes, value.elements);
    value.shape = Shape(sizes);
  }
  static Tree write(const ConstantValue& value, Style style) {
    if (value.shape.rank() == 0) return value.elements.front();
    const double* next = value.elements.data();
    Tree array = nested(value.shape, 0, next);
    if (style != Style::keras) return array;
    Tree object, config;
    config.set("value", std::move(array));
    config.set("dtype", "float32");
    object.set("class_name", "__numpy__");
    object.set("config", std::move(config));
    return object;
  }
  static Tree schema() {
    Tree schema;
    schema.set("type", Tree::Sequence{"number", "array"});
    return schema;
  }

 private:
  static Tree nested(const Shape& shape, int axis, const double*& next) {
    if (axis == shape.rank()) return *next++;
    Tree list = Tree::sequence();
    for (std::int64_t i = 0; i < shape[axis]; ++i) list.push(nested(shape, axis + 1, next));
    return list;
  }
};

ClassInfo<Initializer> constant_initializer() { return class_info<Initializer, Constant>("keras.initializers"); }

}  // namespace nacre
