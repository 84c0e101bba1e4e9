#include "layers/text.h"

#include <algorithm>
#include <numeric>

#include "layers/tokens.h"

namespace nacre {

NgramLengths::NgramLengths(std::int64_t largest) : lengths(static_cast<std::size_t>(std::max<std::int64_t>(largest, 0))) {
  std::iota(lengths.begin(), lengths.end(), 1);
}

void FieldKind<NgramLengths>::read(const Tree& tree, NgramLengths& value) {
  if (!tree.is_sequence()) {
    constexpr std::int64_t longest = 1000;
    const std::int64_t largest = tree.as_integer();
    if (largest > longest) throw Error("got {}, wanted at most {}", largest, longest).at(tree.mark()).usage();
    value = NgramLengths(largest);
  } else {
    std::vector<std::int64_t> lengths;
    FieldKind<std::vector<std::int64_t>>::read(tree, lengths);
    value = NgramLengths(std::move(lengths));
  }
}

Tree FieldKind<NgramLengths>::write(const NgramLengths& value, Style style) {
  if (value.upto) return static_cast<std::int64_t>(value.lengths.size());
  return FieldKind<std::vector<std::int64_t>>::write(value.lengths, style);
}

Tree FieldKind<NgramLengths>::schema() {
  Tree schema;
  schema.set("anyOf", Tree::Sequence{schema_type("integer"), FieldKind<std::vector<std::int64_t>>::schema()});
  return schema;
}

std::string standardized(std::string text, const std::optional<Standardize>& rule) {
  if (rule && *rule != Standardize::strip_punctuation) text = lower_ascii(std::move(text));
  if (rule && *rule != Standardize::lower) text = without_punctuation(std::move(text));
  return text;
}

namespace {

// The samples of a batch, each as its tokens.
class Tokenizer {
 public:
  explicit Tokenizer(const TextVectorizationConfig& config)
      : standardize_(config.standardize), split_(config.split), ngrams_(config.ngrams) {}

  // Whether a sample has as many tokens as texts.
  bool keeps_places() const { return !split_ && !ngrams_; }

  void check(const Type& texts) const {
    need(texts.dtype == DType::string, "got numbers {}, wanted texts", texts);
    const Shape& shape = texts.shape;
    need(shape.rank() >= 1, "got a single text, wanted a batch of them");
    if (split_) need(shape.rank() == 1 || (shape.rank() == 2 && same(shape[1], 1)), "got texts {}, wanted one per sample", shape);
    else if (ngrams_) need(shape.rank() == 2, "got texts {}, wanted (batch, words)", shape);
  }

  std::vector<Tokens> operator()(const Tensor& texts) const {
    const auto all = texts.data<std::string>();
    const auto samples = static_cast<std::size_t>(texts.shape()[0]), each = samples ? all.size() / samples : 0;
    std::vector<Tokens> rows(samples);
    for (std::size_t i = 0; i < all.size(); ++i) {
      std::string text = standardized(all[i], standardize_);
      Tokens& row = rows[i / each];
      if (!split_) row.push_back(std::move(text));
      else row = *split_ == TextSplit::whitespace ? words_of(text) : characters_of(text);
    }
    if (ngrams_)
      for (Tokens& row : rows) row = ngrams_of(row, ngrams_->lengths);
    return rows;
  }

 private:
  std::optional<Standardize> standardize_;
  std::optional<TextSplit> split_;
  std::optional<NgramLengths> ngrams_;
};

class TextFunction final : public HostFunction {
 public:
  TextFunction(const TextVectorizationConfig& config, const Vocabulary<std::string>& vocabulary)
      : tokenizer_(config),
        mode_(config.output_mode),
        length_(config.output_sequence_length),
        depth_(mode_ == CategoryMode::integer ? 0 : vocabulary.depth()),
        table_(vocabulary.table()) {}
  std::string_view name() const override { return TextVectorizationConfig::class_name; }

  Types infer(const Types& in) const override {
    tokenizer_.check(in[0]);
    const Shape& texts = in[0].shape;
    if (mode_ == CategoryMode::integer) return {{DType::int64, numbers_shape(texts, unknown)}};
    if (mode_ != CategoryMode::one_hot) return {{DType::float32, {texts[0], depth_}}};
    return {{DType::float32, encoded_shape(mode_, tokenizer_.keeps_places() ? texts : Shape{texts[0], unknown}, depth_)}};
  }

