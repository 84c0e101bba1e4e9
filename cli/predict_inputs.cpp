#include "cli/predict_inputs.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>

#include "api/data/source.h"
#include "api/data/text.h"
#include "formats/csv.h"
#include "formats/hdf5.h"
#include "formats/idx.h"
#include "formats/image.h"
#include "formats/json.h"
#include "formats/npy.h"
#include "formats/text.h"

namespace nacre::cli {

namespace {

constexpr std::size_t longest_standard_input = std::size_t{1} << 30;

std::string names_of(const std::vector<Port>& ports) {
  std::string names;
  for (const Port& port : ports) names += fmt::format("{}'{}' {}", names.empty() ? "" : ", ", port.name, port.type.shape);
  return names;
}

// Gives a single sample its batch axis: its shape is that of the input without the first axis.
Tensor with_batch_axis(Tensor tensor, const Port& port) {
  const Shape sample = port.type.shape.from(1);
  if (!same(tensor.shape(), sample)) return tensor;
  return tensor.reshaped(Shape{1} + tensor.shape());
}

Tensor read_picture(const std::filesystem::path& path, const Port& port, const Preprocessing& preprocessing) {
  const Shape& shape = port.type.shape;
  const bool has_channels = shape.rank() == 4;
  if (shape.rank() != 3 && !has_channels)
    throw Error("a picture for input '{}', which takes {}", port.name,
                port.type.dtype == DType::string ? "texts" : fmt::format("numbers {}", shape))
        .at({path.string(), 0, 0})
        .hint(port.type.dtype == DType::string ? "give the text itself, or a .txt or .csv file" : "give a .npy, .npz, .csv or .h5 file")
        .usage();
  const std::int64_t channels = has_channels ? shape[3] : 1;
  if (channels != unknown && channels != 1 && channels != 3 && channels != 4)
    throw Error("a picture for input '{}', which takes {} channels", port.name, channels).at({path.string(), 0, 0}).usage();
  const int read_channels = static_cast<int>(std::max<std::int64_t>(channels, 0));
  ImageSize size{shape[1], shape[2]};
  if (const auto& trained = preprocessing.size) {
    if (size.height == unknown) size.height = (*trained)[0];
    if (size.width == unknown) size.width = (*trained)[1];
  }
  if (size.height != unknown && size.width != unknown)
    return read_fitted(path, read_channels, size, {preprocessing.fit, preprocessing.antialias});
  const Tensor image = read_image(path, read_channels);
  return resize_bilinear(image, size.height == unknown ? image.shape()[0] : size.height,
                         size.width == unknown ? image.shape()[1] : size.width);
}

Tensor stacked(const std::vector<Tensor>& samples) {
  Tensor batch = Tensor::uninitialised({samples.front().dtype(), Shape{static_cast<std::int64_t>(samples.size())} + samples.front().shape()});
  std::int64_t at = 0;
  for (const Tensor& sample : samples) {
    need(sample.type() == samples.front().type(), "samples of different shapes in one batch: {} and {}", samples.front().shape(), sample.shape());
    copy_elements(sample, 0, sample.size(), batch, std::exchange(at, at + sample.size()));
  }
  return batch;
}

// The arrays of a file that holds several by name: those of the inputs' names, else "x", else all in their order.
template <class Read>
NamedArrays choose_arrays(const std::vector<std::string>& names, const std::vector<Port>& ports, Read&& read) {
  const auto holds = [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  NamedArrays arrays;
  if (std::all_of(ports.begin(), ports.end(), [&](const Port& port) { return holds(port.name); })) {
    for (const Port& port : ports) arrays.emplace_back(port.name, read(port.name));
  } else if (ports.size() == 1 && holds("x")) {
    arrays.emplace_back("", read("x"));
  } else {
    for (const std::string& name : names) arrays.emplace_back("", read(name));
  }
  return arrays;
}

Tensor texts_of(const std::vector<std::string>& texts) {
  return Tensor::of<std::string>({static_cast<std::int64_t>(texts.size())}, texts);
}

std::vector<std::string> names_of_texts(const std::vector<Port>& ports) {
  std::vector<std::string> names;
  for (const Port& port : ports)
    if (port.type.dtype == DType::string) names.push_back(port.name);
  return names;
}

// Networks have no notion of a number that is not there: they would answer with nonsense.
void refuse_missing(const Csv& table, const std::string& file) {
  for (const CsvColumn& column : table.columns) {
    if (const auto missing = std::ranges::count_if(column.numbers, [](float value) { return std::isnan(value); }); missing > 0)
      throw Error("column '{}' misses {} of {} values", column.name, missing, column.numbers.size())
          .at({file, 0, 0})
          .hint("write the number that stood for missing ones in training (`fill` of csv)")
          .usage();
  }
}

// The columns of a table: texts for the inputs that take such, by the inputs' names where the columns have them, and one
// array of all the numbers. `read` gives the table under options.
NamedArrays columns_of(const std::function<Csv(const CsvOptions&)>& read, const std::vector<Port>& ports, const std::string& file) {
  const std::vector<std::string> wanted = names_of_texts(ports);
  const auto is_wanted = [&](const CsvColumn& column) { return std::ranges::find(wanted, column.name) != wanted.end(); };
  Csv table = read(CsvOptions{});
  CsvOptions options;
  for (const CsvColumn& column : table.columns)
    if (is_wanted(column)) options.text.push_back(column.name);
  const bool named = !options.text.empty();
  if (named) table = read(options);  // they are texts even where they look like numbers
  if (wanted.size() < ports.size()) refuse_missing(table, file);
  if (wanted.empty()) return {{"", table.numbers()}};
  NamedArrays arrays;
  std::vector<std::string> numbers, texts;
  for (const CsvColumn& column : table.columns) {
    if (column.numeric) numbers.push_back(column.name);
    else if (!named || is_wanted(column)) {
      arrays.emplace_back(named ? column.name : "", texts_of(column.texts));
      texts.push_back(column.name);
    }
  }
  if (!named && texts.size() > wanted.size())
    throw Error("the columns '{}' and '{}' are texts, and none is called '{}' as the model's input is", texts[0], texts[1], wanted.front())
        .at({file, 0, 0})
        .hint(fmt::format("call the one that is meant '{}', or leave out the others", wanted.front()))
        .usage();
  if (wanted.size() < ports.size() && !numbers.empty()) arrays.emplace_back("", table.numbers(numbers));
  return arrays;
}

// What a file holds, by input name where the file says it.
NamedArrays read_arrays(const std::filesystem::path& path, const std::vector<Port>& ports) {
  const std::string_view kind = source_kind_of(path);
  if (kind == "npy") return {{"", read_npy(path)}};
  if (kind == "npz") return choose_arrays(npz_names(path), ports, [&](const std::string& name) { return read_npz(path, name); });
  if (kind == "idx") return {{"", read_idx(path)}};
  if (kind == "csv") return columns_of([&](const CsvOptions& options) { return read_csv(path, options); }, ports, path.string());
  if (kind == "lines") return {{"", texts_of(read_lines(path))}};
  if (kind == "hdf5") {
    const hdf5::File file = hdf5::File::open(path);
    return choose_arrays(file.root().dataset_paths(), ports, [&](const std::string& name) { return file.root().tensor(name); });
  }
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    throw Error("this is a folder, wanted files").at({path.string(), 0, 0}).hint(fmt::format("name them: {}/*", path.string())).usage();
  if (!std::filesystem::exists(path, ignored))
    throw Error("there is no such file").at({path.string(), 0, 0}).hint("check the path").usage();
  const std::string extension = (path.extension() == ".gz" ? path.stem() : path).extension().string();
  throw Error("'{}' is no kind of file that predict reads", extension)
      .at({path.string(), 0, 0})
      .hint(".npy .npz .csv .h5 .idx .txt, pictures (JPEG, PNG, WebP, BMP, GIF) of any name, or - for standard input")
      .usage();
}

float value_of(const Tree& tree, float*) {
  return tree.is_bool() ? static_cast<float>(tree.as_bool()) : static_cast<float>(tree.as_number());
}
std::string value_of(const Tree& tree, std::string*) { return tree.as_string(); }

// Numbers or texts of nested lists of JSON, all of one shape.
template <class Element>
void flatten(const Tree& tree, std::size_t depth, Shape& shape, std::vector<Element>& values) {
  if (!tree.is_sequence()) {
    if (static_cast<int>(depth) != shape.rank()) throw Error("lists of different depths").at(tree.mark());
    values.push_back(value_of(tree, static_cast<Element*>(nullptr)));
    return;
  }
  const auto size = static_cast<std::int64_t>(tree.items().size());
  if (static_cast<int>(depth) == shape.rank()) {
    if (!values.empty()) throw Error("lists of different depths").at(tree.mark());
    shape.append(size);
  } else if (shape[static_cast<int>(depth)] != size) {
    throw Error("lists of different lengths: {} and {}", shape[static_cast<int>(depth)], size).at(tree.mark());
  }
  for (const Tree& item : tree.items()) flatten(item, depth + 1, shape, values);
}

template <class Element>
Tensor tensor_of(const Tree& tree) {
  Shape shape;
  std::vector<Element> values;
  flatten(tree, 0, shape, values);
  return Tensor::of<Element>(shape, std::span<const Element>(values));
}

Tensor sample_of(const Tree& tree) {
  const Tree* first = &tree;
  while (first->is_sequence() && !first->items().empty()) first = &first->items().front();
  return first->is_string() ? tensor_of<std::string>(tree) : tensor_of<float>(tree);
}

std::string read_standard_input() {
  std::string text;
  char buffer[65536];
  for (std::size_t count = 0; (count = std::fread(buffer, 1, sizeof buffer, stdin)) > 0;) {
    text.append(buffer, count);
    if (text.size() > longest_standard_input) throw Error("standard input holds more than 1 GiB");
  }
  return text;
}

// The input and the text of a word that is a text itself: TEXT for the only input, NAME=TEXT. Neither names a file, nor
// looks like one.
std::optional<std::pair<std::string, std::string>> given_text(const std::string& word, const std::vector<Port>& ports) {
  const auto taken = [&](const Port& port, const std::string& text) -> std::optional<std::pair<std::string, std::string>> {
    std::error_code ignored;
    const bool file = std::filesystem::exists(text, ignored) || is_image_name(text) || !source_kind_of(text).empty();
    if (port.type.dtype != DType::string || file) return {};
    return std::pair(port.name, text);
  };
  const std::string name = word.substr(0, word.find('='));
  for (const Port& port : ports)
    if (port.name == name && name.size() < word.size()) return taken(port, word.substr(name.size() + 1));
  return ports.size() == 1 ? taken(ports.front(), word) : std::nullopt;
}

// The input that takes the texts of a file; null: none does, or which one is not said.
const Port* taker_of_texts(const std::string& name, const std::vector<Port>& ports) {
  const Port* taker = nullptr;
  for (const Port& port : ports)
    if (port.name == name || (name.empty() && ports.size() == 1)) taker = &port;
  return taker && taker->type.dtype == DType::string ? taker : nullptr;
}

// Puts arrays in the order of the inputs: named ones in their places, the others in the places left.
std::vector<Tensor> arranged(NamedArrays arrays, const std::vector<Port>& ports) {
  if (arrays.size() != ports.size())
    throw Error("got {} array(s) for the inputs {}", arrays.size(), names_of(ports)).usage();
  std::vector<Tensor> tensors(ports.size());
  std::vector<bool> filled(ports.size());
  const auto place = [&](std::size_t index, Tensor& tensor) {
    tensors[index] = with_batch_axis(std::move(tensor), ports[index]);
    filled[index] = true;
  };
  std::vector<std::string_view> known;
  for (const Port& port : ports) known.push_back(port.name);
  for (auto& [name, tensor] : arrays) {
    if (name.empty()) continue;
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) throw Error("the model has no input '{}'", name).hint(suggestion(name, known)).usage();
    const auto index = static_cast<std::size_t>(found - known.begin());
    if (filled[index]) throw Error("input '{}' is given twice", name).usage();
    place(index, tensor);
  }
  for (auto& [name, tensor] : arrays)
    if (name.empty()) place(static_cast<std::size_t>(std::find(filled.begin(), filled.end(), false) - filled.begin()), tensor);
  return tensors;
}

}  // namespace

std::vector<Tensor> parse_lines(std::string_view text, const std::vector<Port>& ports) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) throw Error("standard input is empty").hint("give CSV, or a JSON list per line").usage();
  const bool lines = ports.size() == 1 && ports.front().type.dtype == DType::string;
  if (text[first] != '[' && text[first] != '{')
    return arranged(lines ? NamedArrays{{"", texts_of(lines_of(text))}}
                          : columns_of([&](const CsvOptions& options) { return parse_csv(text, "standard input", options); }, ports, "standard input"), ports);
  std::map<std::string, std::vector<Tensor>> samples;  // "" for the only input
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = text.find('\n');
    const std::string_view words = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (words.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      const Tree tree = parse_json(words, "standard input");
      if (tree.is_mapping())
        for (const Tree::Entry& entry : tree.entries()) samples[entry.key].push_back(sample_of(entry.value));
      else samples[""].push_back(sample_of(tree));
    } catch (Error& error) {
      error.within(fmt::format("in line {} of standard input", line)).usage();
      throw;
    }
  }
  NamedArrays arrays;
  for (const auto& [name, list] : samples) arrays.emplace_back(name, stacked(list));
  return arranged(std::move(arrays), ports);
}

