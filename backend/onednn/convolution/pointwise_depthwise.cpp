// A convolution of 1 × 1 pixels and the depthwise one that follows it: strips of rows of the tensor between them, many
// times as large as both others, are made and used while they are near, and never are in memory as a whole.
#include "backend/graph/ops/pointwise_depthwise.h"

#include <algorithm>

#include "backend/core/parallel.h"
#include "backend/onednn/convolution/field.h"
#include "backend/onednn/kernels.h"

namespace nacre::onednn {

namespace {

// The orders of memory: pointwise kernels as groups of filters, (group, channel, filter of the group).
dnnl::memory::format_tag kernel_order(int group) {
  using Tag = dnnl::memory::format_tag;
  return group == 16 ? Tag::Ohwi16o : group == 8 ? Tag::Ohwi8o : Tag::Ohwi4o;
}

class PointwiseDepthwise final : public Kernel {
 public:
  PointwiseDepthwise(const Node& node, const Field& x, const Field& y)
      : loops_(convolution_loops()), x_(x), y_(y), panels_{y.channels, loops_.group} {
    const auto& p = node.attrs<PointwiseDepthwiseAttrs>();
    const Value kernel = node.in(depthwise_operand(p));
    pointwise_bias_ = p.pointwise.epilogue.bias;
    depthwise_bias_ = p.depthwise.epilogue.bias;
    pointwise_bounds_ = *bounds_of(p.pointwise.epilogue);
    depthwise_bounds_ = *bounds_of(p.depthwise.epilogue);
    kernel_operand_ = depthwise_operand(p);
    size_ = kernel.shape()[0];
    stride_ = p.depthwise.strides[0];
    const auto axes = window_axes(p.depthwise, pointwise_type(node).shape, kernel.shape());
    top_ = axes[0].before;
    left_ = axes[1].before;
    between_width_ = std::max(left_ + x.width, (y.width - 1) * stride_ + size_);
    // As many rows of a panel as the second cache holds beside what they are made of and become.
    constexpr std::int64_t near = 64 << 10;  // floats
    const std::int64_t fitting = near / (between_width_ * 2 * loops_.group);
    strip_ = std::clamp((fitting - size_) / stride_ + 1, std::int64_t{1}, y.height);
    strips_ = divide_up(y.height, strip_);
    strip_ = divide_up(y.height, strips_);
    parts_ = std::min<std::int64_t>(threads(), y.samples * strips_ * panels_.count());
  }

  std::size_t scratch_bytes() const { return static_cast<std::size_t>(parts_ * part_floats()) * sizeof(float); }

  void run(const KernelArguments& arguments) override {
    const std::int64_t units = y_.samples * strips_ * panels_.count();
    auto* scratch = static_cast<float*>(arguments.scratch);
    parallel_team(static_cast<int>(parts_), [&](int thread, int team, auto&&) {
      for (std::int64_t part = thread; part < parts_; part += team) {
        float *entered = scratch + part * part_floats(), *between = entered + entered_floats();
        std::int64_t last_strip = -1;
        for (std::int64_t unit = share(units, part, parts_); unit < share(units, part + 1, parts_); ++unit) {
          const std::int64_t strip = unit / panels_.count(), panel = unit % panels_.count();
          const Rows rows = rows_of(strip % strips_);
          const std::int64_t sample = strip / strips_;
          if (strip != last_strip) enter(arguments, sample, rows, entered);
          last_strip = strip;
          compute(arguments, sample, rows, panel, entered, between);
        }
      }
    });
  }

 private:
  // Rows of y; the rows of x that they are made of, which begin at `begin`, maybe outside; and those within it.
  struct Rows {
    std::int64_t first, last, begin, first_x, last_x;
  };
  Rows rows_of(std::int64_t strip) const {
    const std::int64_t first = strip * strip_, last = std::min(first + strip_, y_.height);
    const std::int64_t begin = first * stride_ - top_, end = (last - 1) * stride_ - top_ + size_;
    const std::int64_t first_x = std::clamp(begin, std::int64_t{0}, x_.height);
    return {first, last, begin, first_x, std::clamp(end, first_x, x_.height)};
  }

  std::int64_t most_rows() const { return (strip_ - 1) * stride_ + size_; }
  // Channels of a pixel lie apart unless they are all of a block.
  bool lies_apart() const { return x_.channels > x_.block_width; }
  std::int64_t entered_floats() const { return lies_apart() ? most_rows() * x_.width * x_.channels : 0; }
  std::int64_t part_floats() const { return entered_floats() + most_rows() * between_width_ * 2 * loops_.group; }

  static const float* input(const KernelArguments& arguments, std::size_t operand) {
    return static_cast<const float*>(arguments.inputs[operand]);
  }

  // Rows of x with the channels of each pixel side by side.
  void enter(const KernelArguments& arguments, std::int64_t sample, Rows rows, float* to) const {
    if (!lies_apart()) return;
    const float* x = input(arguments, 0);
    for (std::int64_t row = rows.first_x; row < rows.last_x; ++row)
      for (std::int64_t channel = 0; channel < x_.channels; channel += x_.block_width) {
        const float* from = x + x_.offset(sample, channel) + row * x_.row;
        const std::int64_t count = std::min(x_.block_width, x_.channels - channel);
        float* target = to + (row - rows.first_x) * x_.width * x_.channels + channel;
        for (std::int64_t column = 0; column < x_.width; ++column)
          std::copy_n(from + column * x_.column, count, target + column * x_.channels);
      }
  }

