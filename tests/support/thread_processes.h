// Processes that train together, as threads of one: their collective without MPI.
#pragma once

#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "backend/exchange_queue.h"
#include "backend/graph/ops/all_reduce.h"

namespace nacre::test {

class ThreadProcesses {
 public:
  explicit ThreadProcesses(int size) : hub_(std::make_shared<Hub>(size)) {}

  // work(rank, collective) in a thread for each. When one throws, the others' next call of their collective does too;
  // in the end the first error is thrown.
  void run(const std::function<void(int, const CollectiveRef&)>& work) {
    std::vector<std::thread> threads;
    std::exception_ptr failure;
    for (int rank = 0; rank < hub_->size; ++rank)
      threads.emplace_back([&, rank] {
        try {
          work(rank, std::make_shared<Member>(hub_, rank));
        } catch (...) {
          const std::lock_guard lock(hub_->mutex);
          if (!std::exchange(hub_->broken, true)) failure = std::current_exception();
          hub_->changed.notify_all();
        }
      });
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
  }

  // Exchanges of numbers so far, by how many there were in each; those of every process were the same.
  const std::vector<std::size_t>& exchanges() const { return hub_->exchanges; }

 private:
  struct Hub {
    explicit Hub(int count)
        : size(count), memory(static_cast<std::size_t>(count)), counts(static_cast<std::size_t>(count)) {}
    const int size;
    std::mutex mutex;
    std::condition_variable changed;
    int come = 0;
    std::int64_t meetings = 0;
    bool broken = false;
    std::vector<void*> memory;
    std::vector<std::size_t> counts;
    std::vector<std::size_t> exchanges;
  };

  class Member final : public Collective {
   public:
    Member(std::shared_ptr<Hub> hub, int rank)
        : hub_(std::move(hub)),
          rank_(rank),
          queue_([this](const ExchangeQueue::Work& work,
                        const ExchangeQueue::Progress&) { all_reduce(work.numbers, work.count, work.kind, work.how); },
                 true) {}
    int rank() const override { return rank_; }
    int size() const override { return hub_->size; }
    Collective& machine() override { return *this; }
    void all_reduce(void* numbers, std::size_t count, Number kind, Combine how) override {
      meet(numbers, count, [&] {
        hub_->exchanges.push_back(count);
        switch (kind) {
          case Number::float32: return combine<float>(count, how);
          case Number::float64: return combine<double>(count, how);
          case Number::int64: return combine<std::int64_t>(count, how);
        }
      });
    }
    std::unique_ptr<Exchange> exchange(std::size_t count, Number kind, Combine how) override {
      return queue_.exchange(count, kind, how);
    }
    void broadcast(void* bytes, std::size_t count, int from) override {
      meet(bytes, count, [&] {
        for (void* memory : hub_->memory)
          if (memory != hub_->memory[static_cast<std::size_t>(from)])
            std::memcpy(memory, hub_->memory[static_cast<std::size_t>(from)], count);
      });
    }

   private:
    template <class T>
    void combine(std::size_t count, Combine how) {
      for (std::size_t i = 0; i < count; ++i) {
        T result = static_cast<T*>(hub_->memory[0])[i];
        for (std::size_t k = 1; k < hub_->memory.size(); ++k) {
          const T other = static_cast<T*>(hub_->memory[k])[i];
          result = how == Combine::sum ? result + other : std::max(result, other);
        }
        for (void* memory : hub_->memory) static_cast<T*>(memory)[i] = result;
      }
    }

    // The last one to come does the work of all.
    void meet(void* memory, std::size_t count, const std::function<void()>& work) {
      std::unique_lock lock(hub_->mutex);
      if (hub_->broken) throw std::runtime_error("a process is gone");
      hub_->memory[static_cast<std::size_t>(rank_)] = memory;
      hub_->counts[static_cast<std::size_t>(rank_)] = count;
      const std::int64_t meeting = hub_->meetings;
      if (++hub_->come == hub_->size) {
        for (const std::size_t other : hub_->counts)
          if (other != count) throw std::logic_error("processes came to different exchanges");
        work();
        hub_->come = 0;
        ++hub_->meetings;
        hub_->changed.notify_all();
        return;
      }
      hub_->changed.wait(lock, [&] { return hub_->broken || hub_->meetings != meeting; });
      if (hub_->meetings == meeting) throw std::runtime_error("a process is gone");
    }

    std::shared_ptr<Hub> hub_;
    int rank_;
    ExchangeQueue queue_;
  };

  std::shared_ptr<Hub> hub_;
};

}  // namespace nacre::test
