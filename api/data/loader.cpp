#include "api/data/loader.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

#include "backend/core/lone_thread.h"
#include "backend/core/random.h"

namespace nacre {

// The reader thread fills batches from `free` and appends them to `ready`. The walk it is on has a number: after
// start() what an earlier walk still delivers is thrown away.
struct Loader::Implementation {
  Implementation(DatasetRef data, LoaderOptions chosen) : dataset(std::move(data)), options(std::move(chosen)) {
    need(options.batch_size >= 1, "a batch size of {}, wanted at least 1", options.batch_size);
    if (dataset->bound_to_thread()) options.prefetch = 0;
    if (options.prefetch > 0) reader = std::thread([this] { read_ahead(); });
  }
  ~Implementation() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    changed.notify_all();
    if (reader.joinable()) reader.join();
  }

  std::int64_t batches() const {
    const std::int64_t size = dataset->size(), batch = options.batch_size;
    return options.drop_remainder ? size / batch : (size + batch - 1) / batch;
  }

  std::vector<std::int64_t> order_of(std::int64_t of_epoch) const {
    if (options.shuffle) {
      RandomStream random(RandomKey::of(options.seed, "shuffle", static_cast<std::uint32_t>(of_epoch)));
      return permutation(random, dataset->size());
    }
    std::vector<std::int64_t> natural(static_cast<std::size_t>(dataset->size()));
    std::iota(natural.begin(), natural.end(), std::int64_t{0});
    return natural;
  }

  void read(const std::vector<std::int64_t>& from, std::int64_t of_epoch, std::int64_t index, Batch& batch) const {
    batch.step = of_epoch * batches() + index;
    const auto begin = static_cast<std::size_t>(index * options.batch_size);
    const std::size_t end = std::min(begin + static_cast<std::size_t>(options.batch_size), from.size());
    dataset->read(std::span(from).subspan(begin, end - begin), batch);
    if (options.prepare) options.prepare(batch);
  }

  void read_ahead() {
    const LoneThread beside_the_step;
    std::unique_lock lock(mutex);
    std::uint64_t walking = 0;
    std::vector<std::int64_t> present;
    for (;;) {
      changed.wait(lock, [&] {
        return stopping || (walk != 0 && following < batches() && !failure &&
                            static_cast<int>(ready.size()) < options.prefetch);
      });
      if (stopping) return;
      const bool fresh = walking != walk;
      walking = walk;
      const std::int64_t index = following++, of_epoch = epoch;
      Batch batch;
      if (!free.empty()) batch = std::move(free.back()), free.pop_back();
      lock.unlock();
      std::exception_ptr failed;
      try {
        if (fresh) present = order_of(of_epoch);
        read(present, of_epoch, index, batch);
      } catch (...) {
        failed = std::current_exception();
      }
      lock.lock();
      if (walking != walk) free.push_back(std::move(batch));
      else if (failed) failure = failed;
      else ready.push_back(std::move(batch));
      changed.notify_all();
    }
  }

  DatasetRef dataset;
  LoaderOptions options;

  std::thread reader;
  std::mutex mutex;
  std::condition_variable changed;
  // guarded by mutex where there is a reader thread
  std::deque<Batch> ready;
  std::vector<Batch> free;
  std::exception_ptr failure;
  std::uint64_t walk = 0;
  std::int64_t epoch = 0, following = 0;  // the next batch to read
  bool stopping = false;
  // the caller's alone
  Batch current;
  std::int64_t delivered = 0;
  std::vector<std::int64_t> order;  // without a reader thread
};

Loader::Loader(DatasetRef dataset, LoaderOptions options)
    : implementation_(std::make_unique<Implementation>(std::move(dataset), std::move(options))) {}
Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;

std::int64_t Loader::batches() const { return implementation_->batches(); }

void Loader::start(std::int64_t epoch, std::int64_t first_batch) {
  Implementation& self = *implementation_;
  self.delivered = first_batch;
  if (self.options.prefetch <= 0) {
    self.epoch = epoch;
    self.order = self.order_of(epoch);
    return;
  }
  {
    const std::lock_guard lock(self.mutex);
    ++self.walk;
    self.epoch = epoch;
    self.following = first_batch;
    self.failure = nullptr;
    for (Batch& batch : self.ready) self.free.push_back(std::move(batch));
    self.ready.clear();
  }
  self.changed.notify_all();
}

const Batch* Loader::next() {
  Implementation& self = *implementation_;
  if (self.delivered >= self.batches()) return nullptr;
  if (self.options.prefetch <= 0) {
    ensure(!self.order.empty(), "a loader was read before start()");
    self.read(self.order, self.epoch, self.delivered++, self.current);
    return &self.current;
  }
  std::unique_lock lock(self.mutex);
  ensure(self.walk != 0, "a loader was read before start()");
  self.changed.wait(lock, [&] { return !self.ready.empty() || self.failure; });
  if (self.ready.empty()) std::rethrow_exception(self.failure);
  self.free.push_back(std::exchange(self.current, std::move(self.ready.front())));
  self.ready.pop_front();
  ++self.delivered;
  lock.unlock();
  self.changed.notify_all();
  return &self.current;
}

}  // namespace nacre
