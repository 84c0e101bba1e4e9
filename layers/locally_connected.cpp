#include "layers/locally_connected.h"

#include <algorithm>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/gather.h"
#include "backend/graph/ops/matmul.h"
#include "backend/graph/ops/shape.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// Calls visitor(place) for each place of a grid of these sizes, in row-major order.
template <class Visitor>
void for_each_place(const Shape& sizes, Visitor&& visitor) {
  std::vector<std::int64_t> place(static_cast<std::size_t>(sizes.rank()), 0);
  for (std::int64_t index = 0; index < sizes.elements(); ++index) {
    visitor(std::as_const(place));
    for (int axis = sizes.rank() - 1; axis >= 0 && ++place[static_cast<std::size_t>(axis)] == sizes[axis]; --axis)
      place[static_cast<std::size_t>(axis)] = 0;
  }
}

template <std::size_t rank>
class LocallyConnectedLayer final : public ConfiguredLayer<LocallyConnectedConfig<rank>> {
 public:
  explicit LocallyConnectedLayer(LocallyConnectedConfig<rank> config = {}, LayerOptions options = {})
      : ConfiguredLayer<LocallyConnectedConfig<rank>>(std::move(config), std::move(options)) {
    if (this->config_.padding == Padding::same && this->config_.implementation == LocalKernel::windows)
      throw Error("got padding 'same', which implementations 2 and 3 alone have").about("'padding'").usage();
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    emit::want_rank(inputs[0], static_cast<int>(rank) + 2);
    for (int axis = 1; this->built() && axis < inputs[0].rank(); ++axis)
      emit::want_size(inputs[0], axis, this->built_shapes()[0][axis]);
  }
  void build(const std::vector<Shape>& inputs) override {
    const auto& c = this->config_;
    const int first = channels_first() ? 2 : 1;
    channels_ = emit::known_size(inputs[0], channels_first() ? 1 : -1);
    input_ = output_ = Shape();
    for (std::size_t i = 0; i < rank; ++i) {
      const std::int64_t size = emit::known_size(inputs[0], first + static_cast<int>(i));
      input_.append(size);
      output_.append(window_axis(size, c.kernel_size[i], c.strides[i], 1, c.padding).output);
    }
    constexpr std::int64_t most = std::int64_t{1} << 31;  // each is looked at
    if (c.implementation != LocalKernel::windows) {
      const std::int64_t pairs = (with_channels(input_, channels_) + with_channels(output_, c.filters)).elements();
      need(pairs <= most, "got {} pairs of inputs and outputs, wanted at most {}", pairs, most);
    }
    kernel_ = this->add_weight("kernel", kernel_shape(), c.kernel_initializer,
                               {.regularizer = c.kernel_regularizer, .constraint = c.kernel_constraint});
    if (c.use_bias)
      bias_ = this->add_weight("bias", output_ + Shape{c.filters}, c.bias_initializer,
                               {.regularizer = c.bias_regularizer, .constraint = c.bias_constraint});
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const bool windows = this->config_.implementation == LocalKernel::windows;
    const Value kernel = this->value(context, kernel_);
    Value y = windows ? over_windows(arguments.inputs[0], kernel) : over_matrix(arguments.inputs[0], kernel);
    if (bias_) y = y + this->value(context, bias_);
    y = activated(y, this->config_.activation);
    return {channels_first() ? emit::channels_first(y) : y};
  }

 private:
  bool channels_first() const { return this->config_.data_format == DataFormat::channels_first; }
  // Sizes of places with so many channels, in the order of the data format.
  Shape with_channels(const Shape& places, std::int64_t channels) const {
    return channels_first() ? Shape{channels} + places : places + Shape{channels};
  }
  Shape kernel_shape() const {
    const auto& c = this->config_;
    if (c.implementation == LocalKernel::windows)
      return {output_.elements(), Shape(sizes_of(c.kernel_size)).elements() * channels_, c.filters};
    if (c.implementation == LocalKernel::dense)
      return with_channels(input_, channels_) + with_channels(output_, c.filters);
    return {static_cast<std::int64_t>(std::ranges::count(connections(), true))};
  }

