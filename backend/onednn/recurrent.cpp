// Recurrent layers. What does not depend on the state is one large product over all steps: x · kernel + bias before the
// walk, the gradients of x and of both kernels after the walk back. A step is the small product of the state and
// the recurrent kernel, which lies in panels, and the loop of the cell. All steps are walked by one team of threads:
// each has rows of the batch of its own, or, where there are too few, a share of the units and waits for the others.
// The workspace holds the values of the gates (batch, time, gates·units), then what else the cell's gradient needs
// (batch, time, units): the memory of lstm, the state's product for the candidate of gru_reset_after.
#include "backend/graph/ops/recurrent.h"

#include <algorithm>

#include "backend/core/parallel.h"
#include "backend/onednn/elementwise/loops.h"
#include "backend/onednn/kernels.h"
#include "backend/onednn/recurrent/loops.h"

namespace nacre::onednn {
namespace {

constexpr std::size_t floats(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

// A recurrent node's sizes; results and operands have the same element type.
struct Layer {
  CellKind cell;
  bool reverse;
  DType dtype;
  std::int64_t batch, time, features, units, width;  // width: of all gates

  explicit Layer(const Node& node) {
    const auto& p = node.attrs<RecurrentAttrs>();
    const Shape& x = node.in(0).shape();
    cell = p.cell;
    reverse = p.reverse;
    dtype = node.in(0).dtype();
    batch = x[0];
    time = x[1];
    features = x[2];
    units = node.in(4).shape()[1];
    width = nacre::gates(cell) * units;
  }

  int states() const { return cell == CellKind::lstm ? 2 : 1; }
  bool is_gru() const { return cell == CellKind::gru || cell == CellKind::gru_reset_after; }
  std::int64_t rows() const { return batch * time; }
  std::int64_t step(std::int64_t number) const { return reverse ? time - 1 - number : number; }
  std::size_t bytes(std::int64_t count) const { return static_cast<std::size_t>(count) * size_of(dtype); }
  std::int64_t kept() const { return cell == CellKind::lstm || cell == CellKind::gru_reset_after ? rows() * units : 0; }
  Layout workspace() const {
    const auto bytes = static_cast<std::int64_t>(floats(rows() * width + kept()));
    return Layout::opaque(std::make_shared<const BlockedLayout>(Desc({bytes}, dnnl::memory::data_type::u8, Dims{1})));
  }

  // Elements as floats, and back.
  void load(const void* from, std::int64_t at, float* to, std::int64_t count) const {
    loops().load[static_cast<int>(dtype)](static_cast<const std::byte*>(from) + bytes(at), to, count);
  }
  void store(const float* from, void* to, std::int64_t at, std::int64_t count) const {
    loops().store[static_cast<int>(dtype)](from, static_cast<std::byte*>(to) + bytes(at), count);
  }

  Desc matrix(std::int64_t height, std::int64_t length, Dims strides) const {
    return Desc({height, length}, *data_type(dtype), strides);
  }
  Desc matrix(std::int64_t height, std::int64_t length) const { return matrix(height, length, {length, 1}); }
  Desc transposed(std::int64_t height, std::int64_t length) const { return matrix(length, height, {1, length}); }
};

// Parts of the scratch memory.
class Scratch {
 public:
  std::size_t take(std::size_t bytes) {
    const std::size_t offset = bytes_;
    bytes_ += (bytes + buffer_alignment - 1) / buffer_alignment * buffer_alignment;
    return offset;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

// What one thread of a team does.
class Share {
 public:
  Share(const Layer& layer, bool by_rows, int part, int parts)
      : part_(by_rows ? 0 : part), parts_(by_rows ? 1 : parts), units_(layer.units) {
    first_row = by_rows ? layer.batch * part / parts : 0;
    last_row = by_rows ? layer.batch * (part + 1) / parts : layer.batch;
    first_unit = unit(part_);
    last_unit = unit(part_ + 1);
  }
  std::int64_t rows() const { return last_row - first_row; }
  std::int64_t units() const { return last_unit - first_unit; }
  std::int64_t begin(std::int64_t count) const { return count * part_ / parts_; }
  std::int64_t end(std::int64_t count) const { return count * (part_ + 1) / parts_; }

  std::int64_t first_row, last_row, first_unit, last_unit;

 private:
  std::int64_t unit(std::int64_t part) const {  // shares meet between lines of the cache
    constexpr std::int64_t line = 16;
    return part == parts_ ? units_ : units_ / line * part / parts_ * line;
  }
  std::int64_t part_, parts_, units_;
};

// Columns [first, first + columns) of a recurrent kernel, or those columns transposed, as floats in panels.
class Panels {
 public:
  Panels() = default;
  Panels(const Layer& layer, std::int64_t first, std::int64_t columns, bool transposed, Scratch& scratch)
      : layer_(&layer),
        first_(first),
        transposed_(transposed),
        depth_(transposed ? columns : layer.units),
        columns_(transposed ? layer.units : columns),
        offset_(scratch.take(floats(count() * panel() * depth_))) {}

  bool empty() const { return columns_ == 0; }

  void pack(const void* kernel, void* scratch, int part, int parts) const {
    for (std::int64_t p = count() * part / parts; p < count() * (part + 1) / parts; ++p) {
      float* to = place(scratch) + p * panel() * depth_;
      const std::int64_t some = std::min(panel(), columns_ - p * panel());
      if (transposed_) pack_transposed(kernel, p * panel(), some, to);
      else
        for (std::int64_t k = 0; k < depth_; ++k, to += panel()) {
          layer_->load(kernel, k * layer_->width + first_ + p * panel(), to, some);
          std::fill(to + some, to + panel(), 0.0f);
        }
    }
  }

  // y += a · panels for the share's rows and a part of the columns. Both begin at row 0.
  void multiply(const Share& share, const float* a, std::int64_t lda, const void* scratch, float* y,
                std::int64_t ldy) const {
    for (std::int64_t p = share.begin(count()); p < share.end(count()); ++p)
      recurrent_loops().product(a + share.first_row * lda, lda, share.rows(), depth_,
                                place(scratch) + p * panel() * depth_, y + share.first_row * ldy + p * panel(), ldy,
                                std::min(panel(), columns_ - p * panel()));
  }
  // The columns that multiply writes.
  std::int64_t begin(const Share& share) const { return share.begin(count()) * panel(); }
  std::int64_t end(const Share& share) const { return std::min(share.end(count()) * panel(), columns_); }

 private:
  static std::int64_t panel() { return recurrent_loops().panel; }
  std::int64_t count() const { return (columns_ + panel() - 1) / panel(); }
  float* place(void* scratch) const { return reinterpret_cast<float*>(static_cast<std::byte*>(scratch) + offset_); }
  const float* place(const void* scratch) const {
    return reinterpret_cast<const float*>(static_cast<const std::byte*>(scratch) + offset_);
  }

  void pack_transposed(const void* kernel, std::int64_t unit, std::int64_t some, float* to) const {
    constexpr std::int64_t block = 16;
    float line[block];
    for (std::int64_t k = 0; k < depth_; k += block) {
      const std::int64_t length = std::min(block, depth_ - k);
      for (std::int64_t i = 0; i < panel(); ++i) {
        if (i < some) layer_->load(kernel, (unit + i) * layer_->width + first_ + k, line, length);
        else std::fill_n(line, length, 0.0f);
        for (std::int64_t j = 0; j < length; ++j) to[(k + j) * panel() + i] = line[j];
      }
    }
  }

  const Layer* layer_ = nullptr;
  std::int64_t first_ = 0;
  bool transposed_ = false;
  std::int64_t depth_ = 0, columns_ = 0;
  std::size_t offset_ = 0;
};

// What walking forward and back have in common.
class Walk : public Kernel {
 public:
  explicit Walk(const Node& node) : layer_(node) {
    // Of a thread and a step: rows; multiplications; those that are worth waiting for each other.
    constexpr std::int64_t least_rows = 4, least_work = 1 << 15, least_shared_work = 1 << 18;
    const std::int64_t work = layer_.batch * layer_.units * layer_.width;
    parts_ = static_cast<int>(std::clamp<std::int64_t>(work / least_work, 1, threads()));
    by_rows_ = layer_.batch >= least_rows * parts_;
    if (!by_rows_) parts_ = static_cast<int>(std::clamp<std::int64_t>(work / least_shared_work, 1, parts_));
  }
  std::size_t scratch_bytes() const { return scratch_bytes_; }

 protected:
  using Primitive = std::unique_ptr<PrimitiveKernel>;

  // The product of two matrices; operands and result are bound by the caller, scratch memory is the kernel's.
  Primitive product(const Desc& a, const Desc& b, const Desc& bias, const Desc& y) {
    const dnnl::matmul::primitive_desc made(engine(), a, b, bias, y, attributes());
    auto primitive = std::make_unique<PrimitiveKernel>(dnnl::matmul(made), made.scratchpad_desc(), scratch_.bytes());
    scratch_bytes_ = std::max(scratch_bytes_, primitive->scratch_bytes());
    return primitive;
  }

  template <class T = float>
  static T* at(const KernelArguments& arguments, std::size_t offset) {
    return reinterpret_cast<T*>(static_cast<std::byte*>(arguments.scratch) + offset);
  }

  Layer layer_;
  Scratch scratch_;
  std::size_t scratch_bytes_ = 0;
  int parts_;
  bool by_rows_;
};

class Forward final : public Walk {
 public:
  Forward(const Node& node, bool training) : Walk(node), training_(training) {
    const std::int64_t states = layer_.batch * layer_.units;
    const std::int64_t first = layer_.is_gru() ? 2 * layer_.units : layer_.width;
    gates_ = Panels(layer_, 0, first, false, scratch_);
    if (layer_.is_gru()) candidate_ = Panels(layer_, first, layer_.units, false, scratch_);
    h_ = scratch_.take(floats(states));
    c_ = scratch_.take(floats(states));  // reset · h of gru, the state's product of gru_reset_after
    bias_ = scratch_.take(floats(2 * layer_.width));
    if (!training) values_ = scratch_.take(floats(layer_.rows() * layer_.width));
    scratch_bytes_ = scratch_.bytes();

    const bool two_biases = layer_.cell == CellKind::gru_reset_after;
    const Desc plain = Desc({layer_.rows(), layer_.width}, dnnl::memory::data_type::f32, Dims{layer_.width, 1});
    const Desc bias = two_biases ? Desc({1, layer_.width}, dnnl::memory::data_type::f32, Dims{layer_.width, 1})
                                 : layer_.matrix(1, layer_.width);
    const Desc x = layer_.matrix(layer_.rows(), layer_.features), kernel = layer_.matrix(layer_.features, layer_.width);
    project_ = product(x, kernel, bias, plain);
    project_->input(DNNL_ARG_SRC, 0, x);
    project_->input(DNNL_ARG_WEIGHTS, 1, kernel);
    if (two_biases) project_->scratch(DNNL_ARG_BIAS, bias_, bias);
    else project_->input(DNNL_ARG_BIAS, 3, bias);
    if (training) project_->output(DNNL_ARG_DST, workspace(), plain);
    else project_->scratch(DNNL_ARG_DST, values_, plain);
  }

  int workspace() const { return 1 + layer_.states(); }

  void run(const KernelArguments& arguments) override {
    if (layer_.cell == CellKind::gru_reset_after) {
      // Both biases of z and r are added at once.
      float* bias = at(arguments, bias_);
      layer_.load(arguments.inputs[3], 0, bias, 2 * layer_.width);
      for (std::int64_t i = 0; i < 2 * layer_.units; ++i) bias[i] += bias[layer_.width + i];
    }
    project_->run(arguments);
    auto* values = training_ ? static_cast<float*>(arguments.outputs[static_cast<std::size_t>(workspace())])
                             : at(arguments, values_);
    parallel_team(parts_, [&](int part, int parts, auto&& barrier) {
      const Share share(layer_, by_rows_, part, parts);
      gates_.pack(arguments.inputs[2], arguments.scratch, part, parts);
      if (!candidate_.empty()) candidate_.pack(arguments.inputs[2], arguments.scratch, part, parts);
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * layer_.units + share.first_unit;
        layer_.load(arguments.inputs[4], place, at(arguments, h_) + place, share.units());
        if (layer_.cell == CellKind::lstm)
          layer_.load(arguments.inputs[5], place, at(arguments, c_) + place, share.units());
      }
      barrier();
      const auto meet = [&] {
        if (!by_rows_) barrier();
      };
      for (std::int64_t number = 0; number < layer_.time; ++number)
        step(arguments, share, layer_.step(number), values, meet);
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * layer_.units + share.first_unit;
        layer_.store(at(arguments, h_) + place, arguments.outputs[1], place, share.units());
        if (layer_.cell == CellKind::lstm)
          layer_.store(at(arguments, c_) + place, arguments.outputs[2], place, share.units());
      }
    });
  }

 private:
  template <class Meet>
  void step(const KernelArguments& arguments, const Share& share, std::int64_t t, float* values,
            const Meet& meet) const {
    const RecurrentLoops& cells = recurrent_loops();
    const std::int64_t units = layer_.units, width = layer_.width, first = share.first_unit, count = share.units();
    float *h = at(arguments, h_), *c = at(arguments, c_), *gates = values + t * width;
    const std::int64_t next = layer_.time * width;  // the same step of the next row
    const auto each_row = [&](auto&& body) {
      for (std::int64_t row = share.first_row; row < share.last_row; ++row)
        body(gates + row * next + first, h + row * units + first, c + row * units + first);
    };
    gates_.multiply(share, h, units, arguments.scratch, gates, next);
    if (layer_.cell == CellKind::gru_reset_after) {
      const float* bias = at(arguments, bias_) + width + 2 * units;
      for (std::int64_t row = share.first_row; row < share.last_row; ++row)
        std::copy(bias + candidate_.begin(share), bias + candidate_.end(share),
                  c + row * units + candidate_.begin(share));
      candidate_.multiply(share, h, units, arguments.scratch, c, units);
    }
    meet();
    switch (layer_.cell) {
      case CellKind::simple: each_row([&](float* g, float* state, float*) { cells.simple(g, state, count); }); break;
      case CellKind::lstm:
        each_row([&](float* g, float* state, float* memory) { cells.lstm(g, units, memory, state, count); });
        break;
      case CellKind::gru:
        each_row([&](float* g, float* state, float* reset) { cells.gru_reset(g, units, state, reset, count); });
        meet();
        candidate_.multiply(share, c, units, arguments.scratch, gates + 2 * units, next);
        meet();
        each_row([&](float* g, float* state, float*) { cells.gru(g, units, state, count); });
        break;
      case CellKind::gru_reset_after:
        each_row([&](float* g, float* state, float* inner) { cells.gru_after(g, units, inner, state, count); });
        break;
    }
    float* kept = training_ && layer_.kept() > 0 ? values + layer_.rows() * width : nullptr;
    for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
      float* state = h + row * units + first;
      const std::int64_t place = (row * layer_.time + t) * units + first;
      layer_.store(state, arguments.outputs[0], place, count);
      if (layer_.dtype != DType::float32) layer_.load(arguments.outputs[0], place, state, count);  // as it was rounded
      if (kept) std::copy_n(c + row * units + first, count, kept + place);
    }
    meet();
  }

  bool training_;
  Panels gates_, candidate_;
  std::size_t h_, c_, bias_, values_ = 0;
  Primitive project_;
};

class Backward final : public Walk {
 public:
  explicit Backward(const Node& node) : Walk(node) {
    const std::int64_t states = layer_.batch * layer_.units, units = layer_.units, width = layer_.width,
                       rows = layer_.rows(), features = layer_.features;
    const bool is_gru = layer_.cell == CellKind::gru, after = layer_.cell == CellKind::gru_reset_after;
    gates_ = Panels(layer_, 0, is_gru ? 2 * units : width, true, scratch_);
    if (is_gru) candidate_ = Panels(layer_, 2 * units, units, true, scratch_);
    dh_ = scratch_.take(floats(states));
    dc_ = scratch_.take(floats(states));      // of reset, for gru
    before_ = scratch_.take(floats(states));  // the initial memory of lstm, else the state before
    line_ = scratch_.take(floats(states));
    bias_ = scratch_.take(floats(bias_width() * parts_));
    states_ = scratch_.take(layer_.bytes(rows * units));
    dgates_ = scratch_.take(layer_.bytes(rows * width));
    if (is_gru) resets_ = scratch_.take(layer_.bytes(rows * units));
    if (is_gru) dcandidate_kernel_ = scratch_.take(layer_.bytes(units * units));
    dstate_ = after ? scratch_.take(layer_.bytes(rows * width)) : dgates_;
    exact_ = layer_.dtype == DType::float32;
    step_gates_ = exact_ ? 0 : scratch_.take(floats(layer_.batch * width));
    step_state_ = !exact_ && after ? scratch_.take(floats(layer_.batch * width)) : step_gates_;
    scratch_bytes_ = scratch_.bytes();

    const Desc gradients = layer_.matrix(rows, width);
    if (node.uses(0) > 0) {
      const Desc kernel = layer_.transposed(features, width), dx = layer_.matrix(rows, features);
      dx_ = product(gradients, kernel, Desc(), dx);
      dx_->scratch(DNNL_ARG_SRC, dgates_, gradients);
      dx_->input(DNNL_ARG_WEIGHTS, 1, kernel);
      dx_->output(DNNL_ARG_DST, 0, dx);
    }
    const Desc x = layer_.transposed(rows, features), dkernel = layer_.matrix(features, width);
    dkernel_ = product(x, gradients, Desc(), dkernel);
    dkernel_->input(DNNL_ARG_SRC, 0, x);
    dkernel_->scratch(DNNL_ARG_WEIGHTS, dgates_, gradients);
    dkernel_->output(DNNL_ARG_DST, 1, dkernel);

    const std::int64_t first = is_gru ? 2 * units : width;
    const Desc before = layer_.transposed(rows, units), after_state = layer_.matrix(rows, first, {width, 1}),
               drecurrent = layer_.matrix(units, first, {width, 1});
    drecurrent_ = product(before, after_state, Desc(), drecurrent);
    drecurrent_->scratch(DNNL_ARG_SRC, states_, before);
    drecurrent_->scratch(DNNL_ARG_WEIGHTS, dstate_, after_state);
    drecurrent_->output(DNNL_ARG_DST, 2, drecurrent);
    if (is_gru) {
      const Desc candidate = layer_.matrix(rows, units, {width, 1}), square = layer_.matrix(units, units);
      dcandidate_ = product(before, candidate, Desc(), square);
      dcandidate_->scratch(DNNL_ARG_SRC, resets_, before);
      dcandidate_->scratch(DNNL_ARG_WEIGHTS, dgates_ + layer_.bytes(first), candidate);
      dcandidate_->scratch(DNNL_ARG_DST, dcandidate_kernel_, square);
    }
  }

