#include "tests/support/emulated_attention.h"

#include <cmath>
#include <cstring>

#include "backend/core/error.h"
#include "backend/core/tensor.h"

namespace nacre::test {

namespace {

class EmulatedAttention final : public gpu::Work {
 public:
  EmulatedAttention(const gpu::AttentionDescription& description, std::function<bool(const void*)> holds)
      : d_(description), holds_(std::move(holds)) {}
  std::size_t scratch_bytes() const override { return d_.gradients ? 200 : 0; }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const std::size_t operands = (d_.gradients ? 6u : 3u) + (d_.bias_batch > 0) + (d_.dropout > 0),
                      results = d_.gradients ? 3 : 2;
    for (std::size_t i = 0; i < operands; ++i) ensure(holds_(inputs[i]), "operand {} outside the memory", i);
    for (std::size_t i = 0; i < results; ++i) ensure(holds_(outputs[i]), "result {} outside the memory", i);
    if (d_.gradients) std::memset(scratch, 0x7b, scratch_bytes());
    visit(d_.dtype, [&]<class T>(T*) { compute<T>(inputs, outputs); });
  }

 private:
  // A tensor (batch, places, heads, features) in double.
  struct Rows {
    std::int64_t places, heads, features;
    std::vector<double> numbers{};
    double* operator()(std::int64_t sample, std::int64_t place, std::int64_t head) {
      return numbers.data() + ((sample * places + place) * heads + head) * features;
    }
  };
  Rows query_rows() const { return {d_.queries, d_.heads, d_.features}; }
  Rows key_rows() const { return {d_.keys, d_.groups, d_.features}; }
  Rows value_rows() const { return {d_.keys, d_.groups, d_.value_features}; }
  Rows result_rows() const { return {d_.queries, d_.heads, d_.value_features}; }

  Rows zeros(Rows rows) const {
    rows.numbers.assign(static_cast<std::size_t>(d_.batch * rows.places * rows.heads * rows.features), 0);
    return rows;
  }
  template <class T>
  Rows read(const void* from, Rows rows) const {
    rows = zeros(std::move(rows));
    for (std::size_t i = 0; i < rows.numbers.size(); ++i)
      rows.numbers[i] = convert<double>(static_cast<const T*>(from)[i]);
    return rows;
  }
  template <class T>
  static void write(const Rows& rows, void* to) {
    for (std::size_t i = 0; i < rows.numbers.size(); ++i) static_cast<T*>(to)[i] = convert<T>(rows.numbers[i]);
  }
  static double product(const double* a, const double* b, std::int64_t count) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
    return sum;
  }
  static void add(double* to, double factor, const double* from, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) to[i] += factor * from[i];
  }

  template <class T>
  void compute(std::span<const void* const> inputs, std::span<void* const> outputs) const {
    Rows query = read<T>(inputs[0], query_rows()), key = read<T>(inputs[1], key_rows()),
         value = read<T>(inputs[2], value_rows()), y = zeros(result_rows()), dy = zeros(result_rows());
    Rows dquery = zeros(query_rows()), dkey = zeros(key_rows()), dvalue = zeros(value_rows());
    auto* const statistics = static_cast<float*>(d_.gradients ? const_cast<void*>(inputs[4]) : outputs[1]);
    if (d_.gradients) y = read<T>(inputs[3], result_rows()), dy = read<T>(inputs[5], result_rows());
    std::size_t extra = d_.gradients ? 6 : 3;
    const T* const bias = d_.bias_batch > 0 ? static_cast<const T*>(inputs[extra++]) : nullptr;
    const T* const mask = d_.dropout > 0 ? static_cast<const T*>(inputs[extra]) : nullptr;
    std::vector<double> scores(static_cast<std::size_t>(d_.keys));
    for (std::int64_t n = 0; n < d_.batch; ++n)
      for (std::int64_t h = 0; h < d_.heads; ++h)
        for (std::int64_t i = 0; i < d_.queries; ++i) {
          const std::int64_t group = h / (d_.heads / d_.groups), seen = d_.causal ? std::min(i + 1, d_.keys) : d_.keys;
          float& logarithm = statistics[(n * d_.heads + h) * d_.queries + i];
          double largest = -HUGE_VAL, total = 0;
          for (std::int64_t j = 0; j < seen; ++j) {
            double& score = scores[static_cast<std::size_t>(j)];
            score = d_.scale * product(query(n, i, h), key(n, j, group), d_.features);
            if (bias)
              score += convert<double>(
                  bias[((n % d_.bias_batch * d_.bias_heads + h % d_.bias_heads) * d_.queries + i) * d_.keys + j]);
            largest = std::max(largest, score);
          }
          for (std::int64_t j = 0; j < seen; ++j) total += std::exp(scores[static_cast<std::size_t>(j)] - largest);
          if (!d_.gradients) logarithm = static_cast<float>(largest + std::log(total));
          const double mean = product(y(n, i, h), dy(n, i, h), d_.value_features);
          for (std::int64_t j = 0; j < seen; ++j) {
            const double weight = std::exp(scores[static_cast<std::size_t>(j)] - logarithm);
            double kept = 1;
            if (mask)
              kept = convert<double>(mask[((n * d_.heads + h) * d_.queries + i) * d_.keys + j]) / (1 - d_.dropout);
            if (!d_.gradients) {
              add(y(n, i, h), kept * weight, value(n, j, group), d_.value_features);
              continue;
            }
            const double slope =
                d_.scale * weight * (kept * product(dy(n, i, h), value(n, j, group), d_.value_features) - mean);
            add(dvalue(n, j, group), kept * weight, dy(n, i, h), d_.value_features);
            add(dquery(n, i, h), slope, key(n, j, group), d_.features);
            add(dkey(n, j, group), slope, query(n, i, h), d_.features);
          }
        }
    if (d_.gradients) write<T>(dquery, outputs[0]), write<T>(dkey, outputs[1]), write<T>(dvalue, outputs[2]);
    else write<T>(y, outputs[0]);
  }

  gpu::AttentionDescription d_;
  std::function<bool(const void*)> holds_;
};

}  // namespace

std::unique_ptr<gpu::Work> emulated_attention(const gpu::AttentionDescription& d,
                                              std::function<bool(const void*)> holds) {
  const bool known = d.dtype == DType::float16 || d.dtype == DType::bfloat16;
  const bool whole = d.features % 8 == 0 && d.value_features % 8 == 0;
  const bool narrow = d.features <= 256 && d.value_features <= 256;
  if (!known || !whole || !narrow || (d.gradients && d.queries == 1 && d.keys == 1)) return nullptr;
  return std::make_unique<EmulatedAttention>(d, std::move(holds));
}

}  // namespace nacre::test
