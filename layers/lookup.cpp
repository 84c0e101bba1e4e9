#include "layers/lookup.h"

namespace nacre {

namespace {

// From tokens to numbers or rows. Without a table it tells types alone.
template <class Item>
class LookupFunction final : public HostFunction {
 public:
  explicit LookupFunction(const Vocabulary<Item>& vocabulary)
      : mode_(vocabulary.config().output_mode),
        depth_(mode_ == CategoryMode::integer ? 0 : vocabulary.depth()),
        table_(vocabulary.table()) {}
  std::string_view name() const override { return LookupConfig<Item>::class_name; }
  Types infer(const Types& in) const override {
    need(!LookupConfig<Item>::texts || in[0].dtype == DType::string, "got numbers {}, wanted texts", in[0]);
    need(LookupConfig<Item>::texts || in[0].dtype != DType::string, "got texts {}, wanted integers", in[0].shape);
    const DType dtype = mode_ == CategoryMode::integer ? DType::int64 : DType::float32;
    return {{dtype, encoded_shape(mode_, in[0].shape, depth_)}};
  }
  std::vector<Tensor> run(std::span<const Tensor> in) const override {
    ensure(table_ != nullptr, "{} was run without a vocabulary", name());
    const Tensor tokens = LookupConfig<Item>::texts ? in[0] : in[0].cast(DType::int64);
    Tensor numbers(DType::int64, tokens.shape());
    for (auto token = tokens.data<Item>().begin(); std::int64_t& number : numbers.writable<std::int64_t>())
      number = table_->number(*token++);
    return {encode_categories(mode_, numbers, depth_, table_->idf())};
  }

 private:
  CategoryMode mode_;
  std::int64_t depth_;
  LookupTableRef<Item> table_;
};

// From numbers to tokens.
template <class Item>
class InverseLookupFunction final : public HostFunction {
 public:
  explicit InverseLookupFunction(LookupTableRef<Item> table) : table_(std::move(table)) {}
  std::string_view name() const override { return LookupConfig<Item>::class_name; }
  Types infer(const Types& in) const override {
    need(in[0].dtype != DType::string, "got texts {}, wanted numbers of tokens", in[0].shape);
    return {{dtype_of<Item>(), in[0].shape}};
  }
  std::vector<Tensor> run(std::span<const Tensor> in) const override {
    ensure(table_ != nullptr, "{} was run without a vocabulary", name());
    const Tensor numbers = in[0].cast(DType::int64);
    Tensor tokens(dtype_of<Item>(), numbers.shape());
    for (auto number = numbers.data<std::int64_t>().begin(); Item& token : tokens.template writable<Item>())
      token = table_->token(*number++);
    return {std::move(tokens)};
  }

 private:
  LookupTableRef<Item> table_;
};

template <class Item>
class LookupLayer final : public ConfiguredLayer<LookupConfig<Item>>, public VocabularyHolder {
 public:
  explicit LookupLayer(LookupConfig<Item> config = {}, LayerOptions options = {})
      : ConfiguredLayer<LookupConfig<Item>>(config, std::move(options)), vocabulary_(config) {
    changed();
  }
  std::vector<std::string> vocabulary() const override { return vocabulary_.tokens(); }
  void set_vocabulary(const std::vector<std::string>& tokens) override {
    vocabulary_.set_texts(tokens);
    changed();
  }
  bool runs_on_host() const override { return true; }
  bool casts_inputs() const override { return false; }
  Assets assets() const override { return vocabulary_.assets(); }
  void load_assets(const Assets& assets) override {
    vocabulary_.load(assets);
    changed();
  }
  std::unique_ptr<Adaptation> adaptation() override { return std::make_unique<Counting>(*this); }
  bool adapted() const override { return vocabulary_.table() != nullptr; }
  Tree config_tree(Style style) const override {
    Tree tree = ConfiguredLayer<LookupConfig<Item>>::config_tree(style);
    if (style == Style::keras) tree.erase("has_input_vocabulary");
    return tree;
  }

 protected:
  Values call(Context& context, const CallArguments& arguments) override {
    HostFunctionRef function;
    if (this->config_.invert) function = std::make_shared<InverseLookupFunction<Item>>(vocabulary_.table());
    else function = std::make_shared<LookupFunction<Item>>(vocabulary_);
    return context.host(std::move(function), {arguments.inputs[0]});
  }

 private:
  class Counting final : public Adaptation {
   public:
    explicit Counting(LookupLayer& layer) : layer_(layer) {}
    void add(const Tensor& batch) override {
      const Tensor tokens = LookupConfig<Item>::texts ? batch : batch.cast(DType::int64);
      const auto all = tokens.template data<Item>();
      const auto samples = static_cast<std::size_t>(tokens.shape().rank() ? tokens.shape()[0] : 1);
      for (std::size_t i = 0; i < samples; ++i)
        counts_.add_sample(all.subspan(i * (all.size() / samples), all.size() / samples));
    }
    void finish() override {
      counts_.give(layer_.vocabulary_);
      layer_.changed();
    }

   private:
    LookupLayer& layer_;
    TokenCounts<Item> counts_;
  };

  void changed() {
    this->config_ = vocabulary_.config();
    this->tables_changed();
  }

  Vocabulary<Item> vocabulary_;
};

}  // namespace

LayerRef StringLookup(StringLookupConfig config, LayerOptions options) {
  return std::make_shared<LookupLayer<std::string>>(std::move(config), std::move(options));
}
LayerRef IntegerLookup(IntegerLookupConfig config, LayerOptions options) {
  return std::make_shared<LookupLayer<std::int64_t>>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> lookup_layers() {
  return {layer_info<LookupLayer<std::string>>(), layer_info<LookupLayer<std::int64_t>>()};
}

}  // namespace nacre
