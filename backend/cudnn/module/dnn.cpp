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

constexpr std::size_t workspace_alignment = 256;
// As of the graphs that dnn_graph.h makes.
constexpr auto retention = fe::CudaGraphRetention_t::NONE;

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

// What plans have to do with.
struct Facts {
  std::string text;       // tells descriptions apart
  std::string_view name;  // of the work, for messages
  std::size_t operands, results;
  bool deterministic, exact;    // what must not be given up for speed; exact: of float32
  std::int64_t most_workspace;  // bytes
};

Facts facts_of(const ConvolutionDescription& d) {
  std::string text = fmt::format("convolution {} {} {} {} {} {}", static_cast<int>(d.result), d.batch, d.channels,
                                 d.filters, d.groups, d.dtype);
  for (const auto& axis : d.axes)
    text += fmt::format("; {} {} {} {} {} {} {}", axis.x, axis.window, axis.y, axis.stride, axis.dilation, axis.before,
                        axis.after);
  text += fmt::format("{}{}{}{}{}", d.bias ? " bias" : "", d.residual ? " residual" : "", d.relu ? " relu" : "",
                      d.tensor_float32 ? " rounds" : "", d.deterministic ? "" : " in any order");
  return {.text = std::move(text),
          .name = "a convolution",
          .operands = std::size_t{2} + d.bias + d.residual,
          .results = 1,
          .deterministic = d.deterministic,
          .exact = d.dtype == DType::float32 && !d.tensor_float32,
          .most_workspace = std::int64_t{256} << 20};
}

// Gradients that are deterministic take a matrix of scores as workspace on some devices. The parts of attention, which
// are what there is without a plan, take several for each layer.
Facts facts_of(const AttentionDescription& d) {
  return {.text = fmt::format(
              "attention{} {} {} {} {} {} {} {} {} {}{}{}{}{}", d.gradients ? " gradients" : "", d.batch, d.queries,
              d.keys, d.heads, d.groups, d.features, d.value_features, d.scale, d.dtype, d.causal ? " causal" : "",
              d.bias_batch > 0 ? fmt::format(" biased {} {}", d.bias_batch, d.bias_heads) : "",
              d.dropout > 0 ? fmt::format(" drops {}", d.dropout) : "", d.deterministic ? "" : " in any order"),
          .name = "attention",
          .operands = std::size_t{d.gradients ? 6u : 3u} + (d.bias_batch > 0) + (d.dropout > 0),
          .results = d.gradients ? 3u : 2u,
          .deterministic = d.deterministic,
          .exact = false,
          .most_workspace = std::numeric_limits<std::int64_t>::max()};
}

Facts facts_of(const DnnDescription& description) {
  return std::visit([](const auto& d) { return facts_of(d); }, description);
}

// Whether there is an engine. Those that add in the order in which their threads come, and those that round factors of
// float32, are left out unless that is asked for. Without a handle for the device whose properties the graph
// has.
bool choose(fe::graph::Graph& graph, const Facts& facts, cudnnHandle_t handle) {
  std::vector<fe::NumericalNote_t> unwanted{fe::NumericalNote_t::DOWN_CONVERT_INPUTS,
                                            fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION};
  if (facts.deterministic) unwanted.push_back(fe::NumericalNote_t::NONDETERMINISTIC);
  if (facts.exact) unwanted.push_back(fe::NumericalNote_t::TENSOR_CORE);
  return succeeds([&] { return graph.build_operation_graph(handle); }) && succeeds([&] {
           return graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK});
         }) &&
         succeeds([&] {
           graph.deselect_numeric_notes(unwanted).deselect_workspace_greater_than(facts.most_workspace);
           return graph.build_plans(fe::BuildPlanPolicy_t::HEURISTICS_CHOICE);
         });
}

// The plan alone, as it is read back; "" where the engine's cannot be written.
std::string written(const fe::graph::Graph& graph) {
  std::vector<std::uint8_t> bytes;
  if (!succeeds([&] { return graph.serialize(bytes, false); })) return {};
  return {bytes.begin(), bytes.end()};
}

// Whether the bytes are what was written of such a graph.
bool read(fe::graph::Graph& graph, const std::string& bytes, const Facts& facts, cudnnHandle_t handle) {
  graph.set_cuda_graph_retention(retention);
  const std::vector<std::uint8_t> plan(bytes.begin(), bytes.end());
  std::int64_t workspace = 0;
  return succeeds(
             [&] { return handle ? graph.deserialize(handle, plan, true, false) : graph.deserialize(plan, true); }) &&
         succeeds([&] { return graph.get_workspace_size(workspace); }) && workspace >= 0 &&
         workspace <= facts.most_workspace &&
         graph.get_variant_pack_uids_sorted().size() == facts.operands + facts.results;
}

