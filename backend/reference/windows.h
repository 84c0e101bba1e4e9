// Windows that move over spatial axes, of convolutions and poolings.
#pragma once

#include <array>
#include <span>

#include "backend/graph/ops/conv.h"

namespace nacre::reference {

// The places of an operand (batch, spatial…), of its windows and of the result, numbered row-major, without channels.
// There are always three spatial axes here: missing ones have size 1.
class Windows {
 public:
  Windows(const Shape& operand, const Shape& window, std::span<const std::int64_t> strides,
          std::span<const std::int64_t> dilations, std::span<const WindowAxis> placed) {
    batch_ = operand[0];
    for (std::size_t i = 0; i < strides.size(); ++i) {
      const int axis = static_cast<int>(i);
      const std::int64_t dilation = dilations.empty() ? 1 : dilations[i];
      axes_[i] = {operand[axis + 1], window[axis], placed[i].output, strides[i], dilation, placed[i].before};
    }
  }

  // body(operand place, window place, result place) wherever a window's place lies inside the operand; in the order of
  // the result's places, then of the window's.
  template <class Body>
  void each(Body&& body) const {
    const auto& [a, b, c] = axes_;
    std::int64_t result = 0;
    for (std::int64_t n = 0; n < batch_; ++n)
      for (std::int64_t ya = 0; ya < a.output; ++ya)
        for (std::int64_t yb = 0; yb < b.output; ++yb)
          for (std::int64_t yc = 0; yc < c.output; ++yc, ++result) {
            std::int64_t place = 0;
            for (std::int64_t ka = 0; ka < a.window; ++ka)
              for (std::int64_t kb = 0; kb < b.window; ++kb)
                for (std::int64_t kc = 0; kc < c.window; ++kc, ++place) {
                  const std::int64_t xa = a.at(ya, ka), xb = b.at(yb, kb), xc = c.at(yc, kc);
                  if (a.inside(xa) && b.inside(xb) && c.inside(xc))
                    body(((n * a.operand + xa) * b.operand + xb) * c.operand + xc, place, result);
                }
          }
  }

 private:
  struct Axis {
    std::int64_t operand = 1, window = 1, output = 1, stride = 1, dilation = 1, before = 0;
    std::int64_t at(std::int64_t y, std::int64_t k) const { return y * stride + k * dilation - before; }
    bool inside(std::int64_t x) const { return x >= 0 && x < operand; }
  };
  std::int64_t batch_ = 1;
  std::array<Axis, 3> axes_;
};

}  // namespace nacre::reference