  // Operands: x, kernel, recurrent kernel, bias, h [, c]; sequence, h [, c], workspace; dsequence, dh [, dc].
  int sequence() const { return 4 + layer_.states(); }
  int workspace() const { return sequence() + 1 + layer_.states(); }

  void run(const KernelArguments& arguments) override {
    parallel_team(parts_, [&](int part, int parts, auto&& barrier) {
      const Share share(layer_, by_rows_, part, parts);
      gates_.pack(arguments.inputs[2], arguments.scratch, part, parts);
      if (!candidate_.empty()) candidate_.pack(arguments.inputs[2], arguments.scratch, part, parts);
      float* bias = at(arguments, bias_) + part * bias_width();
      std::fill_n(bias, bias_width(), 0.0f);
      const auto cotangents = static_cast<std::size_t>(workspace()) + 1;
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * layer_.units + share.first_unit;
        layer_.load(arguments.inputs[cotangents + 1], place, at(arguments, dh_) + place, share.units());
        if (layer_.cell != CellKind::lstm) continue;
        layer_.load(arguments.inputs[5], place, at(arguments, before_) + place, share.units());
        layer_.load(arguments.inputs[cotangents + 2], place, at(arguments, dc_) + place, share.units());
      }
      barrier();
      const auto meet = [&] {
        if (!by_rows_) barrier();
      };
      for (std::int64_t number = layer_.time; number-- > 0;) step(arguments, share, number, bias, meet);
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * layer_.units + share.first_unit;
        layer_.store(at(arguments, dh_) + place, arguments.outputs[4], place, share.units());
        if (layer_.cell == CellKind::lstm)
          layer_.store(at(arguments, dc_) + place, arguments.outputs[5], place, share.units());
      }
      barrier();
      if (part == 0) store_bias(arguments, parts);
    });
    if (dx_) dx_->run(arguments);
    dkernel_->run(arguments);
    drecurrent_->run(arguments);
    if (!dcandidate_) return;
    dcandidate_->run(arguments);
    for (std::int64_t row = 0; row < layer_.units; ++row)
      std::copy_n(at<std::byte>(arguments, dcandidate_kernel_) + layer_.bytes(row * layer_.units),
                  layer_.bytes(layer_.units),
                  static_cast<std::byte*>(arguments.outputs[2]) + layer_.bytes(row * layer_.width + 2 * layer_.units));
  }

