// Pooling over up to three spatial axes, channels last. Each element of a result walks over the places that it is
// connected with, so nothing is added by several threads at once.
#include "backend/graph/ops/pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/cudnn/kernels.h"

namespace nacre::gpu {

namespace {

class Windows {
 public:
  Windows(const PoolAttrs& p, const Shape& x) : channels_(x[-1]) {
    const std::vector<WindowAxis> placed = window_axes(p, x);
    for (std::size_t a = 0; a < placed.size(); ++a)
      axes_.push_back({x[static_cast<int>(a) + 1], p.window[a], placed[a].output, p.strides[a], placed[a].before});
    std::int64_t results = x[0] * channels_, window = 1;
    for (const Axis& axis : axes_) results *= axis.output, window *= axis.window;
    // Divisions of short indices are several times faster.
    if (std::max({x.elements(), results, window}) < std::int64_t{1} << 30) index_ = "int";
  }

  // The body of a loop over the elements `i` of the pooling's result: `inside` for each place of its window that lies
  // in the operand, where `place` numbers it in the window and `x` is the operand's index.
  std::string over_window(std::string_view inside) const {
    return walk("y", &Axis::output, "x", &Axis::operand, inside, [this](const Axis& axis, std::size_t a) {
      return fmt::format("const {4} x{0} = y{0} * {1} + k{0} - {2}; if (x{0} < 0 || x{0} >= {3}) continue;", a,
                         axis.stride, axis.before, axis.operand, index_);
    });
  }
  // The same over the elements of the pooling's operand: `inside` for each window that the element lies in, of which
  // `y` is the index in the result.
  std::string over_windows(std::string_view inside) const {
    return walk("x", &Axis::operand, "y", &Axis::output, inside, [this](const Axis& axis, std::size_t a) {
      return fmt::format(
          "const {4} t{0} = x{0} + {2} - k{0}, y{0} = t{0} / {1}; if (t{0} < 0 || t{0} % {1} != 0 || y{0} >= {3}) "
          "continue;",
          a, axis.stride, axis.before, axis.output, index_);
    });
  }
  // How many places of the window at y0, y1, … lie in the operand, or 1: what the sum of no places is divided by.
  std::string count() const {
    std::string text;
    for (std::size_t a = 0; a < axes_.size(); ++a) {
      const Axis& axis = axes_[a];
      text += fmt::format("{0}(smaller(({6}){1}, y{2} * {3} - {4} + {5}) - larger(({6})0, y{2} * {3} - {4}))",
                          a ? " * " : "", axis.operand, a, axis.stride, axis.before, axis.window, index_);
    }
    return fmt::format("larger(({})1, {})", index_, text);
  }

 private:
  struct Axis {
    std::int64_t operand, window, output, stride, before;
  };
  // From each element of one side over the places of a window to the other side; `step` says where along an axis one is
  // then.
  template <class Step>
  std::string walk(std::string_view from, std::int64_t Axis::*from_size, std::string_view to,
                   std::int64_t Axis::*to_size, std::string_view inside, Step&& step) const {
    std::string text = coordinates(from_size, from), place = "0", index = "batch";
    for (std::size_t a = 0; a < axes_.size(); ++a) {
      text += fmt::format("    for ({3} k{0} = 0; k{0} < {1}; ++k{0}) {{ {2}\n", a, axes_[a].window, step(axes_[a], a),
                          index_);
      place = fmt::format("({}) * {} + k{}", place, axes_[a].window, a);
      index = fmt::format("({}) * {} + {}{}", index, axes_[a].*to_size, to, a);
    }
    return text + fmt::format("    const {} place = {}, {} = ({}) * {} + channel; {}\n    {}\n", index_, place, to,
                              index, channels_, inside, std::string(axes_.size(), '}'));
  }
  // What `i` is made of: batch, a coordinate for each axis, channel.
  std::string coordinates(std::int64_t Axis::*size, std::string_view name) const {
    std::string text = fmt::format("    const {} channel = i % {};\n", index_, channels_);
    std::int64_t inner = channels_;
    for (std::size_t a = axes_.size(); a-- > 0; inner *= axes_[a].*size)
      text += fmt::format("    const {} {}{} = i / {} % {};\n", index_, name, a, inner, axes_[a].*size);
    return text + fmt::format("    const {} batch = i / {};\n", index_, inner);
  }

  std::vector<Axis> axes_;
  std::int64_t channels_;
  std::string_view index_ = "integer";  // type
};

}  // namespace

KernelPlan max_pool(const KernelRequest& request) {
  const Windows windows(request.node.attrs<PoolAttrs>(), request.node.in(0).shape());
  const DType dtype = request.node.in(0).dtype();
  const std::string_view type = compute_type(dtype);
  // The first NaN stays: it must not get lost.
  const std::string take = fmt::format(
      "const {} value = {}; if (at < 0 || value > most || (value != value && most == most)) most = value, at = place;",
      type, load(dtype, "in0", "x"));
  return over_elements(request,
                       fmt::format("    {} most = 0;\n    integer at = -1;\n{}    {}\n    out1[i] = (int)at;\n", type,
                                   windows.over_window(take), store(dtype, "out0", "i", "most")));
}

KernelPlan max_pool_backward(const KernelRequest& request) {
  const Windows windows(request.node.attrs<PoolBackwardAttrs>().pool, request.node.types()[0].shape);
  const DType dtype = request.node.types()[0].dtype;
  return over_elements(
      request,
      fmt::format("    {} sum = 0;\n{}    {}\n", compute_type(dtype),
                  windows.over_windows(fmt::format("if (in0[y] == place) sum += {};", load(dtype, "in1", "y"))),
                  store(dtype, "out0", "i", "sum")));
}

KernelPlan average_pool(const KernelRequest& request) {
  const Windows windows(request.node.attrs<PoolAttrs>(), request.node.in(0).shape());
  const DType dtype = request.node.in(0).dtype();
  return over_elements(request, fmt::format("    {0} sum = 0;\n{1}    {2}\n", compute_type(dtype),
                                            windows.over_window(fmt::format("sum += {};", load(dtype, "in0", "x"))),
                                            store(dtype, "out0", "i", fmt::format("sum / ({})", windows.count()))));
}

KernelPlan average_pool_backward(const KernelRequest& request) {
  const Windows windows(request.node.attrs<PoolBackwardAttrs>().pool, request.node.types()[0].shape);
  const DType dtype = request.node.types()[0].dtype;
  return over_elements(
      request,
      fmt::format("    {} sum = 0;\n{}    {}\n", compute_type(dtype),
                  windows.over_windows(fmt::format("sum += {} / ({});", load(dtype, "in0", "y"), windows.count())),
                  store(dtype, "out0", "i", "sum")));
}

}  // namespace nacre::gpu
