#include "backend/cudnn/module/dnn.h"

#include <cudnn_frontend.h>

#include "backend/cudnn/module/library.h"

// Where the frontend finds the library's functions.
namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;
}

namespace nacre::gpu {

namespace fe = cudnn_frontend;

namespace {

constexpr std::int64_t workspace_limit = std::int64_t{256} << 20;
constexpr std::size_t workspace_alignment = 256;
// What has captured a plan's work in a CUDA graph holds the plan, too.
constexpr auto retention = fe::CudaGraphRetention_t::NONE;

using Sizes = std::vector<std::int64_t>;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

void check(fe::error_t status, std::string_view action) {
  if (status.is_bad()) throw Error("cuDNN failed to {}: {}", action, status.get_message());
}

// What the frontend throws instead of returning it: JSON that is none, functions that the library lacks.
template <class Function>
bool succeeds(Function function) {
  try {
    return function().is_good();
  } catch (const std::exception&) {
    return false;
  }
}

fe::DataType_t element_type(DType dtype) {
  switch (dtype) {
    case DType::float16: return fe::DataType_t::HALF;
    case DType::bfloat16: return fe::DataType_t::BFLOAT16;
    default: return fe::DataType_t::FLOAT;
  }
}

// Strides of sizes in the library's order, (first, channels, spatial…), of what lies channels last.
Sizes channels_last(const Sizes& sizes) {
  Sizes strides(sizes.size(), 1);
  std::int64_t stride = sizes[1];
  for (std::size_t i = sizes.size() - 1; i > 1; --i) strides[i] = stride, stride *= sizes[i];
  strides[0] = stride;
  return strides;
}

template <class Attributes>
Attributes placed(const ConvolutionDescription& d) {
  Sizes before, after, strides, dilations;
  for (const auto& axis : d.axes) {
    before.push_back(axis.before), after.push_back(axis.after);
    strides.push_back(axis.stride), dilations.push_back(axis.dilation);
  }
  Attributes attributes;
  attributes.set_pre_padding(before).set_post_padding(after).set_stride(strides).set_dilation(dilations);
  return attributes;
}

// The graph of a convolution. Its tensors are numbered in the order of the operands; the result is the last.
class Network {
 public:
  explicit Network(ConvolutionDescription d) {
    if (d.axes.size() == 1)
      d.axes.insert(d.axes.begin(), ConvolutionDescription::Axis{});  // the library knows two and three
    const fe::DataType_t type = element_type(d.dtype);
    graph_->set_io_data_type(type)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    graph_->set_cuda_graph_retention(retention);
    Sizes x{d.batch, d.channels}, kernel{d.filters, d.channels / d.groups}, y{d.batch, d.filters};
    for (const auto& axis : d.axes) x.push_back(axis.x), kernel.push_back(axis.window), y.push_back(axis.y);
    using Result = ConvolutionDescription::Result;
    switch (d.result) {
      case Result::y: {
        const Tensor first = operand(x, type), second = operand(kernel, type);
        Tensor value = graph_->conv_fprop(first, second, placed<fe::graph::Conv_fprop_attributes>(d));
        Sizes filters(y.size(), 1);
        filters[1] = d.filters;
        const Tensor bias = d.bias ? operand(filters, type) : nullptr;
        // In the order that the library's compiled engines know.
        if (d.residual) value = then(value, fe::PointwiseMode_t::ADD, operand(y, type));
        if (bias) value = then(value, fe::PointwiseMode_t::ADD, bias);
        if (d.relu) value = then(value, fe::PointwiseMode_t::RELU_FWD);
        result(value, y, type);
        break;
      }
      case Result::x_gradient: {
        const Tensor first = operand(y, type), second = operand(kernel, type);
        result(graph_->conv_dgrad(first, second, placed<fe::graph::Conv_dgrad_attributes>(d)), x, type);
        break;
      }
      case Result::kernel_gradient: {
        const Tensor first = operand(x, type), second = operand(y, type);
        result(graph_->conv_wgrad(second, first, placed<fe::graph::Conv_wgrad_attributes>(d)), kernel, type);
      }
    }
    check(graph_->validate(), "take a convolution");
  }

  const std::shared_ptr<fe::graph::Graph>& graph() const { return graph_; }