std::vector<Tensor> read_inputs(const std::vector<std::string>& words, const std::vector<Port>& ports,
                                const ModelCard& card) {
  if (words.size() == 1 && words.front() == "-") return parse_lines(read_standard_input(), ports);
  NamedArrays arrays;
  std::vector<Tensor> pictures;
  std::map<std::string, std::vector<std::string>> texts;  // by input
  for (const std::string& word : words) {
    if (const auto text = given_text(word, ports)) {
      texts[text->first].push_back(text->second);
      continue;
    }
    std::string name, file = word;
    if (const std::size_t equals = word.find('='); equals != std::string::npos && !std::filesystem::exists(word)) {
      name = word.substr(0, equals);
      file = word.substr(equals + 1);
    }
    if (const Port* const taker = taker_of_texts(name, ports); taker && source_kind_of(file) == "lines") {
      std::vector<std::string>& list = texts[taker->name];
      if (card.whole_files) list.push_back(read_text(file));
      else std::ranges::move(read_lines(file), std::back_inserter(list));
      continue;
    }
    if (!is_image_name(file) && (!source_kind_of(file).empty() || !is_image_file(file))) {
      std::vector<Port> takers;
      std::ranges::copy_if(ports, std::back_inserter(takers), [&](const Port& port) { return port.name == name; });
      if (takers.empty()) takers = ports;
      for (auto& [array_name, tensor] : read_arrays(file, takers)) arrays.emplace_back(name.empty() ? array_name : name, std::move(tensor));
      continue;
    }
    const auto port = std::find_if(ports.begin(), ports.end(), [&](const Port& p) { return p.name == name; });
    if (name.empty() && ports.size() == 1) pictures.push_back(read_picture(file, ports.front(), card.preprocessing));
    else if (port != ports.end()) arrays.emplace_back(name, stacked({read_picture(file, *port, card.preprocessing)}));
    else throw Error("which input takes the picture?").at({file, 0, 0}).hint(fmt::format("write NAME=FILE; the inputs are {}", names_of(ports))).usage();
  }
  if (!pictures.empty()) arrays.emplace_back("", stacked(pictures));
  for (const auto& [name, list] : texts) arrays.emplace_back(name, texts_of(list));
  return arranged(std::move(arrays), ports);
}

}  // namespace nacre::cli
