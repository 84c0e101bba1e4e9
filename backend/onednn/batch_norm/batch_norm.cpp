// Batch normalisation in training: x is read twice forward and twice backward, whatever the activation and the residual
// beside it. oneDNN 3.2 reads it three times forward, and keeps a mask where it joins the activation.
#include <algorithm>
#include <cmath>

#include "backend/core/parallel.h"
#include "backend/graph/ops/normalization.h"
#include "backend/onednn/batch_norm/loops.h"
#include "backend/onednn/kernels.h"

namespace nacre::onednn {

namespace {

using Rows = BatchNormLoops::Rows;
using Channels = BatchNormLoops::Channels;
using Bounds = BatchNormLoops::Bounds;

// x as (samples, blocks, places, width): blocked by channels, or plain as one block of all channels.
struct Geometry {
  std::int64_t samples = 1, blocks = 1, places = 1, width = 1;
  std::int64_t channels = 1;  // without those that fill up the last block
  std::size_t element = 4;

  std::int64_t rows() const { return samples * places; }
  std::int64_t padded() const { return blocks * width; }
};

Geometry geometry_of(const Type& x, const Layout& layout) {
  Geometry at{.channels = x.shape[-1], .element = size_of(x.dtype)};
  const std::int64_t rows = x.shape.first(x.shape.rank() - 1).elements();
  if (!layout.detail()) {
    at.places = rows;
    at.width = at.channels;
    return at;
  }
  const Desc desc = desc_of(layout, x);
  at.width = desc.get_inner_blks()[0];
  at.samples = x.shape[0];
  at.places = rows / std::max<std::int64_t>(at.samples, 1);
  at.blocks = (at.channels + at.width - 1) / at.width;
  return at;
}

// How threads share the work: by blocks of channels where that comes out even, for then what was read once is near when
// it is read again; else by rows, and they meet between the passes.
struct Shares {
  int by_blocks = 1, by_rows = 1;
};
Shares shares_of(const Geometry& at) {
  constexpr std::int64_t least = 1 << 15;  // elements worth a thread
  const auto parts = static_cast<int>(
      std::clamp<std::int64_t>(at.rows() * at.padded() / least, 1, std::clamp<std::int64_t>(at.rows(), 1, threads())));
  const bool even = at.blocks % parts == 0 || at.blocks >= 4 * parts;
  return even ? Shares{.by_blocks = parts} : Shares{.by_rows = parts};
}

// Loops over one thread's part of a tensor.
class Part {
 public:
  Part(const Geometry& at, const Shares& shares, int part)
      : at_(at),
        row_part_(shares.by_rows > 1 ? part : 0),
        first_block_(shares.by_blocks > 1 ? at.blocks * part / shares.by_blocks : 0),
        last_block_(shares.by_blocks > 1 ? at.blocks * (part + 1) / shares.by_blocks : at.blocks),
        first_row_(at.rows() * row_part_ / shares.by_rows),
        last_row_(at.rows() * (row_part_ + 1) / shares.by_rows) {}

  std::int64_t first_block() const { return first_block_; }
  std::int64_t last_block() const { return last_block_; }
  std::int64_t row_part() const { return row_part_; }

  // body(offset in bytes, rows) of pieces of a block that fit the nearest cache.
  template <class Body>
  void each(std::int64_t block, Body&& body) const {
    constexpr std::int64_t near = 4096;  // elements
    const std::int64_t most = std::max<std::int64_t>(near / at_.width, 8);
    for (std::int64_t row = first_row_; row < last_row_;) {
      const std::int64_t sample = row / at_.places, place = row % at_.places;
      const std::int64_t count = std::min({most, last_row_ - row, at_.places - place});
      const std::int64_t offset = ((sample * at_.blocks + block) * at_.places + place) * at_.width;
      body(static_cast<std::size_t>(offset) * at_.element, Rows{count, at_.width});
      row += count;
    }
  }

