#include "api/data/text.h"

#include <algorithm>

#include "api/data/class_folders.h"
#include "formats/file.h"
#include "layers/lookup.h"
#include "layers/tokens.h"

namespace nacre {

namespace {

constexpr std::uint64_t longest_text = std::uint64_t{1} << 30;

struct Rules {
  TextSplit split;
  std::optional<Standardize> standardize;

  // Calls receive(begin, end, token) for each token, in order: where it lies, and what it is once standardised.
  void each_token(const std::string& text, auto&& receive) const {
    const auto give = [&](std::size_t begin, std::size_t end) {
      std::string token = standardized(text.substr(begin, end - begin), standardize);
      if (!token.empty()) receive(begin, end, std::move(token));
    };
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = at;
      if (split == TextSplit::character) {
        end += character_length(std::string_view(text).substr(at, 4));
        if (end - at > 1 || static_cast<unsigned char>(text[at]) < 0x80) give(at, end);
        else receive(at, end, std::string("\xEF\xBF\xBD"));  // no UTF-8
      } else if (is_space(text[at])) {
        ++end;
      } else {
        while (end < text.size() && !is_space(text[end])) ++end;
        give(at, end);
      }
      at = end;
    }
  }
};

// What a window begins with lies where its first token does, and it ends where its last one does: what is between tokens
// stays, and the layer that splits it finds the same tokens.
class Windows final : public Dataset {
 public:
  Windows(const std::filesystem::path& folder, const TextConfig& config)
      : rules_{config.split, config.standardize},
        length_(static_cast<std::size_t>(config.sequence_length)),
        stride_(static_cast<std::size_t>(config.sequence_stride.value_or(config.sequence_length))) {
    const std::filesystem::path file = folder / config.file;
    text_ = read_text(file);
    Vocabulary<std::string> vocabulary({.max_tokens = config.max_tokens, .mask_token = ""});
    learn(config.vocabulary ? read_text(folder / *config.vocabulary) : text_, config.vocabulary ? folder / *config.vocabulary : file, vocabulary);
    number(*vocabulary.table());

    const auto [first, last] = config.range(numbers_.size());
    first_ = first;
    if (last - first > length_) size_ = (last - first - length_ - 1) / stride_ + 1;
    if (size_ == 0)
      throw Error("the text has {} tokens{}, wanted more than a sequence_length of {}", last - first, config.subset ? " in its part" : "", length_)
          .at({file.string(), 0, 0})
          .usage();
    const Shape shape{config.sequence_length};
    inputs_ = {{"", {DType::string, {}}, vocabulary.tokens()}};
    inputs_.front().whole_file = false;
    targets_ = {{"", {DType::int32, shape}, vocabulary.tokens()}};
    description_ = fmt::format("{}: {} windows of {} {}, a vocabulary of {}", file.filename().string(), size_, length_,
                               rules_.split == TextSplit::character ? "characters" : "words", vocabulary.tokens().size());
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(size_); }
  const std::vector<Column>& inputs() const override { return inputs_; }
  const std::vector<Column>& targets() const override { return targets_; }
  std::string description() const override { return description_; }

  void read(std::span<const std::int64_t> indices, Batch& batch) const override {
    batch.size = static_cast<std::int64_t>(indices.size());
    batch.inputs = {Tensor(DType::string, {batch.size})};
    batch.targets = {Tensor::uninitialised({DType::int32, {batch.size, static_cast<std::int64_t>(length_)}})};
    batch.weights.clear();
    const auto texts = batch.inputs[0].writable<std::string>();
    std::int32_t* next = batch.targets[0].writable<std::int32_t>().data();
    for (std::size_t i = 0; i < indices.size(); ++i, next += length_) {
      const std::size_t at = first_ + static_cast<std::size_t>(indices[i]) * stride_;
      texts[i] = text_.substr(begins_[at], ends_[at + length_ - 1] - begins_[at]);
      std::copy_n(numbers_.begin() + static_cast<std::ptrdiff_t>(at + 1), length_, next);
    }
  }

 private:
  void learn(const std::string& text, const std::filesystem::path& file, Vocabulary<std::string>& vocabulary) const {
    TokenCounts<std::string> counts;
    rules_.each_token(text, [&](std::size_t, std::size_t, std::string token) { counts.add_sample({&token, 1}); });
    try {
      counts.give(vocabulary);
    } catch (Error& error) {
      error.at({file.string(), 0, 0});
      throw;
    }
  }

  void number(const LookupTable<std::string>& table) {
    rules_.each_token(text_, [&](std::size_t begin, std::size_t end, const std::string& token) {
      begins_.push_back(static_cast<std::uint32_t>(begin));
      ends_.push_back(static_cast<std::uint32_t>(end));
      numbers_.push_back(static_cast<std::int32_t>(table.number(token)));
    });
  }

  Rules rules_;
  std::size_t length_, stride_, first_ = 0, size_ = 0;
  std::string text_;
  // of each token
  std::vector<std::uint32_t> begins_, ends_;
  std::vector<std::int32_t> numbers_;
  std::vector<Column> inputs_, targets_;
  std::string description_;
};

}  // namespace

std::string read_text(const std::filesystem::path& path) {
  std::string text = read_file_unpacked(path, longest_text);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  if (text.find('\r') == std::string::npos) return text;
  std::size_t length = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') text[length++] = text[i];
  text.resize(length);
  return text;
}

DatasetRef open_texts(const std::filesystem::path& folder, const TextsConfig& config) {
  const std::filesystem::path place = folder / config.folder;
  const ClassFiles found = files_of_classes(place, config.classes, [](const auto& path) { return path.extension() == ".txt"; }, "texts", ".txt");
  const std::vector<std::size_t> order = mixed_order(found.labels, static_cast<std::uint64_t>(config.seed));
  const auto [begin, end] = config.range(order.size());
  std::vector<std::string> texts;
  std::vector<std::int32_t> labels;
  std::uint64_t bytes = 0;
  for (std::size_t i = begin; i < end; ++i) {
    texts.push_back(read_text(found.files[order[i]]));
    labels.push_back(found.labels[order[i]]);
    bytes += texts.back().size();
    if (bytes > longest_text) throw Error("the texts have more than 1 GiB").at({place.string(), 0, 0}).usage();
  }
  const auto count = static_cast<std::int64_t>(texts.size());
  return array_dataset({.inputs = {Tensor::of<std::string>({count}, texts)},
                        .targets = {Tensor::of<std::int32_t>({count}, labels)},
                        .weights = {},
                        .target_labels = {found.classes},
                        .whole_file = true,
                        .description = place.lexically_normal().filename().string() + found.passed_over});
}

DatasetRef open_text(const std::filesystem::path& folder, const TextConfig& config) {
  return std::make_shared<Windows>(folder, config);
}

}  // namespace nacre
