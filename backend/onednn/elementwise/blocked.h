// Element-wise groups over blocked tensors: the same group over the axes as they lie in memory, (batch, channels / 16,
// height, width, 16) say, so that the loops see dense row-major buffers.
#pragma once

#include <optional>

#include "backend/backend.h"
#include "backend/onednn/elementwise/access.h"

namespace nacre::onednn {

// A channels-last value that lies (batch, channels / block, spatial…, block), as a row-major one of this shape.
Shape shape_in_blocks(const Shape& shape, std::int64_t block);
// The shape over those axes of a plain operand that broadcasts to `full`; none when it would have to lie otherwise.
std::optional<Shape> operand_in_blocks(const Shape& operand, const Shape& full, std::int64_t block);

struct BlockedBody {
  std::unique_ptr<Graph> body;
  std::vector<Layout> operands, results;
  Access places;  // in row-major order of the values, as the body walks over them
};

// `given` are the layouts that the operands `values` come in. Of them that of a variable goes before others, so that
// optimizers work in the layout of the weight, whichever its gradient comes in; where none has an order the one that the
// result is wanted in decides. Nothing when none is blocked, or when the group cannot keep to the blocks: an operand that
// is repeated along some axes lies otherwise in memory, rows are summed, or the zeros of blocks that are not full would be
// lost.
std::optional<BlockedBody> blocked_body(const Graph& body, std::span<const Value> values, std::span<const Layout> given,
                                        const Layout& wanted);

}  // namespace nacre::onednn
