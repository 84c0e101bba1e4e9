#include "layers/hashing.h"

#include <bit>

#include "backend/graph/ops/elementwise.h"
#include "formats/hash.h"

namespace nacre {

void FieldKind<Salt>::read(const Tree& tree, Salt& value) {
  if (tree.is_sequence() && tree.items().size() != 2)
    throw Error("wanted one number or two, got {}", tree.text()).at(tree.mark()).usage();
  if (tree.is_sequence()) value = Salt({tree.items()[0].as_integer(), tree.items()[1].as_integer()});
  else value = Salt(tree.as_integer());
}

Tree FieldKind<Salt>::write(const Salt& value, Style) { return Tree::Sequence{value.key[0], value.key[1]}; }

Tree FieldKind<Salt>::schema() {
  Tree schema, list = schema_type("array");
  list.set("items", schema_type("integer"));
  schema.set("anyOf", Tree::Sequence{schema_type("integer"), std::move(list)});
  return schema;
}

void FieldKind<Token>::read(const Tree& tree, Token& value) {
  if (tree.is_string()) value.value = tree.as_string();
  else value.value = tree.as_integer();
}

Tree FieldKind<Token>::write(const Token& value, Style) {
  return std::visit([](const auto& token) { return Tree(token); }, value.value);
}

Tree FieldKind<Token>::schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("string"), schema_type("integer")});
  return schema;
}

std::int64_t hash_bucket(std::string_view text, std::int64_t buckets, const std::optional<Salt>& salt) {
  const auto hash = salt ? sip_hash(text, std::bit_cast<std::array<std::uint64_t, 2>>(salt->key)) : farm_fingerprint(text);
  return static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(buckets));
}

namespace {

// Layers that give integers have an integer policy in Keras; where none is chosen it is int64.
LayerOptions with_integer_policy(LayerOptions options, CategoryMode mode) {
  if (mode == CategoryMode::integer && options.dtype == DTypePolicy{}) options.dtype.name = "int64";
  return options;
}

class HashingFunction final : public HostFunction {
 public:
  explicit HashingFunction(const HashingConfig& config) : config_(config) {}
  std::string_view name() const override { return HashingConfig::class_name; }
  Types infer(const Types& in) const override {
    const CategoryMode mode = config_.output_mode;
    return {{mode == CategoryMode::integer ? DType::int64 : DType::float32,
             encoded_shape(mode, in[0].shape, config_.num_bins)}};
  }
  std::vector<Tensor> run(std::span<const Tensor> in) const override {
    Tensor numbers(DType::int64, in[0].shape());
    const auto buckets = numbers.writable<std::int64_t>();
    if (in[0].dtype() == DType::string) {
      const auto texts = in[0].data<std::string>();
      for (std::size_t i = 0; i < texts.size(); ++i) buckets[i] = bucket(texts[i], Token{texts[i]});
    } else {
      const Tensor integers = in[0].cast(DType::int64);  // cuts fractions off, after they were compared with the mask
      for (std::size_t i = 0; const std::int64_t number : integers.data<std::int64_t>()) {
        const bool whole = !is_floating(in[0].dtype()) || in[0].at(static_cast<std::int64_t>(i)) == static_cast<double>(number);
        buckets[i++] = bucket(std::to_string(number), whole ? Token{number} : Token{});
      }
    }
    return {encode_categories(config_.output_mode, numbers, config_.num_bins)};
  }

 private:
  std::int64_t bucket(const std::string& text, const Token& token) const {
    if (!config_.mask_value || config_.num_bins == 1) return hash_bucket(text, config_.num_bins, config_.salt);
    return token == *config_.mask_value ? 0 : 1 + hash_bucket(text, config_.num_bins - 1, config_.salt);
  }

