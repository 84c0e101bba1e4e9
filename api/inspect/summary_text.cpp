// The forms of a summary: a table for people, a tree for programs.
#include <algorithm>

#include "api/inspect/readable.h"
#include "api/inspect/summary.h"
#include "backend/core/unicode.h"

namespace nacre {

namespace {

std::string shapes_text(const std::vector<Shape>& shapes) {
  if (shapes.empty()) return "?";
  if (shapes.size() == 1) return shapes.front().text();
  std::string text = "[";
  for (const Shape& shape : shapes) text += (text.size() > 1 ? ", " : "") + shape.text();
  return text + "]";
}

// Lines of at most `width` columns, broken after spaces where that is possible.
std::vector<std::string> wrapped(std::string text, std::size_t width) {
  std::vector<std::string> lines;
  while (text_columns(text) > width) {
    std::size_t end = 0, seen = 0, space = 0;
    for (; end < text.size() && seen < width; ++seen) {
      if (text[end] == ' ') space = end + 1;
      do ++end;
      while (end < text.size() && (text[end] & 0xC0) == 0x80);
    }
    const std::size_t cut = space > 0 ? space : end;
    lines.push_back(text.substr(0, cut));
    text.erase(0, cut);
  }
  lines.push_back(std::move(text));
  return lines;
}

// A table in Keras's box drawing.
class Table {
 public:
  Table(std::vector<std::size_t> widths, std::size_t right_aligned) : widths_(std::move(widths)), right_(right_aligned) {}

  void head(const std::vector<std::string>& cells) {
    rule("┏", "━", "┳", "┓");
    row(cells, "┃");
    rule("┡", "━", "╇", "┩");
  }
  void line(const std::vector<std::string>& cells) {
    if (!first_) rule("├", "─", "┼", "┤");
    first_ = false;
    row(cells, "│");
  }
  std::string finish() {
    rule("└", "─", "┴", "┘");
    return std::move(text_);
  }

 private:
  void rule(std::string_view left, std::string_view dash, std::string_view cross, std::string_view right) {
    text_ += left;
    for (std::size_t i = 0; i < widths_.size(); ++i) {
      if (i > 0) text_ += cross;
      for (std::size_t k = 0; k < widths_[i] + 2; ++k) text_ += dash;
    }
    text_ += right;
    text_ += '\n';
  }
  void row(const std::vector<std::string>& cells, std::string_view bar) {
    std::vector<std::vector<std::string>> parts;
    std::size_t height = 0;
    for (std::size_t i = 0; i < cells.size(); ++i)
      height = std::max(height, parts.emplace_back(wrapped(escaped(cells[i]), widths_[i])).size());
    for (std::size_t line = 0; line < height; ++line) {
      for (std::size_t i = 0; i < cells.size(); ++i) {
        const std::string cell = line < parts[i].size() ? parts[i][line] : "";
        const std::string space(widths_[i] - std::min(widths_[i], text_columns(cell)), ' ');
        text_ += fmt::format("{} {} ", bar, i == right_ ? space + cell : cell + space);
      }
      text_ += bar;
      text_ += '\n';
    }
  }

