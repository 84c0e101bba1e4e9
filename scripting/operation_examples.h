// For the reference: what each of nacre.ops gives.
#pragma once

#include <span>
#include <string_view>

namespace nacre::scripting {

struct OperationExample {
  std::string_view operation;  // "add"
  std::string_view call;       // an expression, in which `ops` is nacre.ops and `tensor` nacre.tensor
  std::string_view result;     // its results as tables, rounded to four digits
};
// In the order of the operations.
std::span<const OperationExample> operation_examples();

}  // namespace nacre::scripting
