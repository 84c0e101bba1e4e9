#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <set>

#include "formats/text.h"
#include "layers/lookup.h"

namespace nacre {

namespace {

std::string shown(const std::string& token) { return fmt::format("'{}'", token); }
std::string shown(std::int64_t token) { return std::to_string(token); }

template <class Item>
Item token_of(const std::string& line) {
  if constexpr (std::is_same_v<Item, std::string>) {
    return line;
  } else {
    std::int64_t number = 0;
    const auto [stop, failure] = std::from_chars(line.data(), line.data() + line.size(), number);
    if (failure != std::errc() || stop != line.data() + line.size())
      throw Error("the vocabulary holds '{}', wanted integers", line);
    return number;
  }
}

template <class Item>
LookupConfig<Item> without_vocabulary(LookupConfig<Item> rules) {
  rules.vocabulary.reset();
  rules.idf_weights.reset();
  return rules;
}

}  // namespace

// --- table --------------------------------------------------------------------------------------------------------

template <class Item>
LookupTable<Item>::LookupTable(const LookupConfig<Item>& rules, std::vector<Item> tokens, const std::vector<double>& idf)
    : rules_(without_vocabulary(rules)) {
  oov_ = rules.mask_token && rules.output_mode == CategoryMode::integer ? 1 : 0;
  first_ = oov_ + rules.num_oov_indices;
  if (!idf.empty() && idf.size() != tokens.size())
    throw Error("got {} idf_weights for {} tokens", idf.size(), tokens.size()).usage();

  const auto is_special = [&](std::size_t place) {
    return tokens[place] == (place < static_cast<std::size_t>(oov_) ? rules.mask_token : rules.oov_token);
  };
  const auto first = static_cast<std::size_t>(first_);
  bool special = tokens.size() >= first;
  for (std::size_t i = 0; special && i < first; ++i) special = is_special(i);
  tokens_.assign(tokens.begin() + static_cast<std::ptrdiff_t>(special ? first : 0), tokens.end());

  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const Item& token = tokens_[i];
    if (!numbers_.emplace(token, first_ + static_cast<std::int64_t>(i)).second)
      throw Error("the vocabulary holds {} twice", shown(token)).usage();
    if (token == rules.mask_token || (rules.invert && token == rules.oov_token))
      throw Error("the vocabulary holds {}, which stands for {} tokens", shown(token), token == rules.mask_token ? "masked" : "unknown")
          .hint("leave special tokens out, or put them all first: the mask, then those for unknown tokens")
          .usage();
  }
  if (rules.max_tokens && size() > *rules.max_tokens)
    throw Error("the vocabulary has {} tokens with the special ones, max_tokens is {}", size(), *rules.max_tokens).usage();

  if (idf.empty()) return;
  // Nothing is known of special tokens that were left out: they weigh as much as the others on average.
  const double average = std::accumulate(idf.begin(), idf.end(), 0.0) / static_cast<double>(idf.size());
  if (!special) idf_.assign(first, static_cast<float>(average));
  for (double weight : idf) idf_.push_back(static_cast<float>(weight));
}

template <class Item>
std::int64_t LookupTable<Item>::number(const Item& token) const {
  if (token == rules_.mask_token) return rules_.output_mode == CategoryMode::integer ? 0 : -1;
  if (const auto found = numbers_.find(token); found != numbers_.end()) return found->second;
  const std::int64_t buckets = rules_.num_oov_indices;
  if (buckets == 0)
    throw Error("{} is not in the vocabulary", shown(token)).hint("num_oov_indices: 1 gives unknown tokens a number").usage();
  if (buckets == 1) return oov_;
  if constexpr (std::is_same_v<Item, std::string>) return oov_ + hash_bucket(token, buckets, rules_.salt);
  else if (rules_.oov_method == OovMethod::farmhash) return oov_ + hash_bucket(std::to_string(token), buckets, rules_.salt);
  else return oov_ + (token % buckets + buckets) % buckets;
}

template <class Item>
Item LookupTable<Item>::token(std::int64_t number) const {
  if (number == 0 && rules_.mask_token) return *rules_.mask_token;
  if (number >= first_ && number < size()) return tokens_[static_cast<std::size_t>(number - first_)];
  if (!rules_.oov_token) throw Error("there is no token with number {}", number).hint("oov_token stands for such").usage();
  return *rules_.oov_token;
}

template <class Item>
std::vector<Item> LookupTable<Item>::vocabulary() const {
  std::vector<Item> all(static_cast<std::size_t>(first_), rules_.oov_token.value_or(Item()));
  if (oov_ > 0) all.front() = *rules_.mask_token;
  all.insert(all.end(), tokens_.begin(), tokens_.end());
  return all;
}

// --- vocabulary ---------------------------------------------------------------------------------------------------

template <class Item>
Vocabulary<Item>::Vocabulary(const LookupConfig<Item>& config) : config_(config) {
  constexpr bool texts = std::is_same_v<Item, std::string>;
  const bool rows = config.output_mode != CategoryMode::integer, weighs = config.output_mode == CategoryMode::tf_idf;
  if (config.pad_to_max_tokens && !config.max_tokens) throw Error("'pad_to_max_tokens' needs 'max_tokens'").usage();
  if (config.invert && rows) throw Error("'invert' goes with output_mode int").usage();
  if (config.sparse && !rows) throw Error("'sparse' does not go with output_mode int").usage();
  if (!texts && config.salt && config.oov_method != OovMethod::farmhash)
    throw Error("'salt' goes with oov_method farmhash").usage();
  if (config.idf_weights && !weighs) throw Error("'idf_weights' go with output_mode tf_idf").usage();
  if (config.vocabulary && config.vocabulary->empty()) config_.vocabulary.reset();
  if (!config_.vocabulary) return;
  if (weighs && !config.idf_weights) throw Error("a vocabulary for tf_idf needs 'idf_weights'").usage();
  set(*config.vocabulary, config.idf_weights.value_or(std::vector<double>()));
}

