// Plain data as bytes, to be handed from one process of nacre to another of the same build; no format for files.
//
// One function `carry` describes a structure for both ways:
//   void carry(auto& wire, LayerWeights& weights) { wire(weights.layer, weights.weights); }
#pragma once

#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/core/tensor.h"
#include "formats/tree.h"

namespace nacre {

class WireWriter {
 public:
  void operator()(auto&... values) { (write(values), ...); }
  std::string take() { return std::move(bytes_); }

 private:
  void write(std::uint64_t value);
  void write(bool value) { write(std::uint64_t{value}); }
  void write(const std::string& text);
  void write(const Mark& mark);
  void write(const Tree& tree);  // with its marks, for messages
  void write(const Tensor& tensor);
  template <class T>
  void write(std::vector<T>& values) {
    write(std::uint64_t{values.size()});
    for (T& value : values) write(value);
  }
  template <class T>
  void write(std::optional<T>& value) {
    write(value.has_value());
    if (value) write(*value);
  }
  template <class T>
  void write(std::map<std::string, T>& values) {
    write(std::uint64_t{values.size()});
    for (auto& [key, value] : values) write(key), write(value);
  }
  template <class T>
  void write(T& structure)
    requires requires(WireWriter& wire) { carry(wire, structure); }
  {
    carry(*this, structure);
  }

  std::string bytes_;
};

// Reads with distrust: what wrote the bytes may have been taken over. Throws Error when they make no sense.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}
  void operator()(auto&... values) { (read(values), ...); }
  void expect_end() const;

 private:
  void read(std::uint64_t& value);
  void read(bool& value);
  void read(std::string& text);
  void read(Mark& mark);
  void read(Tree& tree);
  void read(Tensor& tensor);
  template <class T>
  void read(std::vector<T>& values) {
    values.clear();
    for (std::uint64_t count = count_left(); count > 0; --count) read(values.emplace_back());
  }
  template <class T>
  void read(std::optional<T>& value) {
    bool present = false;
    read(present);
    value.reset();
    if (present) read(value.emplace());
  }
  template <class T>
  void read(std::map<std::string, T>& values) {
    values.clear();
    for (std::uint64_t count = count_left(); count > 0; --count) {
      std::string key;
      read(key);
      read(values[key]);
    }
  }
  template <class T>
  void read(T& structure)
    requires requires(WireReader& wire) { carry(wire, structure); }
  {
    carry(*this, structure);
  }
  std::string_view take(std::uint64_t size);
  std::uint64_t count_left();  // of elements, each of which takes a byte at least

  std::string_view rest_;
  int depth_ = 0;  // of the tree at hand
};

template <class T>
std::string to_wire(T value) {
  WireWriter wire;
  wire(value);
  return wire.take();
}
template <std::default_initializable T>
T from_wire(std::string_view bytes) {
  T value;
  WireReader wire(bytes);
  wire(value);
  wire.expect_end();
  return value;
}

}  // namespace nacre
