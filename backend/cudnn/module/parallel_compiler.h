// Sources that are compiled beside the caller, by as many threads as the machine has: a model has hundreds of kernels,
// each of which takes a tenth of a second.
#pragma once

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "backend/cudnn/module/compiler.h"

namespace nacre::gpu {

class ParallelCompiler {
 public:
  explicit ParallelCompiler(Compiler compiler) : compiler_(std::move(compiler)) {}
  ~ParallelCompiler();  // what has not begun is given up
  ParallelCompiler(const ParallelCompiler&) = delete;
  ParallelCompiler& operator=(const ParallelCompiler&) = delete;

  const Compiler& compiler() const { return compiler_; }
  // The image, or what compile() throws.
  std::future<std::string> begin(std::string source, std::string target);

 private:
  void work();

  const Compiler compiler_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<std::string()>> waiting_;
  bool ends_ = false;
  std::size_t idle_ = 0;
  std::vector<std::thread> threads_;  // begun when there is something for them
};

}  // namespace nacre::gpu