 private:
  Tensor operand(const Sizes& sizes, fe::DataType_t type) {
    fe::graph::Tensor_attributes made;
    made.set_uid(next_++).set_dim(sizes).set_stride(channels_last(sizes)).set_data_type(type);
    return graph_->tensor(made);
  }
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
  void result(const Tensor& value, const Sizes& sizes, fe::DataType_t type) {
    value->set_output(true).set_uid(next_++).set_dim(sizes).set_stride(channels_last(sizes)).set_data_type(type);
  }

  std::shared_ptr<fe::graph::Graph> graph_ = std::make_shared<fe::graph::Graph>();
  std::int64_t next_ = 1;
};

std::size_t operand_count(const ConvolutionDescription& d) { return std::size_t{2} + d.bias + d.residual; }

// Whether there is an engine. Those that add in the order in which their threads come, and those that round factors of
// float32, are left out unless that is asked for. Without a handle for the device whose properties the graph
// has.
bool choose(fe::graph::Graph& graph, const ConvolutionDescription& d, cudnnHandle_t handle) {
  std::vector<fe::NumericalNote_t> unwanted{fe::NumericalNote_t::DOWN_CONVERT_INPUTS,
                                            fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION};
  if (d.deterministic) unwanted.push_back(fe::NumericalNote_t::NONDETERMINISTIC);
  if (d.dtype == DType::float32 && !d.tensor_float32) unwanted.push_back(fe::NumericalNote_t::TENSOR_CORE);
  return succeeds([&] { return graph.build_operation_graph(handle); }) && succeeds([&] {
           return graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK});
         }) &&
         succeeds([&] {
           graph.deselect_numeric_notes(unwanted).deselect_workspace_greater_than(workspace_limit);
           return graph.build_plans(fe::BuildPlanPolicy_t::HEURISTICS_CHOICE);
         });
}

// The plan alone, as it is read back; "" where the engine's cannot be written.
std::string written(const fe::graph::Graph& graph) {
  std::vector<std::uint8_t> bytes;
  if (!succeeds([&] { return graph.serialize(bytes, false); })) return {};
  return {bytes.begin(), bytes.end()};
}

// Whether the bytes are what was written of such a convolution's graph.
bool read(fe::graph::Graph& graph, const std::string& bytes, const ConvolutionDescription& d, cudnnHandle_t handle) {
  graph.set_cuda_graph_retention(retention);
  const std::vector<std::uint8_t> plan(bytes.begin(), bytes.end());
  std::int64_t workspace = 0;
  return succeeds(
             [&] { return handle ? graph.deserialize(handle, plan, true, false) : graph.deserialize(plan, true); }) &&
         succeeds([&] { return graph.get_workspace_size(workspace); }) && workspace >= 0 &&
         workspace <= workspace_limit && graph.get_variant_pack_uids_sorted().size() == operand_count(d) + 1;
}

std::shared_ptr<fe::DeviceProperties> properties(const std::string& json) {
  auto device = std::make_shared<fe::DeviceProperties>();
  check(device->deserialize({json.begin(), json.end()}), "read the properties of a device");
  return device;
}

std::string text_of(const ConvolutionDescription& d) {
  std::string text = fmt::format("convolution {} {} {} {} {} {}", static_cast<int>(d.result), d.batch, d.channels,
                                 d.filters, d.groups, d.dtype);
  for (const auto& axis : d.axes)
    text += fmt::format("; {} {} {} {} {} {} {}", axis.x, axis.window, axis.y, axis.stride, axis.dilation, axis.before,
                        axis.after);
  return text + (d.bias ? " bias" : "") + (d.residual ? " residual" : "") + (d.relu ? " relu" : "") +
         (d.tensor_float32 ? " rounds" : "") + (d.deterministic ? "" : " in any order");
}

}  // namespace

Cudnn load_cudnn(const std::string& file_name) {
  Cudnn found;
  try {
    const SharedLibrary library(file_name, "cuDNN");
    decltype(&cudnnGetVersion) version = nullptr;
    library.find(version, "cudnnGetVersion");
    const std::size_t number = version();  // 91900
    found.version = fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100);
    fe::cudnn_dlhandle = library.handle();
  } catch (const Error& error) {
    found.reason = error.line();
  }
  return found;
}

