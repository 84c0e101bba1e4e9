// Recurrent layers. oneDNN's axes are (time, batch, channels) for sequences and (layers, directions, inputs, gates,
// units) for weights; with one layer and one direction, and its gates in Keras's order, Keras's arrays are such tensors
// as they lie.
#include "backend/graph/ops/recurrent.h"

#include <algorithm>

#include "backend/onednn/kernels.h"

namespace nacre::onednn {
namespace {

dnnl::algorithm algorithm_of(CellKind cell) {
  switch (cell) {
    case CellKind::simple: return dnnl::algorithm::vanilla_rnn;
    case CellKind::lstm: return dnnl::algorithm::vanilla_lstm;
    case CellKind::gru: return dnnl::algorithm::vanilla_gru;
    case CellKind::gru_reset_after: break;
  }
  return dnnl::algorithm::lbr_gru;
}

Desc time_first(const Type& sequence) { return plain_desc(sequence).permute_axes({1, 0, 2}); }

// A recurrent layer in oneDNN's terms; operands as in recurrent.h.
struct Layer {
  dnnl::algorithm cell;
  dnnl::rnn_direction direction;
  bool memory;          // there is a c
  std::int64_t units;
  Desc x, sequence, state, kernel, recurrent_kernel, bias;

  Layer(const RecurrentAttrs& p, const Node& node)
      : cell(algorithm_of(p.cell)),
        direction(p.reverse ? dnnl::rnn_direction::unidirectional_right2left
                            : dnnl::rnn_direction::unidirectional_left2right),
        memory(p.cell == CellKind::lstm),
        units(node.in(2).shape()[0]) {
    const Shape &from = node.in(0).shape(), state_shape = node.in(4).shape();
    x = time_first(node.in(0).type());
    sequence = time_first({DType::float32, {from[0], from[1], units}});
    state = plain_desc({DType::float32, Shape{1, 1} + state_shape});
    kernel = weights(from[2], nacre::gates(p.cell), dnnl::memory::format_tag::any);
    recurrent_kernel = weights(units, nacre::gates(p.cell), dnnl::memory::format_tag::any);
    // That of the state is added where the reset gate comes after the product: a fourth one.
    bias = plain_desc({DType::float32, {1, 1, p.cell == CellKind::gru_reset_after ? 4 : nacre::gates(p.cell), units}});
  }

  Desc weights(std::int64_t inputs, std::int64_t gates, dnnl::memory::format_tag order) const {
    return Desc({1, 1, inputs, gates, units}, dnnl::memory::data_type::f32, order);
  }
  const Desc* optional_state() const { return memory ? &state : nullptr; }
};

}  // namespace
}  // namespace nacre::onednn
