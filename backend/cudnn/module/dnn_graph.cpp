#include "backend/cudnn/module/dnn_graph.h"

#include <cudnn_frontend.h>

#include "backend/core/error.h"

namespace nacre::gpu {

namespace fe = cudnn_frontend;

namespace {

using Sizes = std::vector<std::int64_t>;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

void check(fe::error_t status, std::string_view action) {
  if (status.is_bad()) throw Error("cuDNN failed to {}: {}", action, status.get_message());
}

fe::DataType_t element_type(DType dtype) {
  switch (dtype) {
    case DType::float16: return fe::DataType_t::HALF;
    case DType::bfloat16: return fe::DataType_t::BFLOAT16;
    default: return fe::DataType_t::FLOAT;
  }
}

// A tensor in the library's order of axes.
struct Form {
  Sizes sizes, strides;
  fe::DataType_t type;
};

// (first, channels, spatial…), of what lies channels last.
Form channels_last(const Sizes& sizes, fe::DataType_t type) {
  Sizes strides(sizes.size(), 1);
  std::int64_t stride = sizes[1];
  for (std::size_t i = sizes.size() - 1; i > 1; --i) strides[i] = stride, stride *= sizes[i];
  strides[0] = stride;
  return {sizes, strides, type};
}

// (batch, heads, places, features), of what lies as (batch, places, heads, features).
Form heads_inside(std::int64_t batch, std::int64_t places, std::int64_t heads, std::int64_t features,
                  fe::DataType_t type) {
  return {{batch, heads, places, features}, {places * heads * features, features, heads * features, 1}, type};
}

Form packed(const Sizes& sizes, fe::DataType_t type) {
  Sizes strides(sizes.size(), 1);
  for (std::size_t i = sizes.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * sizes[i];
  return {sizes, strides, type};
}

template <class Attributes>
Attributes attributes_of(const ConvolutionDescription& d) {
  Sizes before, after, strides, dilations;
  for (const auto& axis : d.axes) {
    before.push_back(axis.before), after.push_back(axis.after);
    strides.push_back(axis.stride), dilations.push_back(axis.dilation);
  }
  Attributes attributes;
  attributes.set_pre_padding(before).set_post_padding(after).set_stride(strides).set_dilation(dilations);
  return attributes;
}

template <class Attributes>
Attributes attributes_of(const AttentionDescription& d) {
  Attributes attributes;
  attributes.set_attn_scale(static_cast<float>(d.scale));
  if (d.causal) attributes.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT).set_diagonal_band_right_bound(0);
  return attributes;
}

class Network {
 public:
  explicit Network(int architecture) {
    graph_->set_intermediate_data_type(fe::DataType_t::FLOAT).set_compute_data_type(fe::DataType_t::FLOAT);
    graph_->set_sm_version(architecture);
    graph_->set_cuda_graph_retention(fe::CudaGraphRetention_t::NONE);
  }

  void add(ConvolutionDescription d) {
    if (d.axes.size() == 1)
      d.axes.insert(d.axes.begin(), ConvolutionDescription::Axis{});  // the library knows two and three
    const fe::DataType_t type = element_type(d.dtype);
    graph_->set_io_data_type(type);
    Sizes x_sizes{d.batch, d.channels}, kernel_sizes{d.filters, d.channels / d.groups}, y_sizes{d.batch, d.filters};
    for (const auto& axis : d.axes)
      x_sizes.push_back(axis.x), kernel_sizes.push_back(axis.window), y_sizes.push_back(axis.y);
    const Form x = channels_last(x_sizes, type), kernel = channels_last(kernel_sizes, type),
               y = channels_last(y_sizes, type);
    using Result = ConvolutionDescription::Result;
    switch (d.result) {
      case Result::y: {
        const Tensor first = operand(x), second = operand(kernel);
        Tensor value = graph_->conv_fprop(first, second, attributes_of<fe::graph::Conv_fprop_attributes>(d));
        Sizes filters(y_sizes.size(), 1);
        filters[1] = d.filters;
        const Tensor bias = d.bias ? operand(channels_last(filters, type)) : nullptr;
        // In the order that the library's compiled engines know.
        if (d.residual) value = then(value, fe::PointwiseMode_t::ADD, operand(y));
        if (bias) value = then(value, fe::PointwiseMode_t::ADD, bias);
        if (d.relu) value = then(value, fe::PointwiseMode_t::RELU_FWD);
        result(value, y);
        break;
      }
      case Result::x_gradient: {
        const Tensor first = operand(y), second = operand(kernel);
        result(graph_->conv_dgrad(first, second, attributes_of<fe::graph::Conv_dgrad_attributes>(d)), x);
        break;
      }
      case Result::kernel_gradient: {
        const Tensor first = operand(x), second = operand(y);
        result(graph_->conv_wgrad(second, first, attributes_of<fe::graph::Conv_wgrad_attributes>(d)), kernel);
      }
    }
    check(graph_->validate(), "take a convolution");
  }

