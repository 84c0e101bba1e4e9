// Convolutions and attention by cuDNN, through its graphs.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "backend/cudnn/module/context.h"
#include "backend/cudnn/module/dnn_graph.h"
#include "backend/cudnn/module/kernel_cache.h"

namespace nacre::gpu {

// cuDNN as it was found. A GPU is of use without it: convolutions are computed on the host then.
struct Cudnn {
  std::string version;  // "9.19.0"; "" where there is none
  std::string reason;   // in one line, why there is none
};
// Opens the library for the whole process; needs no GPU. What follows needs it open.
Cudnn load_cudnn(const std::string& file_name = "libcudnn.so.9");

// The library on one context.
class Dnn {
 public:
  // `architecture` is the device's compute capability: 90 is 9.0. `made_for` tells devices and versions apart in the
  // cache, where plans are kept: "NVIDIA H200 with cuDNN 9.19.0".
  Dnn(std::shared_ptr<const Context> context, int architecture, std::string made_for);
  ~Dnn();
  Dnn(const Dnn&) = delete;
  Dnn& operator=(const Dnn&) = delete;

  // Null where the library has no engine for it. With the context current.
  std::unique_ptr<Work> work(const DnnDescription& description, KernelCache& cache);

  // What needs no GPU. A device that is not there is told by cuDNN's properties of it, JSON, which it takes since 9.8;
  // an Error is thrown where they are none.
  // The plan of the engine that is chosen, as it is kept in the cache; "" where there is none.
  static std::string plan_for(const DnnDescription& description, const std::string& device_properties);
  // Whether what was kept is a plan of that.
  static bool is_plan(const std::string& bytes, const DnnDescription& description,
                      const std::string& device_properties);

 private:
  struct Handle;
  struct Plan;
  std::shared_ptr<const Plan> plan(const DnnDescription& description, KernelCache& cache) const;

  std::shared_ptr<const Context> context_;
  int architecture_;
  std::string made_for_;
  std::shared_ptr<Handle> handle_;  // made for the first work: it takes a second, and memory
  std::unordered_map<std::string, std::shared_ptr<const Plan>> plans_;  // by description; null: there is no engine

  friend class PlannedWork;
};

}  // namespace nacre::gpu