 private:
  // The gates' and, where the state's product has a bias of its own, that of the candidate.
  std::int64_t bias_width() const {
    return layer_.cell == CellKind::gru_reset_after ? layer_.width + layer_.units : layer_.width;
  }

  void store_bias(const KernelArguments& arguments, int parts) const {
    float* bias = at(arguments, bias_);
    for (int part = 1; part < parts; ++part)
      for (std::int64_t i = 0; i < bias_width(); ++i) bias[i] += bias[part * bias_width() + i];
    layer_.store(bias, arguments.outputs[3], 0, layer_.width);
    if (layer_.cell != CellKind::gru_reset_after) return;
    layer_.store(bias, arguments.outputs[3], layer_.width, 2 * layer_.units);
    layer_.store(bias + layer_.width, arguments.outputs[3], layer_.width + 2 * layer_.units, layer_.units);
  }

  template <class Meet>
  void step(const KernelArguments& arguments, const Share& share, std::int64_t number, float* bias,
            const Meet& meet) const {
    const RecurrentLoops& cells = recurrent_loops();
    const std::int64_t units = layer_.units, width = layer_.width, first = share.first_unit, count = share.units();
    const std::int64_t t = layer_.step(number), earlier = number > 0 ? layer_.step(number - 1) : 0;
    const auto* values = static_cast<const float*>(arguments.inputs[static_cast<std::size_t>(workspace())]);
    const float* kept = values + layer_.rows() * width;
    const void* sequence = arguments.inputs[static_cast<std::size_t>(this->sequence())];
    const void* dsequence = arguments.inputs[static_cast<std::size_t>(workspace()) + 1];
    float *dh = at(arguments, dh_), *dc = at(arguments, dc_), *before = at(arguments, before_);
    bias += first;
    // Gradients of the step, as floats: those of bfloat16 elsewhere, before they are rounded.
    const std::int64_t next = exact_ ? layer_.time * width : width;
    float* dgates = exact_ ? at(arguments, dgates_) + t * width : at(arguments, step_gates_);
    float* dstate = exact_ ? at(arguments, dstate_) + t * width : at(arguments, step_state_);

    for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
      const std::int64_t place = row * units + first, now = (row * layer_.time + t) * units + first;
      const std::int64_t then = (row * layer_.time + earlier) * units + first;
      const float* gates = values + (row * layer_.time + t) * width + first;
      float *line = at(arguments, line_) + place, *dg = dgates + row * next + first, *ds = dstate + row * next + first;
      layer_.load(dsequence, now, line, count);
      loops().instruction[static_cast<int>(Opcode::add)][0](dh + place, line, nullptr, dh + place, count);
      const auto* state = static_cast<const std::byte*>(number > 0 ? sequence : arguments.inputs[4]) +
                          layer_.bytes(number > 0 ? then : place);
      std::copy_n(state, layer_.bytes(count), at<std::byte>(arguments, states_) + layer_.bytes(now));
      if (layer_.is_gru()) layer_.load(state, 0, before + place, count);
      switch (layer_.cell) {
        case CellKind::simple: cells.simple_backward(gates, dh + place, dg, bias, count); break;
        case CellKind::lstm:
          cells.lstm_backward(gates, units, kept + now, number > 0 ? kept + then : before + place, dh + place,
                              dc + place, dg, units, bias, count);
          break;
        case CellKind::gru:
          cells.gru_backward(gates, units, before + place, dh + place, dg, units, bias, count);
          std::fill_n(dc + place, count, 0.0f);
          break;
        case CellKind::gru_reset_after:
          cells.gru_after_backward(gates, units, kept + now, before + place, dh + place, dg, units, ds + 2 * units,
                                   bias, width, count);
          std::copy_n(dg, count, ds);
          std::copy_n(dg + units, count, ds + units);
          break;
      }
      if (!layer_.is_gru()) std::fill_n(dh + place, count, 0.0f);
    }
    meet();
    if (layer_.cell == CellKind::gru) {
      candidate_.multiply(share, dgates + 2 * units, next, arguments.scratch, dc, units);
      meet();
      for (std::int64_t row = share.first_row; row < share.last_row; ++row) {
        const std::int64_t place = row * units + first;
        float* reset = at(arguments, line_) + place;
        cells.gru_reset_backward(values + (row * layer_.time + t) * width + first, units, before + place, dc + place,
                                 reset, dh + place, dgates + row * next + first, units, bias, count);
        layer_.store(reset, at<void>(arguments, resets_), (row * layer_.time + t) * units + first, count);
      }
      meet();
    }
    gates_.multiply(share, dstate, next, arguments.scratch, dh, units);
    if (!exact_)
      for (std::int64_t row = share.first_row; row < share.last_row; ++row)
        for (std::int64_t gate = 0; gate < width; gate += units) {
          const std::int64_t place = (row * layer_.time + t) * width + gate + first;
          layer_.store(dgates + row * width + gate + first, at<void>(arguments, dgates_), place, count);
          if (dstate_ != dgates_)
            layer_.store(dstate + row * width + gate + first, at<void>(arguments, dstate_), place, count);
        }
    meet();
  }

  Panels gates_, candidate_;
  std::size_t dh_, dc_, before_, line_, bias_, states_, dgates_, resets_ = 0, dcandidate_kernel_ = 0, dstate_,
                                                                 step_gates_, step_state_;
  bool exact_;  // the elements are floats
  Primitive dx_, dkernel_, drecurrent_, dcandidate_;
};

}  // namespace