  void add(const AttentionDescription& d) {
    // Before 9.15.1 the frontend copies the lengths of such keys from the host in each run.
    if (d.gradients && d.keys % 128 != 0 && fe::detail::get_backend_version() <= 91500)
      throw Error("cuDNN failed to take attention: gradients of {} keys take cuDNN 9.15.1", d.keys);
    const fe::DataType_t type = element_type(d.dtype);
    graph_->set_io_data_type(type);
    const Form query = heads_inside(d.batch, d.queries, d.heads, d.features, type),
               key = heads_inside(d.batch, d.keys, d.groups, d.features, type),
               value = heads_inside(d.batch, d.keys, d.groups, d.value_features, type),
               y = heads_inside(d.batch, d.queries, d.heads, d.value_features, type),
               statistics = packed({d.batch, d.heads, d.queries, 1}, fe::DataType_t::FLOAT),
               bias = packed({d.bias_batch, d.bias_heads, d.queries, d.keys}, type),
               mask = packed({d.batch, d.heads, d.queries, d.keys}, type);
    const Tensor q = operand(query), k = operand(key), v = operand(value);
    if (d.gradients) {
      const Tensor o = operand(y), logarithms = operand(statistics), dy = operand(y);
      auto attributes = attributes_of<fe::graph::SDPA_backward_attributes>(d);
      attributes.set_deterministic_algorithm(d.deterministic);
      if (d.bias_batch > 0) attributes.set_bias(operand(bias));
      if (d.dropout > 0) attributes.set_dropout(operand(mask), number(1 / (1 - d.dropout)), number(1 - d.dropout));
      const auto [dq, dk, dv] = graph_->sdpa_backward(q, k, v, o, dy, logarithms, attributes);
      result(dq, query), result(dk, key), result(dv, value);
    } else {
      auto attributes = attributes_of<fe::graph::SDPA_attributes>(d);
      if (d.bias_batch > 0) attributes.set_bias(operand(bias));
      if (d.dropout > 0) attributes.set_dropout(operand(mask), number(1 / (1 - d.dropout)));
      const auto [o, logarithms] = graph_->sdpa(q, k, v, attributes.set_generate_stats(true));
      result(o, y), result(logarithms, statistics);
    }
    check(graph_->validate(), "take attention");
  }

  const std::shared_ptr<fe::graph::Graph>& graph() const { return graph_; }

 private:
  Tensor operand(const Form& form) {
    fe::graph::Tensor_attributes made;
    made.set_uid(next_++).set_dim(form.sizes).set_stride(form.strides).set_data_type(form.type);
    return graph_->tensor(made);
  }
  Tensor number(double value) { return graph_->tensor(static_cast<float>(value)); }
  Tensor then(const Tensor& value, fe::PointwiseMode_t mode) {
    fe::graph::Pointwise_attributes attributes;
    attributes.set_mode(mode);
    return graph_->pointwise(value, attributes);
  }
  Tensor then(const Tensor& value, fe::PointwiseMode_t mode, const Tensor& other) {
    fe::graph::Pointwise_attributes attributes;
    attributes.set_mode(mode);
    return graph_->pointwise(value, other, attributes);
  }
  void result(const Tensor& value, const Form& form) {
    value->set_output(true).set_uid(next_++).set_dim(form.sizes).set_stride(form.strides).set_data_type(form.type);
  }

  std::shared_ptr<fe::graph::Graph> graph_ = std::make_shared<fe::graph::Graph>();
  std::int64_t next_ = 1;
};

}  // namespace

std::shared_ptr<fe::graph::Graph> graph_of(const DnnDescription& description, int architecture) {
  Network network(architecture);
  std::visit([&](const auto& d) { network.add(d); }, description);
  return network.graph();
}

}  // namespace nacre::gpu