  // A panel of y. Rows of what lies between the convolutions are made just before the first row of y that reads them.
  void compute(const KernelArguments& arguments, std::int64_t sample, Rows rows, std::int64_t panel,
               const float* entered, float* between) const {
    const int groups = panels_.groups(panel);
    const std::int64_t width = groups * loops_.group, line = between_width_ * width, first = panels_.first(panel);
    const ConvolutionLoops::Columns columns{input(arguments, 1) + first * x_.channels, loops_.group,
                                            x_.channels * loops_.group, groups};
    const ConvolutionLoops::Around around{pointwise_bias_ ? input(arguments, 2) + first : nullptr, false,
                                          pointwise_bounds_};
    const float *taps = input(arguments, kernel_operand_),
                *bias = depthwise_bias_ ? input(arguments, kernel_operand_ + 1) : nullptr;
    auto* y = static_cast<float*>(arguments.outputs[0]);
    std::int64_t made = 0;
    for (std::int64_t row = rows.first; row < rows.last; ++row) {
      const std::int64_t begin = (row - rows.first) * stride_;
      for (; made < begin + size_; ++made)
        expand(arguments, sample, rows.begin + made, rows, columns, around, entered, between + made * line);
      for (std::int64_t column = 0; column < width; column += loops_.group) {
        const std::int64_t channel = first + column;
        loops_.depthwise({between + begin * line + column, line, width}, stride_, y_.width,
                         {taps + channel, y_.channels, static_cast<int>(size_)}, bias ? bias + channel : nullptr,
                         depthwise_bounds_, y + y_.offset(sample, channel) + row * y_.row, y_.column);
      }
    }
  }

  // One row, with the zeros before and after it; a row outside x is nothing but zeros.
  void expand(const KernelArguments& arguments, std::int64_t sample, std::int64_t row, Rows rows,
              ConvolutionLoops::Columns columns, const ConvolutionLoops::Around& around, const float* entered,
              float* to) const {
    const std::int64_t width = columns.panels * loops_.group, begin = left_ * width, end = begin + x_.width * width;
    const bool outside = row < 0 || row >= x_.height;
    std::fill(to, to + (outside ? between_width_ * width : begin), 0.0f);
    if (outside) return;
    std::fill(to + end, to + between_width_ * width, 0.0f);
    const ConvolutionLoops::Factor pixels =
        lies_apart()
            ? ConvolutionLoops::Factor{entered + (row - rows.first_x) * x_.width * x_.channels, x_.channels, 1}
            : ConvolutionLoops::Factor{input(arguments, 0) + x_.offset(sample, 0) + row * x_.row, x_.column, 1};
    loops_.product(pixels, x_.width, x_.channels, columns, to + begin, around);
  }

  const ConvolutionLoops& loops_;
  Field x_, y_;
  Panels panels_;
  bool pointwise_bias_, depthwise_bias_;
  Bounds pointwise_bounds_, depthwise_bounds_;
  std::size_t kernel_operand_ = 0;
  std::int64_t size_ = 3, stride_ = 1, top_ = 0, left_ = 0, between_width_ = 0;
  std::int64_t strip_ = 1, strips_ = 1, parts_ = 1;
};

}  // namespace

bool pointwise_depthwise_fits(const Node& node, const Backend&) {
  const auto& p = node.attrs<PointwiseDepthwiseAttrs>();
  const Shape &x = node.in(0).shape(), &kernel = node.in(depthwise_operand(p)).shape();
  return node.in(0).dtype() == DType::float32 && x.rank() == 4 && x[-1] > 0 && kernel[0] == kernel[1] &&
         (kernel[0] == 3 || kernel[0] == 5) && p.depthwise.strides[0] == p.depthwise.strides[1] &&
         p.depthwise.dilations == std::vector<std::int64_t>{1, 1} && node.types()[0].shape[-1] % 16 == 0 &&
         bounds_of(p.pointwise.epilogue) && bounds_of(p.depthwise.epilogue);
}

KernelPlan pointwise_depthwise(const KernelRequest& request) {
  const Node& node = request.node;
  const Type &x = node.in(0).type(), &y = node.types()[0], &kernel = node.in(1).type();
  std::optional<Layout> x_layout = request.inputs[0].is_any() ? Layout::plain() : request.inputs[0];
  std::optional<Layout> y_layout = layout_in_order_of(*x_layout, x, y);
  std::optional<Field> x_field, y_field;
  const auto look = [&] {
    x_field = field_of(channels_first(desc_of(*x_layout, x)));
    y_field = field_of(channels_first(desc_of(*y_layout, y)));
    return x_field && y_field && y_field->in_groups_of(convolution_loops().group);
  };
  if (!y_layout || !look()) {
    x_layout = y_layout = Layout::plain();
    look();
  }
  auto made = std::make_unique<PointwiseDepthwise>(node, *x_field, *y_field);
  const Desc order({y.shape[-1], x.shape[-1], 1, 1}, dnnl::memory::data_type::f32,
                   kernel_order(convolution_loops().group));
  std::vector<Layout> inputs(node.inputs().size(), Layout::plain());
  inputs[0] = *x_layout;
  inputs[1] = layout_of(order.permute_axes(inverse(weights_permutation(4, false))), kernel);
  return plan_of(std::move(made), std::move(inputs), {*y_layout});
}

}  // namespace nacre::onednn
