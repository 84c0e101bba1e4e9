// The kernel builders of the CPU backend, by op family; table.cpp says which op each of them serves.
#pragma once

#include "backend/graph/ops/epilogue.h"
#include "backend/onednn/engine.h"

namespace nacre::onednn {

std::span<const KernelRow> table();

// The reference backend's kernel. table.cpp shows which ops have no kernel of their own; a few others fall back on it
// for element types that oneDNN does not compute on this machine.
KernelPlan borrowed(const KernelRequest& request);

// precision.cpp
bool has_instructions(DType dtype);  // of the processor, for products forward and backward
bool multiplies_tiles();              // it has instructions (AMX) for whole tiles of bfloat16, which oneDNN uses
// Whether a product of float32 operands is made of factors rounded to bfloat16: when that was allowed, is fast on this
// machine, and saves more than it takes to round the operands. They come in layouts of narrower elements then.
bool rounds_factors(const KernelRequest& request);

// convolution/conv.cpp
bool is_trained(Value weights);  // by their graph; they may be a view or a cast of a variable
KernelPlan conv(const KernelRequest& request);
KernelPlan conv_backward_data(const KernelRequest& request);
KernelPlan conv_backward_weights(const KernelRequest& request);

// convolution/pointwise_depthwise.cpp
KernelPlan pointwise_depthwise(const KernelRequest& request);
bool pointwise_depthwise_fits(const Node& node, const Backend& backend);

// cast.cpp
KernelPlan cast(const KernelRequest& request);

// shape.cpp
KernelPlan view(const KernelRequest& request);  // the operand's elements under another type
KernelPlan transpose(const KernelRequest& request);
KernelPlan broadcast(const KernelRequest& request);
KernelPlan slice(const KernelRequest& request);
KernelPlan slice_gradient(const KernelRequest& request);
KernelPlan reverse(const KernelRequest& request);
KernelPlan pad(const KernelRequest& request);
KernelPlan concat(const KernelRequest& request);
KernelPlan iota(const KernelRequest& request);
KernelPlan as_it_lies(const KernelRequest& request);  // operand 0 in whatever layout it comes

// reduce.cpp
KernelPlan reduce(const KernelRequest& request);  // sum, mean, max, min, product
KernelPlan sum_like(const KernelRequest& request);
KernelPlan argmax(const KernelRequest& request);

// gather.cpp
KernelPlan gather(const KernelRequest& request);
KernelPlan scatter_add(const KernelRequest& request);
KernelPlan take_along(const KernelRequest& request);
KernelPlan take_along_backward(const KernelRequest& request);

// resample.cpp
KernelPlan resample(const KernelRequest& request);
KernelPlan resample_backward(const KernelRequest& request);

// matmul.cpp
KernelPlan matmul(const KernelRequest& request);

// pool.cpp
KernelPlan max_pool(const KernelRequest& request);
KernelPlan max_pool_backward(const KernelRequest& request);
KernelPlan average_pool(const KernelRequest& request);
KernelPlan average_pool_backward(const KernelRequest& request);

// softmax.cpp
KernelPlan softmax(const KernelRequest& request);           // and its logarithm
KernelPlan softmax_backward(const KernelRequest& request);  // of both

// batch_norm/batch_norm.cpp
KernelPlan batch_norm(const KernelRequest& request);
KernelPlan batch_norm_backward(const KernelRequest& request);

// normalization.cpp
KernelPlan layer_norm(const KernelRequest& request);
KernelPlan layer_norm_backward(const KernelRequest& request);

// attention/attention.cpp
KernelPlan attention(const KernelRequest& request);
KernelPlan attention_backward(const KernelRequest& request);
bool attention_fits(const Node& node, const Backend& backend);  // both

// recurrent.cpp
KernelPlan recurrent(const KernelRequest& request);
KernelPlan recurrent_backward(const KernelRequest& request);
bool recurrent_fits(const Node& node, const Backend& backend);  // both

// The epilogue as post-operations of a primitive: the residual is what the result holds before.
dnnl::primitive_attr epilogue_attributes(const Epilogue& epilogue);
// Appends the layouts of an epilogue's operands, which begin at `first`, to a plan that has the result's.
void append_epilogue(const Epilogue& epilogue, int first, KernelPlan& plan);
// The same, and binds the operands to a primitive with the result y.
void bind_epilogue(const Epilogue& epilogue, int first, const Desc& bias, const Type& y, PrimitiveKernel& kernel,
                   KernelPlan& plan);

}  // namespace nacre::onednn
