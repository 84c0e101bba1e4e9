// The kernel builders of the reference backend, by op family; table.cpp says which op each of them serves.
#pragma once

#include "backend/backend.h"

namespace nacre::reference {

std::span<const KernelRow> table();

// elementwise.cpp
KernelPlan unary(const KernelRequest& request);
KernelPlan binary(const KernelRequest& request);
KernelPlan integer_binary(const KernelRequest& request);
KernelPlan bitcast(const KernelRequest& request);
KernelPlan next_after(const KernelRequest& request);
KernelPlan select(const KernelRequest& request);
KernelPlan cast(const KernelRequest& request);

// shape.cpp
KernelPlan transpose(const KernelRequest& request);
KernelPlan broadcast_to(const KernelRequest& request);
KernelPlan sum_like(const KernelRequest& request);
KernelPlan slice(const KernelRequest& request);
KernelPlan slice_gradient(const KernelRequest& request);
KernelPlan pad(const KernelRequest& request);
KernelPlan concat(const KernelRequest& request);
KernelPlan reverse(const KernelRequest& request);
KernelPlan iota(const KernelRequest& request);

// reduce.cpp
KernelPlan reduce(const KernelRequest& request);
KernelPlan argmax(const KernelRequest& request);

// matmul.cpp
KernelPlan matmul(const KernelRequest& request);

// conv.cpp
KernelPlan conv(const KernelRequest& request);
KernelPlan conv_backward_data(const KernelRequest& request);
KernelPlan conv_backward_weights(const KernelRequest& request);

// pool.cpp
KernelPlan max_pool(const KernelRequest& request);
KernelPlan max_pool_backward(const KernelRequest& request);
KernelPlan average_pool(const KernelRequest& request);
KernelPlan average_pool_backward(const KernelRequest& request);

// normalization.cpp
KernelPlan batch_norm(const KernelRequest& request);
KernelPlan batch_norm_backward(const KernelRequest& request);
KernelPlan layer_norm(const KernelRequest& request);
KernelPlan layer_norm_backward(const KernelRequest& request);

// softmax.cpp
KernelPlan softmax(const KernelRequest& request);
KernelPlan log_softmax(const KernelRequest& request);
KernelPlan softmax_backward(const KernelRequest& request);
KernelPlan log_softmax_backward(const KernelRequest& request);

// gather.cpp
KernelPlan gather(const KernelRequest& request);
KernelPlan scatter_add(const KernelRequest& request);
KernelPlan take_along(const KernelRequest& request);
KernelPlan take_along_backward(const KernelRequest& request);
KernelPlan argsort(const KernelRequest& request);

// resample.cpp
KernelPlan resample(const KernelRequest& request);
KernelPlan resample_backward(const KernelRequest& request);

// linear_algebra.cpp
KernelPlan solve(const KernelRequest& request);
KernelPlan triangular_solve(const KernelRequest& request);
KernelPlan determinant(const KernelRequest& request);
KernelPlan log_determinant(const KernelRequest& request);
KernelPlan cholesky(const KernelRequest& request);
KernelPlan lu(const KernelRequest& request);
KernelPlan qr(const KernelRequest& request);
KernelPlan eigh(const KernelRequest& request);

// singular_values.cpp
KernelPlan svd(const KernelRequest& request);
KernelPlan pseudo_inverse(const KernelRequest& request);

// random.cpp
KernelPlan random_uniform(const KernelRequest& request);

}  // namespace nacre::reference
