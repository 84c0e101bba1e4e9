#include "backend/cudnn/module/recording.h"

namespace nacre::gpu {

namespace {

class CudaRecording final : public Recording {
 public:
  CudaRecording(std::shared_ptr<const Context> context, CUgraphExec graph)
      : context_(std::move(context)), graph_(graph) {}
  // Where it is under way, the driver waits with it.
  ~CudaRecording() override {
    try {
      const Current current(*context_);
      context_->driver().destroy_executable_graph(graph_);
    } catch (const Error&) {  // the driver has been shut down, and what it held with it
    }
  }
  CudaRecording(const CudaRecording&) = delete;
  CudaRecording& operator=(const CudaRecording&) = delete;

  void replay() override {
    const Current current(*context_);
    context_->driver().check(context_->driver().launch_graph(graph_, context_->stream()), "replay what was recorded");
  }

 private:
  std::shared_ptr<const Context> context_;
  CUgraphExec graph_;
};

// The stream takes down what it is asked for while this lives.
class Capture {
 public:
  explicit Capture(const Context& context)
      : context_(context),
        begun_(context.driver().begin_capture(context.stream(), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) == CUDA_SUCCESS) {}
  ~Capture() {
    if (begun_) end();
    if (graph_) context_.driver().destroy_graph(graph_);
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  bool begun() const { return begun_; }
  // Null where something was asked for that cannot be captured.
  CUgraph end() {
    begun_ = false;
    if (context_.driver().end_capture(context_.stream(), &graph_) != CUDA_SUCCESS) graph_ = nullptr;
    return graph_;
  }

 private:
  const Context& context_;
  bool begun_;
  CUgraph graph_ = nullptr;
};

}  // namespace

std::unique_ptr<Recording> record(std::shared_ptr<const Context> context, const std::function<void()>& work,
                                  const std::function<void()>& make_room) {
  const Driver& driver = context->driver();
  Capture capture(*context);
  if (!capture.begun()) return nullptr;
  try {
    work();
  } catch (const Error&) {
    return nullptr;
  }
  const CUgraph graph = capture.end();
  if (!graph) return nullptr;
  CUgraphExec executable = nullptr;
  const auto instantiate = [&] {
    CUresult result = driver.instantiate_graph(&executable, graph, 0);
    if (result != CUDA_SUCCESS) return result;
    // What it takes of the device is taken now, so that a lack of memory shows here.
    result = driver.upload_graph(executable, context->stream());
    if (result != CUDA_SUCCESS) driver.destroy_executable_graph(executable);
    return result;
  };
  CUresult result = instantiate();
  if (result == CUDA_ERROR_OUT_OF_MEMORY) make_room(), result = instantiate();
  if (result != CUDA_SUCCESS) return nullptr;
  return std::make_unique<CudaRecording>(std::move(context), executable);
}

}  // namespace nacre::gpu
