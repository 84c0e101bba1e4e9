#include "api/data/workers.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "backend/core/lone_thread.h"
#include "backend/core/parallel.h"

namespace nacre {

namespace {

class ReadByWorkers final : public ChangedDataset {
 public:
  ReadByWorkers(DatasetRef raw, int workers) : ChangedDataset(std::move(raw)), workers_(workers) {}
  int workers() const override { return workers_; }
  void read(std::span<const std::int64_t> indices, Batch& batch) const override { raw_->read(indices, batch); }
  void read_targets(std::span<const std::int64_t> indices, Batch& batch) const override { raw_->read_targets(indices, batch); }
  std::string fingerprint() const override { return raw_->fingerprint(); }
  std::string description() const override { return raw_->description(); }

 private:
  int workers_;
};

}  // namespace

int decoding_workers() { return std::clamp(threads() / 2, 1, 8); }

void in_workers(int workers, std::int64_t count, const std::function<void(std::int64_t)>& body) {
  std::atomic<std::int64_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  std::int64_t failed = count;
  const auto work = [&] {
    const LoneThread alone;
    for (std::int64_t i; (i = next++) < count;) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (i < failed) failed = i, failure = std::current_exception();
        next = count;  // those that were taken are smaller, or are being done
      }
    }
  };
  std::vector<std::jthread> others;
  for (std::int64_t i = 1; i < std::min<std::int64_t>(workers, count); ++i) others.emplace_back(work);
  work();
  others.clear();
  if (failure) std::rethrow_exception(failure);
}

DatasetRef with_workers(DatasetRef dataset, int workers) { return std::make_shared<ReadByWorkers>(std::move(dataset), workers); }

}  // namespace nacre