  // One product per place with what its window shows, channels innermost (channels_first: outermost).
  Value over_windows(Value x, Value kernel) const {
    const auto& c = this->config_;
    if (channels_first()) x = emit::channels_last(x);
    const int channel_axis = static_cast<int>(rank) + 1;
    Values shifted;  // by each place of the window: (batch, output…, channels)
    for_each_place(Shape(sizes_of(c.kernel_size)), [&](const std::vector<std::int64_t>& shift) {
      std::vector<std::int64_t> begin{0}, end{whole_axis}, stride{1};
      for (std::size_t i = 0; i < rank; ++i) {
        begin.push_back(shift[i]);
        end.push_back(shift[i] + (output_[static_cast<int>(i)] - 1) * c.strides[i] + 1);
        stride.push_back(c.strides[i]);
      }
      begin.push_back(0), end.push_back(whole_axis), stride.push_back(1);
      shifted.push_back(ops::expand_dims(ops::slice(x, std::move(begin), std::move(end), std::move(stride)),
                                         channels_first() ? channel_axis + 1 : channel_axis));
    });
    Value patches = ops::concat(std::move(shifted), channels_first() ? channel_axis + 1 : channel_axis);
    patches = emit::reshape(patches, {x.shape()[0], output_.elements(), kernel.shape()[1]});
    const Value y = ops::matmul(ops::transpose(patches, {1, 0, 2}), kernel);  // (places, batch, filters)
    return emit::reshape(ops::transpose(y, {1, 0, 2}), Shape{x.shape()[0]} + output_ + Shape{c.filters});
  }

  // One product of the flat input with a matrix (input, output) in the order of the data format.
  Value over_matrix(Value x, Value kernel) const {
    const std::int64_t rows = input_.elements() * channels_, columns = output_.elements() * this->config_.filters;
    const std::vector<bool> connected = connections();
    Graph& graph = x.graph();
    Value matrix;
    if (this->config_.implementation == LocalKernel::dense) {
      const std::vector<float> counts(connected.begin(), connected.end());
      const Value mask = graph.constant(Tensor::of<float>({columns, rows}, counts).cast(kernel.dtype()));
      matrix = ops::reshape(kernel, {rows, columns}) * ops::transpose(mask, {1, 0});
    } else {
      // Where nothing is connected stands a zero behind the last element.
      std::vector<std::int64_t> places;
      std::int64_t next = 0;
      for (const bool seen : connected) places.push_back(seen ? next++ : kernel.shape()[0]);
      const Value table = ops::pad(kernel, {0}, {1});
      const Value whole = ops::gather(table, graph.constant(Tensor::of<std::int64_t>({columns, rows}, places)));
      matrix = ops::transpose(whole, {1, 0});
    }
    const Value y = ops::matmul(emit::reshape(x, {x.shape()[0], rows}), matrix);
    const Value placed = emit::reshape(y, Shape{x.shape()[0]} + with_channels(output_, this->config_.filters));
    return channels_first() ? emit::channels_last(placed) : placed;
  }

  // Row-major (output, input): whether the output element sees the input element. With "same", a window reaches half
  // its size, rounded down, before its place.
  std::vector<bool> connections() const {
    const auto& c = this->config_;
    const Shape from = with_channels(input_, channels_), to = with_channels(output_, c.filters);
    std::vector<bool> connected;
    for_each_place(to, [&](const std::vector<std::int64_t>& output) {
      for_each_place(from, [&](const std::vector<std::int64_t>& input) {
        bool seen = true;
        for (std::size_t i = 0; i < rank; ++i) {
          const std::size_t axis = i + (channels_first() ? 1 : 0);
          const std::int64_t before = c.padding == Padding::same ? c.kernel_size[i] / 2 : 0;
          const std::int64_t begin = output[axis] * c.strides[i] - before;
          seen = seen && input[axis] >= begin && input[axis] < begin + c.kernel_size[i];
        }
        connected.push_back(seen);
      });
    });
    return connected;
  }

  VariableRef kernel_, bias_;
  std::int64_t channels_ = 0;
  Shape input_, output_;  // spatial sizes
};

}  // namespace

LayerRef LocallyConnected1D(LocallyConnectedConfig<1> config, LayerOptions options) {
  return std::make_shared<LocallyConnectedLayer<1>>(std::move(config), std::move(options));
}
LayerRef LocallyConnected2D(LocallyConnectedConfig<2> config, LayerOptions options) {
  return std::make_shared<LocallyConnectedLayer<2>>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> locally_connected_layers() {
  return {layer_info<LocallyConnectedLayer<1>>(""), layer_info<LocallyConnectedLayer<2>>("")};
}

}  // namespace nacre
