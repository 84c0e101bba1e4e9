// Where a backend multiplies numbers of eight bits: products of values that are rounded to them become float8_matmul.
#pragma once

#include "backend/backend.h"

namespace nacre {

// The rounded values themselves stay where others use them.
std::unique_ptr<Graph> float8_products(const Graph& graph, const Backend& backend);

}  // namespace nacre
