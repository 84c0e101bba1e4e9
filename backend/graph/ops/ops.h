// All ops. A family's header has its attributes, the definitions (`op::conv`, to ask `value.is(op::conv)`) and the
// functions that apply them (`ops::conv(x, kernel, …)`). all_ops() is the visible list.
#pragma once

#include <span>

#include "backend/graph/ops/attention.h"
#include "backend/graph/ops/bitwise.h"
#include "backend/graph/ops/branch.h"
#include "backend/graph/ops/conv.h"
#include "backend/graph/ops/custom_gradient.h"
#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/float8.h"
#include "backend/graph/ops/fused.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/host.h"
#include "backend/graph/ops/linear_algebra.h"
#include "backend/graph/ops/loop.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/normalization.h"
#include "backend/graph/ops/pointwise_depthwise.h"
#include "backend/graph/ops/pool.h"
#include "backend/graph/ops/random.h"
#include "backend/graph/ops/recurrent.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/resample.h"
#include "backend/graph/ops/scan.h"
#include "backend/graph/ops/shape.h"
#include "backend/graph/ops/softmax.h"

namespace nacre::op {

std::span<const Op* const> all_ops();

}  // namespace nacre::op