 private:
  const Geometry& at_;
  std::int64_t row_part_, first_block_, last_block_, first_row_, last_row_;
};

const std::byte* at(const void* memory, std::size_t offset) { return static_cast<const std::byte*>(memory) + offset; }
std::byte* at(void* memory, std::size_t offset) { return static_cast<std::byte*>(memory) + offset; }

Bounds bounds_of(const Epilogue& epilogue) {
  const auto activation = epilogue.activation == EpilogueKind::relu   ? BatchNormLoops::Activation::relu
                          : epilogue.activation == EpilogueKind::clip ? BatchNormLoops::Activation::clip
                                                                      : BatchNormLoops::Activation::none;
  return {activation, static_cast<float>(epilogue.alpha), static_cast<float>(epilogue.beta)};
}

// What both directions have.
class BatchNormKernel : public Kernel {
 public:
  BatchNormKernel(const KernelRequest& request, const Layout& layout)
      : at_(geometry_of(request.node.in(0).type(), layout)),
        shares_(shares_of(at_)),
        loops_(batch_norm_loops(request.node.in(0).dtype() == DType::bfloat16)),
        epsilon_(static_cast<float>(request.node.attrs<BatchNormAttrs>().epsilon)),
        bounds_(bounds_of(request.node.attrs<BatchNormAttrs>().epilogue)) {}

  // Arrays of one float for each channel, blocks filled up.
  std::size_t scratch_bytes() const { return static_cast<std::size_t>(arrays() * at_.padded()) * sizeof(float); }

 protected:
  static constexpr std::int64_t partial = 2, shared = 5;
  int parts() const { return shares_.by_blocks * shares_.by_rows; }
  std::int64_t arrays() const { return shared + partial * shares_.by_rows; }
  float* array(void* scratch, std::int64_t index) const { return static_cast<float*>(scratch) + index * at_.padded(); }
  float* partial_array(void* scratch, std::int64_t row_part, std::int64_t index) const {
    return array(scratch, shared + partial * row_part + index);
  }
  // first(part, block) adds up what part of the rows say about a block, meet(block) joins what all said, and second(part,
  // block) uses it.
  template <class First, class Meet, class Second>
  void run_passes(First&& first, Meet&& meet, Second&& second) const {
    parallel_team(parts(), [&](int thread, int threads, auto&& barrier) {
      const bool whole_blocks = shares_.by_rows == 1;
      for (int index = thread; index < parts(); index += threads) {
        const Part part(at_, shares_, index);
        for (std::int64_t block = part.first_block(); block < part.last_block(); ++block) {
          first(part, block);
          if (!whole_blocks) continue;
          meet(block);
          second(part, block);
        }
      }
      if (whole_blocks) return;
      barrier();
      for (std::int64_t block = at_.blocks * thread / threads; block < at_.blocks * (thread + 1) / threads; ++block)
        meet(block);
      barrier();
      for (int index = thread; index < parts(); index += threads) {
        const Part part(at_, shares_, index);
        for (std::int64_t block = 0; block < at_.blocks; ++block) second(part, block);
      }
    });
  }

  // Calls body(channel) for the channels of a block, and blank(channel) for those that fill it up.
  template <class Body, class Blank>
  void each_channel(std::int64_t block, Body&& body, Blank&& blank) const {
    for (std::int64_t c = block * at_.width; c < (block + 1) * at_.width; ++c)
      if (c < at_.channels) body(c);
      else blank(c);
  }

  Geometry at_;
  Shares shares_;
  const BatchNormLoops& loops_;
  float epsilon_;
  Bounds bounds_;
};

class Forward final : public BatchNormKernel {
 public:
  using BatchNormKernel::BatchNormKernel;

