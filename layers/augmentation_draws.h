// Random choices of augmentation layers: their numbers, chances, boxes and orders. All are float32 tensors or booleans.
#pragma once

#include "layers/image_layer.h"

namespace nacre {

// What one call of a layer draws for its pictures (batch, height, width, channels). A number per picture has the shape
// (batch, 1, 1, 1).
class Draws {
 public:
  Draws(Context& context, Value pictures, std::string path, std::optional<std::int64_t> seed)
      : context_(context), pictures_(pictures), path_(std::move(path)), seed_(seed) {}

  // In [low, high); just `low` where they are the same.
  Value uniform(double low, double high, const Shape& shape) const;
  Value uniform(double low, double high) const { return uniform(low, high, each()); }
  template <int lowest, int highest>
  Value uniform(const Factor<lowest, highest>& factor) const {
    return uniform(factor.low, factor.high);
  }
  Value normal(const Shape& shape) const;
  // A whole number in [low, high), int32; `low` where they are the same.
  Value integer(std::int64_t low, std::int64_t high, const Shape& shape) const;
  // 1 or -1.
  Value sign() const;
  // True as often as a share says that is itself drawn from the factor, as Keras does.
  Value chance(const Factor<0, 1>& factor) const;
  // The logarithm of a number of the gamma distribution with that shape parameter, a scalar or one for each number.
  // Quotients of such numbers are those of the beta and Dirichlet distributions, so that sigmoid and softmax of the
  // logarithms give these without leaving float32's range, however small the parameter.
  Value log_gamma(Value parameter, const Shape& shape) const;
  // Of the beta distribution whose two parameters are the same.
  Value beta(Value parameter, const Shape& shape) const;
  // The numbers 0 … batch-1 in random order, int32 (batch).
  Value order() const;

  Value scalar(double value) const { return pictures_.graph().scalar(value); }
  std::int64_t batch() const { return pictures_.shape()[0]; }
  Shape each() const { return {batch(), 1, 1, 1}; }

 private:
  Value like(const Shape& shape) const;

  Context& context_;
  Value pictures_;
  std::string path_;
  std::optional<std::int64_t> seed_;
};

// A random box in each picture, which takes these shares (batch, 1, 1, 1) of its height and width.
struct Boxes {
  Value inside;  // (batch, height, width, 1) bool
  Value share;   // of the picture's area, (batch, 1, 1, 1)
};
Boxes random_boxes(const Draws& draws, Value pictures, Value height_share, Value width_share);

}  // namespace nacre