template <class Item>
void Vocabulary<Item>::set(std::vector<Item> tokens, std::vector<double> idf) {
  table_ = std::make_shared<const LookupTable<Item>>(config_, tokens, idf);
  config_.vocabulary = std::move(tokens);
  config_.vocabulary_size = table_->size();
  if (!idf.empty()) config_.idf_weights = std::move(idf);
}

template <class Item>
void Vocabulary<Item>::set_texts(const std::vector<std::string>& tokens) {
  if (config_.output_mode == CategoryMode::tf_idf) throw Error("a vocabulary for tf_idf needs 'idf_weights'").usage();
  std::vector<Item> items;
  for (const std::string& token : tokens) items.push_back(token_of<Item>(token));
  set(std::move(items), {});
}

template <class Item>
std::int64_t Vocabulary<Item>::depth() const {
  if (config_.pad_to_max_tokens) return *config_.max_tokens;
  if (table_) return table_->size();
  if (config_.vocabulary_size) return *config_.vocabulary_size;
  throw Error("the size of the result depends on the vocabulary, which is not known yet")
      .hint("give the vocabulary, or max_tokens with pad_to_max_tokens: true, or learn it before the layer is called")
      .usage();
}

template <class Item>
std::vector<std::string> Vocabulary<Item>::tokens() const {
  if (!table_) return {};
  if constexpr (std::is_same_v<Item, std::string>) return table_->vocabulary();
  std::vector<std::string> texts;
  for (const Item& token : table_->vocabulary()) texts.push_back(fmt::format("{}", token));
  return texts;
}

std::vector<std::string> vocabulary_of(const Layer& layer) {
  const auto* holder = dynamic_cast<const VocabularyHolder*>(&layer);
  std::vector<std::string> tokens = holder ? holder->vocabulary() : std::vector<std::string>();
  if (tokens.empty()) throw Error("{} has no vocabulary", layer.label()).usage();
  return tokens;
}

template <class Item>
Assets Vocabulary<Item>::assets() const {
  Assets assets;
  if (!table_ || config_.output_mode != CategoryMode::tf_idf) return assets;
  std::vector<float> idf = table_->idf();
  if (config_.pad_to_max_tokens) idf.resize(static_cast<std::size_t>(*config_.max_tokens));
  assets.tensors.emplace("idf_weights", Tensor::of<float>({static_cast<std::int64_t>(idf.size())}, idf));
  return assets;
}

template <class Item>
void Vocabulary<Item>::load(const Assets& assets) {
  const auto file = assets.files.find("vocabulary.txt");
  if (config_.vocabulary || file == assets.files.end()) return;
  std::vector<std::string> lines = lines_of(file->second);
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  std::vector<Item> tokens;
  for (const std::string& line : lines) tokens.push_back(token_of<Item>(line));
  std::vector<double> idf;
  if (config_.output_mode == CategoryMode::tf_idf) {
    const auto weights = assets.tensors.find("idf_weights");
    if (weights == assets.tensors.end()) throw Error("the file has a vocabulary without idf_weights");
    idf = weights->second.to_doubles();
    if (idf.size() > tokens.size()) idf.resize(tokens.size());  // without the padding to max_tokens
  }
  set(std::move(tokens), std::move(idf));
}

// --- learning -----------------------------------------------------------------------------------------------------

template <class Item>
void TokenCounts<Item>::add_sample(std::span<const Item> tokens) {
  ++samples_;
  for (const Item& token : tokens) {
    Count& count = counts_[token];
    ++count.times;
    if (count.last_sample != samples_) ++count.samples;
    count.last_sample = samples_;
  }
}

template <class Item>
void TokenCounts<Item>::give(Vocabulary<Item>& vocabulary) const {
  const LookupConfig<Item>& rules = vocabulary.config();
  std::vector<std::pair<std::int64_t, Item>> found;
  for (const auto& [token, count] : counts_)
    if (token != rules.mask_token && token != rules.oov_token) found.emplace_back(count.times, token);
  if (found.empty()) throw Error("there are no tokens in the data to learn a vocabulary from").usage();
  std::ranges::sort(found, std::greater<>());
  if (rules.max_tokens) {
    const std::int64_t special = rules.num_oov_indices + (rules.mask_token && rules.output_mode == CategoryMode::integer);
    if (*rules.max_tokens <= special) throw Error("max_tokens {} leaves no room for a vocabulary", *rules.max_tokens).usage();
    found.resize(std::min(found.size(), static_cast<std::size_t>(*rules.max_tokens - special)));
  }
  std::vector<Item> tokens;
  std::vector<double> idf;
  for (auto& [times, token] : found) {
    if (rules.output_mode == CategoryMode::tf_idf)
      idf.push_back(std::log(1 + static_cast<double>(samples_) / static_cast<double>(1 + counts_.at(token).samples)));
    tokens.push_back(std::move(token));
  }
  vocabulary.set(std::move(tokens), std::move(idf));
}

template class LookupTable<std::string>;
template class LookupTable<std::int64_t>;
template class Vocabulary<std::string>;
template class Vocabulary<std::int64_t>;
template class TokenCounts<std::string>;
template class TokenCounts<std::int64_t>;

}  // namespace nacre
