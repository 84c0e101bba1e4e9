#include "backend/cudnn/module/parallel_compiler.h"

#include <algorithm>

namespace nacre::gpu {

ParallelCompiler::~ParallelCompiler() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::future<std::string> ParallelCompiler::begin(std::string source, std::string target) {
  std::packaged_task<std::string()> task(
      [this, source = std::move(source), target = std::move(target)] { return compiler_.compile(source, target); });
  std::future<std::string> image = task.get_future();
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(task));
  const std::size_t most = std::max(1u, std::thread::hardware_concurrency());
  if (waiting_.size() > idle_ && threads_.size() < most) threads_.emplace_back([this] { work(); });
  changed_.notify_one();
  return image;
}

void ParallelCompiler::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    changed_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
    --idle_;
    if (ends_) return;
    std::packaged_task<std::string()> task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace nacre::gpu
