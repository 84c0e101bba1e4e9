// Tensors as text, for messages and for tostring.
#include <algorithm>
#include <cmath>

#include "backend/core/unicode.h"
#include "scripting/tensors/tensors.h"

namespace nacre::scripting {

namespace {

constexpr std::size_t widest = 80;         // columns
constexpr std::int64_t most_whole = 200;   // elements, that are shown all
constexpr std::int64_t most_shown = 250;   // elements of larger tensors
constexpr std::int64_t most_in_line = 16;  // elements, in messages
constexpr int most_decimals = 4;
constexpr std::size_t longest_text = 24;

// --- elements -----------------------------------------------------------------------------------------------------

// How all numbers of one picture are written.
struct Style {
  int decimals = 0;
  bool exponent = false;
};

// So many digits behind the point as one of the numbers needs.
Style style_of(const std::vector<double>& numbers) {
  Style style;
  double largest = 0, smallest = INFINITY;
  for (const double number : numbers) {
    if (!std::isfinite(number) || number == 0) continue;
    largest = std::max(largest, std::abs(number));
    smallest = std::min(smallest, std::abs(number));
  }
  style.exponent = largest >= 1e8 || smallest < 1e-4;
  for (const double number : numbers) {
    if (!std::isfinite(number)) continue;
    double scaled =
        style.exponent && number != 0 ? number / std::pow(10, std::floor(std::log10(std::abs(number)))) : number;
    int decimals = 0;
    scaled = std::abs(scaled);
    while (decimals < most_decimals && std::abs(scaled - std::round(scaled)) > 5e-5 * std::pow(10, decimals))
      scaled *= 10, ++decimals;
    style.decimals = std::max(style.decimals, decimals);
  }
  return style;
}

std::string number_text(double number, const Style& style) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  return style.exponent ? fmt::format("{:.{}e}", number, style.decimals)
                        : fmt::format("{:.{}f}", number, style.decimals);
}

std::size_t characters_in(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string quoted(const std::string& text) {
  std::string shown = escaped(text.substr(0, longest_text));
  if (text.size() > longest_text || characters_in(shown) > longest_text) {
    std::size_t end = 0;
    for (std::size_t count = 0; end < shown.size() && count + 1 < longest_text; ++count) next_utf8(shown, end);
    shown = shown.substr(0, end) + "…";
  }
  return "'" + shown + "'";
}

std::string element_text(const Tensor& tensor, std::int64_t index, const Style& style) {
  switch (tensor.dtype()) {
    case DType::string: return quoted(tensor.data<std::string>()[static_cast<std::size_t>(index)]);
    case DType::boolean: return tensor.at(index) != 0 ? "true" : "false";
    case DType::int64: return std::to_string(tensor.data<std::int64_t>()[static_cast<std::size_t>(index)]);
    default: break;
  }
  if (!is_floating(tensor.dtype())) return fmt::format("{}", tensor.at(index));
  return number_text(tensor.at(index), style);
}

// The whole number, for a tensor of one.
std::string single_text(const Tensor& tensor) {
  if (tensor.dtype() == DType::float64) return fmt::format("{}", tensor.at(0));
  if (is_floating(tensor.dtype())) return fmt::format("{}", static_cast<float>(tensor.at(0)));
  return element_text(tensor, 0, {});
}

// --- pictures -----------------------------------------------------------------------------------------------------

class Picture {
 public:
  // `flat`: on one line, without columns.
  explicit Picture(const Tensor& tensor, bool flat = false)
      : tensor_(tensor), flat_(flat), strides_(row_major_strides(tensor.shape())) {
    if (tensor.size() == 0) return;
    choose_shown();
    collect(0, 0);
    if (is_floating(tensor.dtype())) {
      std::vector<double> numbers;
      for (const std::int64_t index : indices_) numbers.push_back(tensor.at(index));
      style_ = style_of(numbers);
    }
    for (const std::int64_t index : indices_) {
      cells_.push_back(element_text(tensor, index, style_));
      if (!flat && tensor.dtype() != DType::string) width_ = std::max(width_, characters_in(cells_.back()));
    }
  }

  std::string text() {
    if (tensor_.size() == 0) return "{}";
    write(0);
    return std::move(text_);
  }

 private:
  struct Shown {
    std::int64_t front = 0, back = 0;  // of an axis; dots between them
  };

  // All of small tensors; of others the edges of each axis, fewer of the first axes where there are many.
  void choose_shown() {
    const Shape& shape = tensor_.shape();
    for (const std::int64_t size : shape) shown_.push_back({size, 0});
    if (tensor_.size() <= most_whole) return;
    std::vector<std::int64_t> edges(shown_.size(), 3);
    const auto shown_count = [&] {
      double count = 1;
      for (std::size_t axis = 0; axis < edges.size(); ++axis)
        count *= static_cast<double>(
            std::min<std::int64_t>(shape.sizes()[axis], std::max<std::int64_t>(2 * edges[axis], 1)));
      return count;
    };
    for (std::int64_t edge = 2; edge >= 0; --edge)
      for (std::size_t axis = 0; axis < edges.size() && shown_count() > static_cast<double>(most_shown); ++axis)
        edges[axis] = edge;
    for (std::size_t axis = 0; axis < edges.size(); ++axis)
      if (const std::int64_t size = shape.sizes()[axis]; size > std::max<std::int64_t>(2 * edges[axis], 1))
        shown_[axis] = {std::max<std::int64_t>(edges[axis], 1), edges[axis]};
  }

  bool is_cut(std::size_t axis) const { return shown_[axis].front + shown_[axis].back < tensor_.shape().sizes()[axis]; }
  std::int64_t count(std::size_t axis) const { return shown_[axis].front + shown_[axis].back; }
  std::int64_t place(std::size_t axis, std::int64_t shown) const {
    return shown < shown_[axis].front ? shown : tensor_.shape().sizes()[axis] - count(axis) + shown;
  }

  void collect(std::size_t axis, std::int64_t offset) {
    if (axis == shown_.size()) return indices_.push_back(offset);
    for (std::int64_t i = 0; i < count(axis); ++i) collect(axis + 1, offset + place(axis, i) * strides_[axis]);
  }

  void write(std::size_t axis) {
    if (axis + 1 == shown_.size()) return write_row();
    const auto next = [&] {
      if (flat_) return text_ += ", ", void();
      text_ += ',';
      text_.append(shown_.size() - axis - 1, '\n');  // a blank line between matrices
      text_.append(axis + 1, ' ');
    };
    text_ += '{';
    for (std::int64_t i = 0; i < count(axis); ++i) {
      if (i > 0) next();
      if (i == shown_[axis].front && is_cut(axis)) text_ += "…", next();
      write(axis + 1);
    }
    if (shown_[axis].back == 0 && is_cut(axis)) next(), text_ += "…";
    text_ += '}';
  }

  void write_row() {
    const std::size_t axis = shown_.size() - 1, indent = axis + 1;
    const bool cut = is_cut(axis);
    std::size_t column = indent;
    text_ += '{';
    const auto add = [&](const std::string& cell, std::size_t width, bool last) {
      if (!flat_ && column + width + 2 > widest && column > indent) {
        text_ += '\n' + std::string(indent, ' ');
        column = indent;
      } else if (column > indent) {
        text_ += ' ', ++column;
      }
      text_.append(width - std::min(width, characters_in(cell)), ' ');
      text_ += cell;
      column += std::max(width, characters_in(cell));
      if (!last) text_ += ',', ++column;
    };
    for (std::int64_t i = 0; i < count(axis); ++i) {
      if (i == shown_[axis].front && cut) add("…", 1, false);
      add(cells_[next_++], width_, i + 1 == count(axis) && !(cut && shown_[axis].back == 0));
    }
    if (cut && shown_[axis].back == 0) add("…", 1, true);
    text_ += '}';
  }

  const Tensor& tensor_;
  bool flat_;
  std::vector<std::int64_t> strides_;
  std::vector<Shown> shown_;
  std::vector<std::int64_t> indices_;  // of the elements that are shown
  std::vector<std::string> cells_;
  Style style_;
  std::size_t width_ = 0, next_ = 0;
  std::string text_;
};

}  // namespace

std::string line_of(const Tensor& tensor) {
  std::string text = fmt::format("tensor {}", tensor.type());
  if (tensor.shape().rank() == 0) return text + " " + single_text(tensor);
  return tensor.size() > most_in_line ? text : text + " " + Picture(tensor, true).text();
}

std::string picture_of(const Tensor& tensor) {
  const std::string head = fmt::format("tensor {}", tensor.type());
  if (tensor.shape().rank() == 0) return head + " " + single_text(tensor);
  if (tensor.shape().rank() == 1 && tensor.size() <= most_whole) {
    const std::string line = head + " " + Picture(tensor, true).text();
    if (characters_in(line) <= widest) return line;
  }
  return head + "\n" + Picture(tensor).text();
}

}  // namespace nacre::scripting