  HashingConfig config_;
};

class HashingLayer final : public ConfiguredLayer<HashingConfig> {
 public:
  explicit HashingLayer(HashingConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(config, with_integer_policy(std::move(options), config.output_mode)) {
    want_mode(config_.output_mode,
              {CategoryMode::integer, CategoryMode::one_hot, CategoryMode::multi_hot, CategoryMode::count});
    const DType given = dtype().compute();
    if (config_.output_mode == CategoryMode::integer && given != DType::int64 && given != DType::int32)
      throw Error("'dtype': got {} for output_mode int, wanted int32 or int64", dtype().name).usage();
  }
  bool runs_on_host() const override { return true; }
  bool casts_inputs() const override { return false; }

 protected:
  Values call(Context& context, const CallArguments& arguments) override {
    const Value result = context.host(std::make_shared<HashingFunction>(config_), {arguments.inputs[0]}).front();
    return {ops::cast(result, dtype().compute())};
  }
};

class CrossingFunction final : public HostFunction {
 public:
  explicit CrossingFunction(const HashedCrossingConfig& config) : config_(config) {}
  std::string_view name() const override { return HashedCrossingConfig::class_name; }
  Types infer(const Types& in) const override {
    for (const Type& type : in) {
      need(!is_floating(type.dtype), "got {}, wanted texts or integers", type);
      need(same(type.shape, in[0].shape), "got inputs {} and {}, wanted equal shapes", in[0].shape, type.shape);
    }
    const Shape& shape = in[0].shape;
    need(shape.rank() < 2 || (shape.rank() == 2 && same(shape[1], 1)), "got inputs {}, wanted (batch,) or (batch, 1)", shape);
    const CategoryMode mode = config_.output_mode;
    return {{mode == CategoryMode::integer ? DType::int64 : DType::float32, encoded_shape(mode, shape, config_.num_bins)}};
  }
  std::vector<Tensor> run(std::span<const Tensor> in) const override {
    constexpr std::uint64_t key = 0xDECAFCAFFE;  // TensorFlow's
    std::vector<std::uint64_t> hashes(static_cast<std::size_t>(in[0].size()), key);
    for (const Tensor& column : in) {
      if (column.dtype() == DType::string) {
        for (std::size_t i = 0; const std::string& text : column.data<std::string>())
          hashes[i] = joined_fingerprint(hashes[i], farm_fingerprint(text)), ++i;
      } else {
        const Tensor integers = column.cast(DType::int64);
        for (std::size_t i = 0; const std::int64_t number : integers.data<std::int64_t>())
          hashes[i] = joined_fingerprint(hashes[i], static_cast<std::uint64_t>(number)), ++i;
      }
    }
    Tensor numbers(DType::int64, in[0].shape());
    for (std::size_t i = 0; std::int64_t& number : numbers.writable<std::int64_t>())
      number = static_cast<std::int64_t>(hashes[i++] % static_cast<std::uint64_t>(config_.num_bins));
    return {encode_categories(config_.output_mode, numbers, config_.num_bins)};
  }

 private:
  HashedCrossingConfig config_;
};

class HashedCrossingLayer final : public ConfiguredLayer<HashedCrossingConfig> {
 public:
  explicit HashedCrossingLayer(HashedCrossingConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(config, with_integer_policy(std::move(options), config.output_mode)) {
    want_mode(config_.output_mode, {CategoryMode::integer, CategoryMode::one_hot});
  }
  bool runs_on_host() const override { return true; }
  bool casts_inputs() const override { return false; }
  int input_count() const override { return 0; }
  Tree config_tree(Style style) const override {
    Tree tree = ConfiguredLayer::config_tree(style);
    if (style == Style::keras) tree.erase("trainable");  // Keras's class has no such argument
    return tree;
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    need(inputs.size() >= 2, "got {} input, wanted two or more to combine", inputs.size());
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value result = context.host(std::make_shared<CrossingFunction>(config_), arguments.inputs).front();
    return {ops::cast(result, dtype().compute())};
  }
};

}  // namespace

LayerRef Hashing(HashingConfig config, LayerOptions options) {
  return std::make_shared<HashingLayer>(std::move(config), std::move(options));
}
LayerRef HashedCrossing(HashedCrossingConfig config, LayerOptions options) {
  return std::make_shared<HashedCrossingLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> hashing_layers() { return {layer_info<HashingLayer>(), layer_info<HashedCrossingLayer>()}; }

}  // namespace nacre
