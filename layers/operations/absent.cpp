// Operations of Keras's that are not here, and why.
#include "layers/operations.h"

namespace nacre {

namespace {

constexpr std::string_view package = "keras.src.ops.";  // with a module behind it

enum class Reason : std::uint8_t { code, sizes, complex_numbers, constants, other };

struct Absent {
  std::string_view class_name;
  Reason reason;
};
// Of Keras 3.15.
constexpr Absent absent[] = {
    {"Map", Reason::code},
    {"Scan", Reason::code},
    {"AssociativeScan", Reason::code},
    {"Switch", Reason::code},
    {"WhileLoop", Reason::code},
    {"ForiLoop", Reason::code},
    {"Cond", Reason::code},
    {"VectorizedMap", Reason::code},
    {"JVP", Reason::code},
    {"Nonzero", Reason::sizes},
    {"Unique", Reason::sizes},
    {"Eig", Reason::complex_numbers},
    {"Polar", Reason::complex_numbers},
    {"ViewAsComplex", Reason::complex_numbers},
    {"ViewAsReal", Reason::complex_numbers},
    {"Arange", Reason::constants},
    {"ElasticTransform", Reason::other},
};

std::string_view reason_text(Reason reason) {
  switch (reason) {
    case Reason::code: return "holds Python code, which nacre does not run";
    case Reason::sizes: return "has results whose size depends on the values, which nacre's graphs do not know";
    case Reason::complex_numbers: return "computes complex numbers, which nacre does not have";
    case Reason::constants: return "has constants alone as arguments, so there is nothing to compute in a model";
    case Reason::other: break;
  }
  return "is not supported";
}

std::string_view hint_text(const Absent* known, Reason reason) {
  switch (reason) {
    case Reason::code: return "in Keras, write what the function does as layers and operations, and save the model again";
    case Reason::sizes:
      return "in Keras, end the model before it, or keep the size and mark elements instead, with ops.where, ops.top_k or "
             "ops.argsort, and save the model again";
    case Reason::complex_numbers:
      return known->class_name == "Eig"
                 ? "in Keras, use ops.eigh if the matrices are symmetric, or end the model before it, and save it again"
                 : "in Keras, keep the real and the imaginary part in two tensors, as ops.fft does, and save the model again";
    case Reason::constants: return "write the numbers where they are used, or draw them with ops.Linspace";
    case Reason::other: break;
  }
  if (known && known->class_name == "ElasticTransform")
    return "in Keras, use the layer RandomElasticTransform, and save the model again";
  return "in Keras, end the model before it or write it with other operations, and save the model again; "
         "tutorials/reference/layers_operations.md lists them";
}

}  // namespace

std::optional<Error> refused_operation(std::string_view class_name, std::string_view module, std::string_view layer) {
  const Absent* known = nullptr;
  for (const Absent& each : absent)
    if (each.class_name == class_name || snake_case(each.class_name) == class_name) known = &each;
  if (!module.starts_with(package) && !(module.empty() && known)) return std::nullopt;
  const Reason reason = known ? known->reason : Reason::other;
  const std::string of = layer.empty() ? "" : fmt::format(" of layer '{}'", layer);
  return Error("operation keras.ops.{}{} {}", known ? known->class_name : class_name, of, reason_text(reason))
      .hint(std::string(hint_text(known, reason)))
      .usage();
}

}  // namespace nacre