KernelPlan recurrent(const KernelRequest& request) {
  const Layer layer(request.node);
  const int workspace = 1 + layer.states();
  const bool training = request.node.uses(workspace) > 0;
  auto kernel = std::make_unique<Forward>(request.node, training);
  KernelPlan plan;
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.outputs.assign(request.node.types().size(), Layout::plain());
  if (training) plan.outputs.back() = layer.workspace();
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

KernelPlan recurrent_backward(const KernelRequest& request) {
  auto kernel = std::make_unique<Backward>(request.node);
  KernelPlan plan;
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.inputs[static_cast<std::size_t>(kernel->workspace())] = Layer(request.node).workspace();
  plan.outputs.assign(request.node.types().size(), Layout::plain());
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

bool recurrent_fits(const Node& node) {
  const DType dtype = node.in(0).dtype();
  const Shape& x = node.in(0).shape();
  const bool computed =
      dtype == DType::float32 || (dtype == DType::bfloat16 && (static_cast<int>(dnnl::get_effective_cpu_isa()) &
                                                               static_cast<int>(dnnl::cpu_isa::avx512_core)) ==
                                                                  static_cast<int>(dnnl::cpu_isa::avx512_core));
  return computed && std::find(x.begin(), x.end(), 0) == x.end();
}

}  // namespace nacre::onednn