  std::vector<Tensor> run(std::span<const Tensor> in) const override {
    ensure(table_ != nullptr, "{} was run without a vocabulary", name());
    const std::vector<Tokens> rows = tokenizer_(in[0]);
    std::size_t longest = 1;  // at least: nothing computes with empty tensors
    for (const Tokens& row : rows) longest = std::max(longest, row.size());
    Shape shape{in[0].shape()[0], static_cast<std::int64_t>(longest)};
    if (mode_ == CategoryMode::integer) shape = numbers_shape(in[0].shape(), shape[1]);
    else if (mode_ == CategoryMode::one_hot && tokenizer_.keeps_places()) shape = in[0].shape();
    // Padding: number 0, and nothing in rows.
    const bool integer = mode_ == CategoryMode::integer;
    Tensor numbers(DType::int64, shape);
    const auto places = numbers.writable<std::int64_t>();
    if (!integer) std::ranges::fill(places, -1);
    const std::size_t width = rows.empty() ? 0 : places.size() / rows.size();
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (std::size_t k = 0; k < std::min(width, rows[i].size()); ++k) places[i * width + k] = table_->number(rows[i][k]);
    return {encode_categories(mode_, numbers, depth_, table_->idf())};
  }

 private:
  Shape numbers_shape(const Shape& texts, std::int64_t longest) const {
    if (!tokenizer_.keeps_places()) return {texts[0], length_.value_or(longest)};
    Shape shape = texts;
    if (length_ && shape.rank() > 1) shape.set(-1, *length_);
    return shape;
  }

  Tokenizer tokenizer_;
  CategoryMode mode_;
  std::optional<std::int64_t> length_;
  std::int64_t depth_;
  LookupTableRef<std::string> table_;
};

class TextVectorizationLayer final : public ConfiguredLayer<TextVectorizationConfig>, public VocabularyHolder {
 public:
  explicit TextVectorizationLayer(TextVectorizationConfig config = {}, LayerOptions options = {})
      : ConfiguredLayer(config, std::move(options)),
        vocabulary_({.max_tokens = config.max_tokens,
                     .mask_token = "",
                     .vocabulary = config.vocabulary,
                     .idf_weights = config.idf_weights,
                     .output_mode = config.output_mode,
                     .pad_to_max_tokens = config.pad_to_max_tokens,
                     .sparse = config.sparse,
                     .vocabulary_size = config.vocabulary_size}) {
    if (config_.output_sequence_length && config_.output_mode != CategoryMode::integer)
      throw Error("'output_sequence_length' goes with output_mode int").usage();
    changed();
  }
  std::vector<std::string> vocabulary() const override { return vocabulary_.tokens(); }
  void set_vocabulary(const std::vector<std::string>& tokens) override {
    vocabulary_.set_texts(tokens);
    changed();
  }
  bool runs_on_host() const override { return true; }
  bool casts_inputs() const override { return false; }
  // Keras keeps the table in a layer of its own inside this one.
  Assets assets() const override {
    Assets assets = vocabulary_.assets();
    for (const auto& [name, tensor] : std::map(assets.tensors)) assets.tensors.emplace("_lookup_layer/" + name, tensor);
    return assets;
  }
  void load_assets(const Assets& assets) override {
    vocabulary_.load(assets);
    changed();
  }
  std::unique_ptr<Adaptation> adaptation() override { return std::make_unique<Counting>(*this); }
  bool adapted() const override { return vocabulary_.table() != nullptr; }
  Tree config_tree(Style style) const override {
    Tree tree = ConfiguredLayer::config_tree(style);
    if (style == Style::keras) tree.erase("has_input_vocabulary");
    return tree;
  }

 protected:
  Values call(Context& context, const CallArguments& arguments) override {
    return context.host(std::make_shared<TextFunction>(config_, vocabulary_), {arguments.inputs[0]});
  }

 private:
  class Counting final : public Adaptation {
   public:
    explicit Counting(TextVectorizationLayer& layer) : layer_(layer), tokenizer_(layer.config()) {}
    void add(const Tensor& batch) override {
      tokenizer_.check(batch.type());
      for (const Tokens& row : tokenizer_(batch)) counts_.add_sample(row);
    }
    void finish() override {
      counts_.give(layer_.vocabulary_);
      layer_.changed();
    }

   private:
    TextVectorizationLayer& layer_;
    Tokenizer tokenizer_;
    TokenCounts<std::string> counts_;
  };

  void changed() {
    config_.vocabulary = vocabulary_.config().vocabulary;
    config_.idf_weights = vocabulary_.config().idf_weights;
    config_.vocabulary_size = vocabulary_.config().vocabulary_size;
    tables_changed();
  }

  Vocabulary<std::string> vocabulary_;
};

}  // namespace

LayerRef TextVectorization(TextVectorizationConfig config, LayerOptions options) {
  return std::make_shared<TextVectorizationLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> text_layers() { return {layer_info<TextVectorizationLayer>()}; }

}  // namespace nacre
