// Regular expressions on the names of weights: which optimizer a weight has, what weight decay passes over.
//
// They mean what Python's `re` makes of them. Since they may come from model files, their length is bounded when they
// are read, steps and memory when they are matched.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace nacre {

// Copies share the compiled expression, which any number of threads may use.
class NamePattern {
 public:
  explicit NamePattern(std::string expression);  // Error when it is none, or longer than 1000 bytes

  bool found_in(std::string_view name) const;  // re.search
  bool matches(std::string_view name) const;   // re.fullmatch

 private:
  struct Code;
  bool applies(std::string_view name, unsigned options) const;

  std::shared_ptr<const Code> code_;
};

}  // namespace nacre
