// Layers that multiply with a kernel under a float8 policy: they round both factors, and the gradient of the product,
// to numbers of eight bits, each by a scale that follows from the largest values of the steps before. Source: Keras's
// _float8_build and _float8_call of Dense and EinsumDense, and keras/src/quantizers/quantizers.py.
#pragma once

#include <functional>

#include "layers/layer.h"

namespace nacre {

// Whether a float8 policy changes what layers of this class compute, themselves or by the projections within them.
bool takes_float8(std::string_view class_name);

class Float8Product {
 public:
  // Creates the weights, in Keras's order: they come before the kernel. `add_weight` is the layer's.
  using AddWeight = std::function<VariableRef(std::string name, Shape shape, Ref<Initializer>, WeightOptions)>;
  Float8Product(const DTypePolicy& policy, const AddWeight& add_weight);

  // The product of the rounded factors. What the weights are to be in the next step goes to them as their gradients;
  // where none are taken, they stay.
  Value operator()(Graph& graph, Value x, Value kernel,
                   const std::function<Value(Value x, Value kernel)>& product) const;

  // What is added to such a product: in float32, rounded to bfloat16.
  static Value bias(Value value);

 private:
  struct Scaling {
    VariableRef scale, history;  // float32: a scalar; the largest values, the newest first
  };
  Scaling inputs_, kernel_, outputs_gradient_;
};

}  // namespace nacre
