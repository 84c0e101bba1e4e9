#include "formats/wire.h"

#include <algorithm>
#include <cstring>

#include "formats/json.h"

namespace nacre {

namespace {

enum class Kind : std::uint64_t { sequence, mapping, text, other };  // of a tree; null, truth and numbers go as JSON
constexpr int deepest = 1000;

}  // namespace

void WireWriter::write(std::uint64_t value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }

void WireWriter::write(const std::string& text) {
  write(std::uint64_t{text.size()});
  bytes_ += text;
}

void WireWriter::write(const Mark& mark) {
  write(mark.file);
  write(static_cast<std::uint64_t>(mark.line));
  write(static_cast<std::uint64_t>(mark.column));
}

void WireWriter::write(const Tree& tree) {
  write(tree.mark());
  if (tree.is_sequence()) {
    write(static_cast<std::uint64_t>(Kind::sequence));
    write(std::uint64_t{tree.items().size()});
    for (const Tree& item : tree.items()) write(item);
  } else if (tree.is_mapping()) {
    write(static_cast<std::uint64_t>(Kind::mapping));
    write(std::uint64_t{tree.entries().size()});
    for (const Tree::Entry& entry : tree.entries()) write(entry.key), write(entry.mark), write(entry.value);
  } else if (tree.is_string()) {
    write(static_cast<std::uint64_t>(Kind::text));
    write(tree.as_string());
  } else {
    write(static_cast<std::uint64_t>(Kind::other));
    write(write_json(tree, 0, NotFinite::named));
  }
}

void WireWriter::write(const Tensor& tensor) {
  write(std::string(name_of(tensor.dtype())));
  write(static_cast<std::uint64_t>(tensor.shape().rank()));
  for (const std::int64_t size : tensor.shape()) write(static_cast<std::uint64_t>(size));
  if (tensor.dtype() == DType::string)
    for (const std::string& text : tensor.data<std::string>()) write(text);
  else bytes_.append(static_cast<const char*>(tensor.raw()), tensor.bytes());
}

std::string_view WireReader::take(std::uint64_t size) {
  need(size <= rest_.size(), "the data ends too early");
  const std::string_view taken = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return taken;
}

void WireReader::read(std::uint64_t& value) { std::memcpy(&value, take(sizeof value).data(), sizeof value); }

void WireReader::read(bool& value) {
  std::uint64_t number = 0;
  read(number);
  value = number != 0;
}

void WireReader::read(std::string& text) {
  std::uint64_t size = 0;
  read(size);
  text = take(size);
}

void WireReader::read(Mark& mark) {
  std::uint64_t line = 0, column = 0;
  read(mark.file);
  read(line);
  read(column);
  mark.line = static_cast<int>(line);
  mark.column = static_cast<int>(column);
}

void WireReader::read(Tree& tree) {
  need(++depth_ <= deepest, "a tree is deeper than {} levels", deepest);
  Mark mark;
  std::uint64_t kind = 0;
  std::string text;
  read(mark);
  read(kind);
  switch (static_cast<Kind>(kind)) {
    case Kind::sequence:
      tree = Tree::sequence();
      for (std::uint64_t count = count_left(); count > 0; --count) read(tree.items().emplace_back());
      break;
    case Kind::mapping:
      tree = Tree::mapping();
      for (std::uint64_t count = count_left(); count > 0; --count) {
        Tree::Entry& entry = tree.entries().emplace_back();
        read(entry.key);
        read(entry.mark);
        read(entry.value);
      }
      break;
    case Kind::text:
      read(text);
      tree = Tree(std::move(text));
      break;
    case Kind::other:
      read(text);
      tree = parse_json(text);
      break;
    default: throw Error("there is no kind of tree {}", kind);
  }
  tree.at(std::move(mark));
  --depth_;
}

void WireReader::read(Tensor& tensor) {
  std::string dtype;
  read(dtype);
  Shape shape;
  for (std::uint64_t rank = count_left(); rank > 0; --rank) {
    std::uint64_t size = 0;
    read(size);
    need(static_cast<std::int64_t>(size) >= 0, "an axis has {} elements", static_cast<std::int64_t>(size));
    shape.append(static_cast<std::int64_t>(size));
  }
  const Type type{dtype_named(dtype), shape};
  // Compared before anything is allocated; elements() checks the product. A text takes its length at least.
  const std::size_t smallest = type.dtype == DType::string ? sizeof(std::uint64_t) : size_of(type.dtype);
  need(static_cast<std::uint64_t>(shape.elements()) <= rest_.size() / smallest, "the data ends within a tensor");
  tensor = Tensor::uninitialised(type);
  if (type.dtype == DType::string) {
    for (std::string& text : tensor.writable<std::string>()) read(text);
    return;
  }
  const std::string_view bytes = take(tensor.bytes());
  if (type.dtype == DType::boolean) std::ranges::transform(bytes, tensor.writable<bool>().begin(), [](char byte) { return byte != 0; });
  else if (!bytes.empty()) std::memcpy(tensor.raw_writable(), bytes.data(), bytes.size());
}

std::uint64_t WireReader::count_left() {
  std::uint64_t count = 0;
  read(count);
  need(count <= rest_.size(), "a list of {} elements is longer than the data", count);
  return count;
}

void WireReader::expect_end() const { need(rest_.empty(), "{} bytes are left over", rest_.size()); }

}  // namespace nacre