std::shared_ptr<fe::DeviceProperties> properties(const std::string& json) {
  auto device = std::make_shared<fe::DeviceProperties>();
  check(device->deserialize({json.begin(), json.end()}), "read the properties of a device");
  return device;
}

// Of a device with such properties.
int architecture_of(const std::string& json) {
  try {
    return nlohmann::json::parse(json).at("deviceVer").get<int>() / 10;  // 900
  } catch (const std::exception& error) {
    throw Error("the properties of a device are none: {}", error.what());
  }
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
    return found;
  }
  // cudnn-frontend looks for it by name alone, when the gradients of attention want it; one that is open is found so.
  try {
    SharedLibrary(fmt::format("libcudart.so.{}", CUDA_VERSION / 1000), "CUDA runtime");
  } catch (const Error&) {  // told when it is wanted
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

class PlannedWork final : public Work {
 public:
  PlannedWork(std::shared_ptr<const Dnn::Plan> plan, const Facts& facts)
      : plan_(std::move(plan)), name_(facts.name), operands_(facts.operands), places_(facts.operands + facts.results) {
    std::int64_t bytes = 0;
    check(plan_->graph->get_workspace_size(bytes), fmt::format("tell the memory that {} needs", name_));
    workspace_ = static_cast<std::size_t>(bytes);
  }

  std::size_t scratch_bytes() const override { return workspace_ > 0 ? workspace_ + workspace_alignment : 0; }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const Current current(*plan_->library->context);
    for (std::size_t i = 0; i < places_.size(); ++i)
      places_[i] = i < operands_ ? const_cast<void*>(inputs[i]) : outputs[i - operands_];
    std::size_t space = scratch_bytes();
    void* const workspace = workspace_ > 0 ? std::align(workspace_alignment, workspace_, scratch, space) : nullptr;
    try {
      const fe::error_t status =
          plan_->graph->execute(plan_->library->handle, places_.data(), static_cast<int>(places_.size()), workspace);
      if (status.is_bad()) check(status, fmt::format("compute {}", name_));
    } catch (const std::runtime_error& error) {  // cudnn-frontend finds no CUDA runtime
      throw Error("cuDNN failed to compute {}: {}", name_, error.what());
    }
  }

 private:
  std::shared_ptr<const Dnn::Plan> plan_;
  std::string_view name_;
  std::size_t operands_, workspace_ = 0;
  std::vector<void*> places_;  // of the tensors in the order of their numbers
};

Dnn::Dnn(std::shared_ptr<const Context> context, int architecture, std::string made_for)
    : context_(std::move(context)),
      architecture_(architecture),
      made_for_(fmt::format("{}, graphs {} by cudnn-frontend {}", made_for, graphs_version, CUDNN_FRONTEND_VERSION)) {}
Dnn::~Dnn() = default;

std::shared_ptr<const Dnn::Plan> Dnn::plan(const DnnDescription& description, KernelCache& cache) const {
  auto made = std::make_shared<Plan>();
  made->library = handle_;
  const Facts facts = facts_of(description);
  if (const auto bytes = cache.find(facts.text, made_for_)) {
    made->graph = std::make_shared<fe::graph::Graph>();
    if (read(*made->graph, *bytes, facts, handle_->handle)) return made;
  }
  try {
    made->graph = graph_of(description, architecture_);
  } catch (const Error&) {  // more elements than the library counts, sizes that it does not know
    return nullptr;
  }
  if (!choose(*made->graph, facts, handle_->handle)) return nullptr;
  if (const std::string bytes = written(*made->graph); !bytes.empty()) cache.keep(facts.text, made_for_, bytes);
  return made;
}

std::unique_ptr<Work> Dnn::work(const DnnDescription& description, KernelCache& cache) {
  if (!handle_) handle_ = std::make_shared<Handle>(context_);
  const Facts facts = facts_of(description);
  auto found = plans_.find(facts.text);
  if (found == plans_.end()) {
    constexpr std::size_t most_plans = 4096;
    if (plans_.size() >= most_plans)
      std::erase_if(plans_, [](const auto& entry) { return entry.second.use_count() <= 1; });
    found = plans_.emplace(facts.text, plan(description, cache)).first;
  }
  if (!found->second) return nullptr;
  return std::make_unique<PlannedWork>(found->second, facts);
}

std::string Dnn::plan_for(const DnnDescription& description, const std::string& device_properties) {
  const auto graph = graph_of(description, architecture_of(device_properties));
  graph->set_device_properties(properties(device_properties));
  return choose(*graph, facts_of(description), nullptr) ? written(*graph) : "";
}

bool Dnn::is_plan(const std::string& bytes, const DnnDescription& description, const std::string& device_properties) {
  fe::graph::Graph graph;
  graph.set_device_properties(properties(device_properties));
  return read(graph, bytes, facts_of(description), nullptr);
}

}  // namespace nacre::gpu