struct Dnn::Handle {
  explicit Handle(std::shared_ptr<const Context> of) : context(std::move(of)) {
    cudnnStatus_t status = fe::detail::create_handle(&handle);
    if (status == CUDNN_STATUS_SUCCESS) {
      status = fe::detail::set_stream(handle, context->stream());
      if (status == CUDNN_STATUS_SUCCESS) return;
      fe::detail::destroy_handle(handle);
    }
    throw Error("cuDNN does not start: {}", fe::detail::get_error_string(status));
  }
  ~Handle() {
    try {
      const Current current(*context);
      fe::detail::destroy_handle(handle);
    } catch (const Error&) {  // the driver has been shut down, and the library with it
    }
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  std::shared_ptr<const Context> context;
  cudnnHandle_t handle = nullptr;
};

struct Dnn::Plan {
  std::shared_ptr<Handle> library;
  std::shared_ptr<fe::graph::Graph> graph;

  ~Plan() {
    try {
      const Current current(*library->context);
      graph.reset();
    } catch (const Error&) {
    }
  }
};

class Convolution final : public Work {
 public:
  Convolution(std::shared_ptr<const Dnn::Plan> plan, std::size_t operands)
      : plan_(std::move(plan)), places_(operands + 1) {
    std::int64_t bytes = 0;
    check(plan_->graph->get_workspace_size(bytes), "tell the memory that a convolution needs");
    workspace_ = static_cast<std::size_t>(bytes);
  }

  std::size_t scratch_bytes() const override { return workspace_ > 0 ? workspace_ + workspace_alignment : 0; }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const Current current(*plan_->library->context);
    for (std::size_t i = 0; i + 1 < places_.size(); ++i) places_[i] = const_cast<void*>(inputs[i]);
    places_.back() = outputs[0];
    std::size_t space = scratch_bytes();
    void* const workspace = workspace_ > 0 ? std::align(workspace_alignment, workspace_, scratch, space) : nullptr;
    check(plan_->graph->execute(plan_->library->handle, places_.data(), static_cast<int>(places_.size()), workspace),
          "compute a convolution");
  }

 private:
  std::shared_ptr<const Dnn::Plan> plan_;
  std::size_t workspace_ = 0;
  std::vector<void*> places_;  // of the tensors in the order of their numbers
};

Dnn::Dnn(std::shared_ptr<const Context> context, std::string made_for)
    : context_(std::move(context)), made_for_(std::move(made_for)) {}
Dnn::~Dnn() = default;

std::shared_ptr<const Dnn::Plan> Dnn::plan(const ConvolutionDescription& description, KernelCache& cache) const {
  auto made = std::make_shared<Plan>();
  made->library = handle_;
  const std::string text = text_of(description);
  if (const auto bytes = cache.find(text, made_for_)) {
    made->graph = std::make_shared<fe::graph::Graph>();
    if (read(*made->graph, *bytes, description, handle_->handle)) return made;
  }
  try {
    made->graph = Network(description).graph();
  } catch (const Error&) {  // more elements than the library counts
    return nullptr;
  }
  if (!choose(*made->graph, description, handle_->handle)) return nullptr;
  if (const std::string bytes = written(*made->graph); !bytes.empty()) cache.keep(text, made_for_, bytes);
  return made;
}

std::unique_ptr<Work> Dnn::convolution(const ConvolutionDescription& description, KernelCache& cache) {
  if (!handle_) handle_ = std::make_shared<Handle>(context_);
  const std::string text = text_of(description);
  auto found = plans_.find(text);
  if (found == plans_.end()) {
    constexpr std::size_t most_plans = 4096;
    if (plans_.size() >= most_plans)
      std::erase_if(plans_, [](const auto& entry) { return entry.second.use_count() <= 1; });
    found = plans_.emplace(text, plan(description, cache)).first;
  }
  if (!found->second) return nullptr;
  return std::make_unique<Convolution>(found->second, operand_count(description));
}

void Dnn::validate(const ConvolutionDescription& description) { const Network network(description); }

std::string Dnn::plan_for(const ConvolutionDescription& description, const std::string& device_properties) {
  const Network network(description);
  network.graph()->set_device_properties(properties(device_properties));
  return choose(*network.graph(), description, nullptr) ? written(*network.graph()) : "";
}

bool Dnn::is_plan(const std::string& bytes, const ConvolutionDescription& description,
                  const std::string& device_properties) {
  fe::graph::Graph graph;
  graph.set_device_properties(properties(device_properties));
  return read(graph, bytes, description, nullptr);
}

}  // namespace nacre::gpu
