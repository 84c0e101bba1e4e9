// The table of op records: for each op, how to draw a random application of it. Tests of shape rules, gradients,
// determinism and of backends against the reference are loops over it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "backend/core/random.h"
#include "backend/graph/ops/ops.h"

namespace nacre::test {

// Values are drawn from [low, high); those of integer operands are whole.
struct Domain {
  double low = -2, high = 2;
};

// One application of an op.
struct OpCase {
  struct Operand {
    Type type;  // a floating dtype is replaced by the one that a test runs in
    Domain domain{};
    bool weight = false;  // its sizes are always known, being a variable's
  };
  std::vector<Operand> operands;
  std::function<Values(const Values&)> apply;  // emits the op; gives the results that every backend agrees on
};

struct OpRecord {
  std::string name;
  std::function<OpCase(RandomStream&)> sample;
  int derivatives = 2;  // how often it can be differentiated
};

const std::vector<OpRecord>& op_records();

// The same record with a name for test parameters.
inline std::ostream& operator<<(std::ostream& out, const OpRecord& record) { return out << record.name; }

// The op families' parts of the table.
std::vector<OpRecord> elementwise_records();
std::vector<OpRecord> shape_records();      // reductions too
std::vector<OpRecord> algebra_records();    // matmul, softmax, gather, random
std::vector<OpRecord> linear_algebra_records();
std::vector<OpRecord> structured_records(); // convolution, pooling, normalisation, scan, recurrent

// --- drawing ------------------------------------------------------------------------------------------------------

std::int64_t draw(RandomStream& random, std::int64_t low, std::int64_t high);  // inclusive
std::int64_t draw_size(RandomStream& random);                   // 1 … 4, sometimes longer than vectors, seldom long
Shape draw_shape(RandomStream& random, int rank_low = 0, int rank_high = 4);  // of which at most one size is above 4
Shape draw_narrower(RandomStream& random, const Shape& shape);  // broadcasts to `shape`
Tensor draw_tensor(RandomStream& random, const Type& type, Domain domain = {});

// --- running ------------------------------------------------------------------------------------------------------

// The type that an operand has when real numbers have dtype `real`.
Type operand_type(const OpCase::Operand& operand, DType real);
std::vector<Tensor> draw_operands(RandomStream& random, const OpCase& sample, DType real);

// Inputs "x0"…, outputs "y0"….
std::unique_ptr<Graph> graph_of(const OpCase& sample, DType real);
// Adds inputs "dy0"… for the floating outputs and, for the floating inputs that have a gradient, outputs "dx0"….
void add_gradients(Graph& graph);

}  // namespace nacre::test