  std::vector<std::size_t> widths_;
  std::size_t right_;
  bool first_ = true;
  std::string text_;
};

// Shares `width` columns among cells of these fractions, borders included.
std::vector<std::size_t> share(int width, std::initializer_list<double> fractions) {
  const int inner = std::max(width - 1 - 3 * static_cast<int>(fractions.size()), 8 * static_cast<int>(fractions.size()));
  std::vector<std::size_t> widths;
  int used = 0;
  for (double fraction : fractions) used += static_cast<int>(widths.emplace_back(static_cast<std::size_t>(fraction * inner)));
  widths.front() += static_cast<std::size_t>(inner - used);
  return widths;
}

std::string title(const ModelSummary::Row& row) { return fmt::format("{} ({})", row.name, row.class_name); }

std::string memory_line(std::string_view what, const ModelSummary::Memory& memory) {
  return fmt::format(" {} memory: {} at batch size {} ({} intermediates, {} variables)\n", what,
                     readable_bytes(memory.intermediates + memory.variables), memory.batch_size,
                     readable_bytes(memory.intermediates), readable_bytes(memory.variables));
}

}  // namespace

std::string ModelSummary::text(int width) const {
  std::string text = fmt::format("Model: \"{}\"\n", escaped(name));
  // What a layer takes is a shape in a stack, and the layers before it in a graph.
  if (branches) {
    Table table(share(width, {0.30, 0.26, 0.17, 0.27}), 2);
    table.head({"Layer (type)", "Output Shape", "Param #", "Connected to"});
    for (const Row& row : rows) {
      std::string links;
      for (const std::string& link : row.connected_to) links += (links.empty() ? "" : ", ") + link;
      table.line({title(row), shapes_text(row.outputs), with_commas(row.parameters), links.empty() ? "-" : links});
    }
    text += table.finish();
  } else {
    Table table(share(width, {0.30, 0.27, 0.27, 0.16}), 3);
    table.head({"Layer (type)", "Input Shape", "Output Shape", "Param #"});
    for (const Row& row : rows) table.line({title(row), row.inputs.empty() ? "-" : shapes_text(row.inputs), shapes_text(row.outputs), with_commas(row.parameters)});
    text += table.finish();
  }
  text += fmt::format(" Total params: {} ({})\n", with_commas(trainable + non_trainable + optimizer),
                      readable_bytes(trainable_bytes + non_trainable_bytes + optimizer_bytes));
  text += fmt::format(" Trainable params: {} ({})\n", with_commas(trainable), readable_bytes(trainable_bytes));
  text += fmt::format(" Non-trainable params: {} ({})\n", with_commas(non_trainable), readable_bytes(non_trainable_bytes));
  if (optimizer) text += fmt::format(" Optimizer params: {} ({})\n", with_commas(optimizer), readable_bytes(optimizer_bytes));
  for (const Port& input : inputs) text += fmt::format(" Input '{}': {}\n", escaped(input.name), input.type);
  for (const Port& output : outputs) text += fmt::format(" Output '{}': {}\n", escaped(output.name), output.type);
  if (flops) text += fmt::format(" FLOPs per sample: {}\n", readable_flops(*flops));
  if (prediction) text += memory_line("Prediction", *prediction);
  if (training) text += memory_line("Training", *training);
  return text;
}

Tree ModelSummary::tree() const {
  const auto number = [](std::size_t value) { return static_cast<std::int64_t>(value); };
  const auto optional = [](const std::optional<std::int64_t>& value) { return value ? Tree(*value) : Tree(); };
  const auto shape = [](const Shape& value) { return FieldKind<Shape>::write(value, Style::keras); };
  const auto shapes = [&](const std::vector<Shape>& values) {  // one alone, several as a list
    if (values.size() == 1) return shape(values.front());
    Tree list = Tree::sequence();
    for (const Shape& value : values) list.push(shape(value));
    return list;
  };
  const auto ports = [&](const std::vector<Port>& list) {
    Tree trees = Tree::sequence();
    for (const Port& port : list) {
      Tree& tree = trees.items().emplace_back();
      tree.set("name", port.name);
      tree.set("dtype", name_of(port.type.dtype));
      tree.set("shape", shape(port.type.shape));
    }
    return trees;
  };
  const auto memory = [&](const std::optional<Memory>& value) {
    if (!value) return Tree();
    Tree tree;
    tree.set("batch_size", value->batch_size);
    tree.set("intermediate_bytes", number(value->intermediates));
    tree.set("variable_bytes", number(value->variables));
    return tree;
  };

  Tree tree, layers = Tree::sequence();
  for (const Row& row : rows) {
    Tree& layer = layers.items().emplace_back();
    Tree links = Tree::sequence();
    for (const std::string& link : row.connected_to) links.push(link);
    layer.set("name", row.name);
    layer.set("class_name", row.class_name);
    layer.set("input_shape", shapes(row.inputs));
    layer.set("output_shape", shapes(row.outputs));
    layer.set("params", row.parameters);
    layer.set("flops", optional(row.flops));
    layer.set("connected_to", std::move(links));
  }
  tree.set("name", name);
  tree.set("class_name", class_name);
  tree.set("layers", std::move(layers));
  tree.set("inputs", ports(inputs));
  tree.set("outputs", ports(outputs));
  tree.set("total_params", trainable + non_trainable);
  tree.set("trainable_params", trainable);
  tree.set("non_trainable_params", non_trainable);
  tree.set("optimizer_params", optimizer);
  tree.set("flops_per_sample", optional(flops));
  tree.set("prediction_memory", memory(prediction));
  tree.set("training_memory", memory(training));
  return tree;
}

}  // namespace nacre
