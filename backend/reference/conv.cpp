#include "backend/graph/ops/conv.h"

#include "backend/reference/epilogue.h"
#include "backend/reference/kernel.h"
#include "backend/reference/kernels.h"
#include "backend/reference/windows.h"

namespace nacre::reference {
namespace {

// The products that a convolution sums: y[…, f] += x[…, c] kernel[…, c, f] for the channels c of the group of f.
class Products {
 public:
  Products(const ConvAttrs& p, const Shape& x, const Shape& kernel)
      : windows_(x, kernel, p.strides, p.dilations, window_axes(p, x, kernel)),
        channels_(x[-1]),
        group_channels_(kernel[-2]),
        filters_(kernel[-1]),
        group_filters_(kernel[-1] / p.groups) {}

  // body(index in x, index in the kernel, index in y)
  template <class Body>
  void each(Body&& body) const {
    windows_.each([&](std::int64_t x, std::int64_t place, std::int64_t y) {
      for (std::int64_t f = 0; f < filters_; ++f)
        for (std::int64_t c = 0; c < group_channels_; ++c)
          body(x * channels_ + f / group_filters_ * group_channels_ + c, (place * group_channels_ + c) * filters_ + f,
               y * filters_ + f);
    });
  }

 private:
  Windows windows_;
  std::int64_t channels_, group_channels_, filters_, group_filters_;
};

}  // namespace

KernelPlan conv(const KernelRequest& request) {
  const auto& p = request.node.attrs<ConvAttrs>();
  const Products products(p, request.node.in(0).shape(), request.node.in(1).shape());
  return compute(request, [products, epilogue = p.epilogue](Operands in, Results out) {
    products.each([&](auto x, auto kernel, auto y) { out[0][y] += in[0][x] * in[1][kernel]; });
    apply_epilogue(epilogue, in, 2, out[0]);
  });
}

KernelPlan conv_backward_data(const KernelRequest& request) {
  const auto& p = request.node.attrs<ConvBackwardDataAttrs>().conv;
  const Products products(p, request.node.types()[0].shape, request.node.in(1).shape());
  return compute(request, [products](Operands in, Results out) {
    products.each([&](auto x, auto kernel, auto y) { out[0][x] += in[0][y] * in[1][kernel]; });
  });
}

KernelPlan conv_backward_weights(const KernelRequest& request) {
  const auto& p = request.node.attrs<ConvBackwardWeightsAttrs>();
  const Products products(p.conv, request.node.in(0).shape(), p.shape);
  return compute(request, [products, bias = p.bias, filters = p.shape[-1]](Operands in, Results out) {
    products.each([&](auto x, auto kernel, auto y) { out[0][kernel] += in[0][x] * in[1][y]; });
    if (!bias) return;
    for (std::int64_t y = 0; y < in[1].shape.elements(); ++y) out[1][y % filters] += in[1][y];
  });
}

}  // namespace nacre::reference
