// Reading pictures at real-valued places; see backend/reference/resample.h for what a sample is made of.
#include "backend/graph/ops/resample.h"

#include <fmt/format.h>

#include "backend/cudnn/backend.h"
#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

namespace {

// How a place on an axis is brought back over the edges, as statements on `place`.
std::string_view folding(FillMode mode) {
  switch (mode) {
    case FillMode::constant: return "return place;";
    case FillMode::nearest: break;
    case FillMode::reflect:
      return R"({ const float length = size;
    float within = fmod(place, 2 * length);
    if (place < 0) within = within < -length ? within + 2 * length : -within - 1;
    else if (within >= length) within = 2 * length - within - 1;
    place = within; })";
    case FillMode::mirror:
      return R"(if (size == 1) return 0;
  place = fmod(place < 0 ? -place : place, 2 * last);
  if (place > last) place = 2 * last - place;)";
    case FillMode::wrap:
      return R"(if (size == 1) return 0;
  if (place < 0) place += size * (floor(-place / last) + 1);
  else if (place > last) place -= size * floor(place / last);)";
  }
  return "";
}

// The functions that the kernels below share: `taps` are the elements that count at a place, -1 for the fill value.
std::string functions(const ResampleAttrs& p, std::int64_t height, std::int64_t width) {
  constexpr std::string_view text = R"(static __device__ float folded(float place, integer size) {{
  const float last = size - 1;
  {folding}
  return smaller(larger(place, 0.0f), last);
}}
struct taps {{
  integer rows[4], columns[4];
  float weights[4];
  int count;
  __device__ void add(float row, float column, float weight) {{
    integer i = (integer)row, j = (integer)column;
    if (!(i >= 0 && i < {height} && j >= 0 && j < {width})) i = -1;
    rows[count] = i, columns[count] = j, weights[count++] = weight;
  }}
}};
static __device__ taps taps_at(float y, float x) {{
  taps found;
  found.count = 0;
  if (!((y < 0 ? -y : y) < 16777216 && (x < 0 ? -x : x) < 16777216)) {{  // up to which float counts whole numbers
    found.add(-1, -1, 1);
    return found;
  }}
  y = folded(y, {height}), x = folded(x, {width});
  {sampling}
  return found;
}}
)";
  constexpr std::string_view bilinear =
      R"(const float top = floor(y), left = floor(x), down = y - top, right = x - left;
  found.add(top, left, (1 - down) * (1 - right));
  found.add(top, left + 1, (1 - down) * right);
  found.add(top + 1, left, down * (1 - right));
  found.add(top + 1, left + 1, down * right);)";
  return fmt::format(
      text, fmt::arg("folding", folding(p.fill_mode)), fmt::arg("height", height), fmt::arg("width", width),
      fmt::arg("sampling", p.sampling == Sampling::nearest ? "found.add(round(y), round(x), 1);" : bilinear));
}

}  // namespace

KernelPlan resample(const KernelRequest& request) {
  const auto& p = request.node.attrs<ResampleAttrs>();
  const Type &x = request.node.in(0).type(), &y = request.node.types()[0];
  const std::int64_t height = x.shape[1], width = x.shape[2], channels = x.shape[3], samples = y.shape[1] * y.shape[2],
                     count = y.shape.elements();
  const std::string source = fmt::format(
      "{}{} {{\n  {}    const integer sample = i / {}, channel = i % {}, batch = sample / {};\n"
      "    const taps all = taps_at(in1[2 * sample], in1[2 * sample + 1]);\n    {} total = 0;\n"
      "    for (int k = 0; k < all.count; ++k)\n      total += all.weights[k] * (all.rows[k] < 0 ? {} : {});\n    {}\n"
      "  }}\n}}\n",
      functions(p, height, width), signature("run", operand_types(request), {y}),
      loop_head(count, std::max(x.shape.elements(), request.node.in(1).shape().elements())),
      std::max<std::int64_t>(channels, 1), std::max<std::int64_t>(channels, 1), std::max<std::int64_t>(samples, 1),
      compute_type(y.dtype), literal(y.dtype, p.fill_value),
      load(x.dtype, "in0",
           fmt::format("((batch * {} + all.rows[k]) * {} + all.columns[k]) * {} + channel", height, width, channels)),
      store(y.dtype, "out0", "i", "total"));
  return generated(request, source, grid_over(count, device_of(request)));
}

// A thread for each row of a picture and each channel looks at all samples of the picture, in their order, and adds
// what comes to its row: sums are the same in every run.
KernelPlan resample_backward(const KernelRequest& request) {
  const auto& p = request.node.attrs<ResampleBackwardAttrs>();
  const Type &dy = request.node.in(1).type(), &dx = request.node.types()[0];
  const Type sums{size_of(dx.dtype) == 2 ? DType::float32 : dx.dtype, dx.shape};
  const std::int64_t height = dx.shape[1], width = dx.shape[2], channels = dx.shape[3],
                     samples = dy.shape[1] * dy.shape[2], threads = dx.shape[0] * height * channels;
  Device& device = device_of(request);
  const std::string source = fmt::format(
      "{functions}{head} {{\n  {loop}    const integer batch = i / {both}, row = i / {channels} % {height}, "
      "channel = i % {channels};\n    const integer line = (batch * {height} + row) * {width};\n"
      "    for (integer column = 0; column < {width}; ++column) out0[(line + column) * {channels} + channel] = 0;\n"
      "    for (integer sample = batch * {samples}; sample < (batch + 1) * {samples}; ++sample) {{\n"
      "      const taps all = taps_at(in0[2 * sample], in0[2 * sample + 1]);\n"
      "      for (int k = 0; k < all.count; ++k)\n"
      "        if (all.rows[k] == row) out0[(line + all.columns[k]) * {channels} + channel] += all.weights[k] * "
      "{slope};\n"
      "    }}\n  }}\n}}\n",
      fmt::arg("functions", functions(p.resample, height, width)),
      fmt::arg("head", signature("run", operand_types(request), {sums})), fmt::arg("loop", loop_head(threads)),
      fmt::arg("both", std::max<std::int64_t>(height * channels, 1)),
      fmt::arg("height", std::max<std::int64_t>(height, 1)), fmt::arg("channels", std::max<std::int64_t>(channels, 1)),
      fmt::arg("width", width), fmt::arg("samples", samples),
      fmt::arg("slope", load(dy.dtype, "in1", fmt::format("sample * {} + channel", channels))));
  if (sums == dx) return generated(request, source, grid_over(threads, device));
  const std::int64_t count = dx.shape.elements();
  const std::string cast = fmt::format("{} {{\n  {}    {}\n  }}\n}}\n", signature("run", {sums}, {dx}),
                                       loop_head(count), store(dx.dtype, "out0", "i", "in0[i]"));
  return through_scratch(request, generated_kernel(device, source, grid_over(threads, device)), sums.bytes(),
                         generated_kernel(device, cast, grid_over(count, device)));
}

}  // namespace nacre::gpu