  void run(const KernelArguments& arguments) override {
    const auto& in = arguments.inputs;
    const auto& out = arguments.outputs;
    const auto *gamma = static_cast<const float*>(in[1]), *beta = static_cast<const float*>(in[2]);
    auto *means = static_cast<float*>(out[1]), *variances = static_cast<float*>(out[2]);
    const void* residual = in.size() > 3 ? in[3] : nullptr;
    float *mean = array(arguments.scratch, 0), *scale = array(arguments.scratch, 1), *shift = array(arguments.scratch, 2);
    const auto partly = [&](std::int64_t row_part, std::int64_t index) {
      return partial_array(arguments.scratch, row_part, index);
    };

    run_passes(
        [&](const Part& part, std::int64_t block) {
          const std::int64_t channel = block * at_.width;
          float *m = partly(part.row_part(), 0) + channel, *deviations = partly(part.row_part(), 1) + channel;
          std::fill_n(m, at_.width, 0.0f);
          std::fill_n(deviations, at_.width, 0.0f);
          float before = 0;
          part.each(block, [&](std::size_t offset, Rows rows) {
            loops_.observe(at(in[0], offset), rows, before, m, deviations);
            before += static_cast<float>(rows.count);
          });
        },
        [&](std::int64_t block) {
          each_channel(
              block,
              [&](std::int64_t c) {
                double m = 0, deviations = 0, before = 0;
                for (int p = 0; p < shares_.by_rows; ++p) {
                  const auto count = static_cast<double>(at_.rows() * (p + 1) / shares_.by_rows -
                                                         at_.rows() * p / shares_.by_rows);
                  if (count == 0) continue;
                  const double difference = static_cast<double>(partly(p, 0)[c]) - m;
                  m += difference * count / (before + count);
                  deviations += static_cast<double>(partly(p, 1)[c]) +
                                difference * difference * before * count / (before + count);
                  before += count;
                }
                mean[c] = means[c] = static_cast<float>(m);
                variances[c] = static_cast<float>(deviations / std::max(before, 1.0));
                scale[c] = gamma[c] / std::sqrt(variances[c] + epsilon_);
                shift[c] = beta[c];
              },
              [&](std::int64_t c) { mean[c] = scale[c] = shift[c] = 0; });
        },
        [&](const Part& part, std::int64_t block) {
          const std::int64_t c = block * at_.width;
          const Channels channels{mean + c, scale + c, shift + c};
          part.each(block, [&](std::size_t offset, Rows rows) {
            loops_.normalise(at(in[0], offset), residual ? at(residual, offset) : nullptr, at(out[0], offset), rows,
                             channels, bounds_);
          });
        });
  }
};

class Backward final : public BatchNormKernel {
 public:
  Backward(const KernelRequest& request, const Layout& layout)
      : BatchNormKernel(request, layout),
        by_result_(request.node.types().size() > 3),
        by_operand_(request.node.inputs().size() > 5 && !by_result_) {}

