#include "backend/core/dtype.h"

#include <array>
#include <utility>
#include <vector>

namespace nacre {

namespace {
constexpr std::array<std::pair<std::string_view, DType>, 9> names{{{"bool", DType::boolean},
                                                                   {"uint8", DType::uint8},
                                                                   {"int32", DType::int32},
                                                                   {"int64", DType::int64},
                                                                   {"float16", DType::float16},
                                                                   {"bfloat16", DType::bfloat16},
                                                                   {"float32", DType::float32},
                                                                   {"float64", DType::float64},
                                                                   {"string", DType::string}}};
}  // namespace

std::string_view name_of(DType dtype) { return names[static_cast<std::size_t>(dtype)].first; }

DType dtype_named(std::string_view name) {
  std::vector<std::string_view> known;
  for (const auto& [text, dtype] : names) {
    if (text == name) return dtype;
    known.push_back(text);
  }
  throw Error("unknown dtype '{}'", name).hint(suggestion(name, known)).usage();
}

void refuse_texts() { throw Error("got texts, wanted numbers"); }

}  // namespace nacre
