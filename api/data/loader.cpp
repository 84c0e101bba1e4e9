#include "api/data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

#include "backend/core/lone_thread.h"
#include "backend/core/random.h"

namespace nacre {

namespace {

// One epoch that is walked: its order is made once, by the first who needs it.
struct Walk {
  explicit Walk(std::int64_t number) : epoch(number) {}
  const std::int64_t epoch;
  std::once_flag ordered;
  std::vector<std::int64_t> order;
};

struct Slot {
  Batch batch;
  std::exception_ptr failure;
};

}  // namespace

// Each reader thread takes the next batch that nobody reads yet, and puts it under its number into `ready`, from where
// they are delivered in order: which thread read a batch makes no difference to it. After start() what belongs to an
// earlier walk is thrown away.
struct Loader::Implementation {
  Implementation(DatasetRef data, LoaderOptions chosen) : dataset(std::move(data)), options(std::move(chosen)) {
    need(options.batch_size >= 1, "a batch size of {}, wanted at least 1", options.batch_size);
    ensure(options.part >= 0 && options.part < options.parts, "part {} of {}", options.part, options.parts);
    if (dataset->bound_to_thread()) options.prefetch = 0;
    if (options.prefetch <= 0) return;
    const std::int64_t workers = std::clamp<std::int64_t>(options.workers > 0 ? options.workers : dataset->workers(), 1, std::max<std::int64_t>(batches(), 1));
    ahead = options.prefetch + workers - 1;
    for (std::int64_t i = 0; i < workers; ++i) readers.emplace_back([this] { read_ahead(); });
  }
  ~Implementation() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    changed.notify_all();
    for (std::thread& reader : readers) reader.join();
  }

  std::int64_t batches() const {
    const std::int64_t size = dataset->size(), batch = whole_batch();
    return options.drop_remainder ? size / batch : (size + batch - 1) / batch;
  }

  std::int64_t whole_batch() const { return options.batch_size * options.parts; }

  // The samples of a batch that are this part's, as places in the order of the epoch.
  struct Places {
    std::int64_t begin, end, whole_begin, whole_end;
  };
  Places places_of(std::int64_t index) const {
    const std::int64_t begin = index * whole_batch(), end = std::min(begin + whole_batch(), dataset->size()), count = end - begin;
    return {begin + count * options.part / options.parts, begin + count * (options.part + 1) / options.parts, begin, end};
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
    batch.step = (of_epoch * batches() + index) * options.parts + options.part;
    Places places = places_of(index);
    if (places.begin == places.end) places.begin = places.whole_begin, places.end = places.begin + 1;
    dataset->read(std::span(from).subspan(static_cast<std::size_t>(places.begin), static_cast<std::size_t>(places.end - places.begin)), batch);
    if (options.prepare) options.prepare(batch);
  }

  void read_ahead() {
    const LoneThread beside_the_step;
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return stopping || (walk && following < batches() && following < delivered + ahead); });
      if (stopping) return;
      const std::shared_ptr<Walk> walking = walk;
      const std::int64_t index = following++;
      Slot slot;
      if (!free.empty()) slot.batch = std::move(free.back()), free.pop_back();
      lock.unlock();
      try {
        std::call_once(walking->ordered, [&] { walking->order = order_of(walking->epoch); });
        read(walking->order, walking->epoch, index, slot.batch);
      } catch (...) {
        slot.failure = std::current_exception();
      }
      lock.lock();
      if (walking == walk) ready[index] = std::move(slot);
      else free.push_back(std::move(slot.batch));
      changed.notify_all();
    }
  }

  DatasetRef dataset;
  LoaderOptions options;
  std::int64_t ahead = 0;  // as many batches may be read or being read before the one that is delivered next

  std::vector<std::thread> readers;
  std::mutex mutex;
  std::condition_variable changed;
  // guarded by mutex where there are reader threads
  std::map<std::int64_t, Slot> ready;
  std::vector<Batch> free;
  std::shared_ptr<Walk> walk;
  std::int64_t following = 0;  // the next batch to read
  std::int64_t delivered = 0;
  bool stopping = false;
  // the caller's alone
  Batch current;
  std::int64_t given = 0;  // its number
};

Loader::Loader(DatasetRef dataset, LoaderOptions options)
    : implementation_(std::make_unique<Implementation>(std::move(dataset), std::move(options))) {}
Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;

std::int64_t Loader::batches() const { return implementation_->batches(); }

void Loader::start(std::int64_t epoch, std::int64_t first_batch) {
  Implementation& self = *implementation_;
  {
    const std::lock_guard lock(self.mutex);
    self.walk = std::make_shared<Walk>(epoch);
    self.delivered = self.following = first_batch;
    for (auto& [index, slot] : self.ready) self.free.push_back(std::move(slot.batch));
    self.ready.clear();
  }
  if (self.options.prefetch <= 0) self.walk->order = self.order_of(epoch);
  self.changed.notify_all();
}

const Batch* Loader::next() {
  Implementation& self = *implementation_;
  ensure(self.walk != nullptr, "a loader was read before start()");
  if (self.delivered >= self.batches()) return nullptr;
  self.given = self.delivered;
  if (self.options.prefetch <= 0) {
    self.read(self.walk->order, self.walk->epoch, self.delivered++, self.current);
    return &self.current;
  }
  std::unique_lock lock(self.mutex);
  const auto wanted = [&] { return self.ready.find(self.delivered); };
  self.changed.wait(lock, [&] { return wanted() != self.ready.end(); });
  if (wanted()->second.failure) std::rethrow_exception(wanted()->second.failure);
  auto slot = self.ready.extract(wanted());
  self.free.push_back(std::exchange(self.current, std::move(slot.mapped().batch)));
  ++self.delivered;
  lock.unlock();
  self.changed.notify_all();
  return &self.current;
}

Loader::Counts Loader::counts() const {
  const auto places = implementation_->places_of(implementation_->given);
  return {places.end - places.begin, places.whole_end - places.whole_begin};
}

}  // namespace nacre