  void run(const KernelArguments& arguments) override {
    const auto& in = arguments.inputs;
    const auto& out = arguments.outputs;
    const auto *gamma = static_cast<const float*>(in[1]), *mean_of = static_cast<const float*>(in[2]),
               *variance_of = static_cast<const float*>(in[3]);
    const auto* beta = by_operand_ ? static_cast<const float*>(in[5]) : nullptr;
    auto *dgamma = static_cast<float*>(out[1]), *dbeta = static_cast<float*>(out[2]);
    const auto shared_array = [&](std::int64_t index) { return array(arguments.scratch, index); };
    float *mean = shared_array(0), *scale = shared_array(1), *shift = shared_array(2), *slope = shared_array(3),
          *offset_of = shared_array(4);
    const auto partly = [&](std::int64_t row_part, std::int64_t index) {
      return partial_array(arguments.scratch, row_part, index);
    };
    for (std::int64_t c = 0; c < at_.padded(); ++c) {
      const bool blank = c >= at_.channels;  // fills up the last block
      mean[c] = blank ? 0.0f : mean_of[c];
      scale[c] = blank ? 0.0f : gamma[c] / std::sqrt(variance_of[c] + epsilon_);
      shift[c] = blank || !beta ? 0.0f : beta[c];
    }

    run_passes(
        [&](const Part& part, std::int64_t block) {
          const std::int64_t channel = block * at_.width;
          float *sum = partly(part.row_part(), 0) + channel, *product = partly(part.row_part(), 1) + channel;
          std::fill_n(sum, at_.width, 0.0f);
          std::fill_n(product, at_.width, 0.0f);
          const Channels channels{mean + channel, scale + channel, shift + channel};
          part.each(block, [&](std::size_t offset, Rows rows) {
            loops_.gather(at(in[0], offset), at(in[4], offset), by_result_ ? at(in[5], offset) : nullptr,
                          by_result_ ? at(out[3], offset) : nullptr, rows, channels, bounds_, sum, product);
          });
        },
        [&](std::int64_t block) {
          const auto count = static_cast<double>(std::max<std::int64_t>(at_.rows(), 1));
          each_channel(
              block,
              [&](std::int64_t c) {
                double sum = 0, product = 0;
                for (int p = 0; p < shares_.by_rows; ++p) sum += partly(p, 0)[c], product += partly(p, 1)[c];
                const double inverse = 1 / std::sqrt(static_cast<double>(variance_of[c]) + epsilon_);
                dgamma[c] = static_cast<float>(product * inverse);
                dbeta[c] = static_cast<float>(sum);
                slope[c] = static_cast<float>(-gamma[c] * inverse * inverse * inverse * product / count);
                offset_of[c] = static_cast<float>(-gamma[c] * inverse * sum / count);
              },
              [&](std::int64_t c) { slope[c] = offset_of[c] = 0; });
        },
        [&](const Part& part, std::int64_t block) {
          const std::int64_t c = block * at_.width;
          const Channels channels{mean + c, scale + c, shift + c};
          const void* dy = by_result_ ? out[3] : in[4];
          const Bounds bounds = by_result_ ? Bounds{} : bounds_;
          part.each(block, [&](std::size_t offset, Rows rows) {
            loops_.differentiate(at(in[0], offset), at(dy, offset), at(out[0], offset), rows, channels, bounds, slope + c,
                                 offset_of + c);
          });
        });
  }

 private:
  bool by_result_, by_operand_;  // where the activation passed gradients on is told by y, or by x and beta
};

// Blocks of channels, each whole in memory; else plain.
Layout row_layout(const Layout& given, const Type& x) {
  return given.detail() && layout_in_order_of(given, x, x) ? given : Layout::plain();
}

bool is_computed(const KernelRequest& request) {
  const DType x = request.node.in(0).dtype();
  return (x == DType::float32 || x == DType::bfloat16) && request.node.in(1).dtype() == DType::float32;
}

}  // namespace

KernelPlan batch_norm(const KernelRequest& request) {
  if (!is_computed(request)) return borrowed(request);
  const Layout layout = row_layout(request.inputs[0], request.node.in(0).type()), plain = Layout::plain();
  auto kernel = std::make_unique<Forward>(request, layout);
  KernelPlan plan{.inputs = {layout, plain, plain}, .outputs = {layout, plain, plain}};
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.in_place = {{.output = 0, .input = 0}};
  if (request.node.inputs().size() > 3) {
    plan.inputs.push_back(layout);
    plan.in_place.push_back({.output = 0, .input = 3});
  }
  plan.kernel = std::move(kernel);
  return plan;
}

KernelPlan batch_norm_backward(const KernelRequest& request) {
  if (!is_computed(request)) return borrowed(request);
  const Layout layout = row_layout(request.inputs[0], request.node.in(0).type()), plain = Layout::plain();
  auto kernel = std::make_unique<Backward>(request, layout);
  const bool by_result = request.node.types().size() > 3;
  KernelPlan plan{.inputs = {layout, plain, plain, plain, layout}, .outputs = {layout, plain, plain}};
  plan.scratch_bytes = kernel->scratch_bytes();
  if (request.node.inputs().size() > 5) plan.inputs.push_back(by_result ? layout : plain);
  if (by_result) {
    plan.outputs.push_back(layout);
    plan.in_place = {{.output = 3, .input = 4}, {.output = 0, .input = 0}};
  } else {
    plan.in_place = {{.output = 0, .input = 4}, {.output = 0, .input = 0}};
  }
  plan.kernel = std::move(kernel);
  return plan;
}

}  // namespace nacre::onednn
