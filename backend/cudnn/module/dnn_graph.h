// cuDNN's graphs of what the library is asked for. Making them needs no GPU.
#pragma once

#include <memory>
#include <variant>

#include "backend/cudnn/device.h"

namespace cudnn_frontend::graph {
class Graph;
}

namespace nacre::gpu {

using DnnDescription = std::variant<ConvolutionDescription, AttentionDescription>;

// The graph for devices of that compute capability (90 is 9.0). Its tensors are numbered from 1 on: operands, then
// results. What has captured its work in a CUDA graph holds its plan, too. Throws an Error unless the library's checks
// take it.
std::shared_ptr<cudnn_frontend::graph::Graph> graph_of(const DnnDescription& description, int architecture);

// Plans are kept on disk: a change of what the graphs compute, or of how their tensors are numbered, takes another
// number.
inline constexpr int graphs_version = 1;

}  // namespace nacre::gpu
