// Exchanges that are under way on a host: done one after the other, in the order in which they were started, by a
// thread of their own while the caller computes, or by the caller when it waits for one. Used by modules too, so it
// needs nothing else of nacre.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "backend/collective.h"

namespace nacre {

// One for a group, with the group's threading: started and waited for by one thread at a time.
class ExchangeQueue {
 public:
  struct Work {
    void* numbers = nullptr;
    std::size_t count = 0;
    Collective::Number kind{};
    Collective::Combine how{};
    std::size_t bytes() const { return count * size_of(kind); }
  };
  struct Progress {
    std::atomic<bool> waited_for = false;  // somebody does nothing until this is done
    std::atomic<bool> given_up = false;    // whoever does it returns soon
  };
  // Does one; what it throws is thrown by wait().
  using Perform = std::function<void(const Work&, const Progress&)>;

  // Without a thread of its own, everything is done when it is waited for.
  ExchangeQueue(Perform perform, bool own_thread) : perform_(std::move(perform)), own_thread_(own_thread) {}
  ~ExchangeQueue() {
    give_up();
    if (thread_.joinable()) thread_.join();
  }
  ExchangeQueue(const ExchangeQueue&) = delete;
  ExchangeQueue& operator=(const ExchangeQueue&) = delete;

  std::unique_ptr<Collective::Exchange> exchange(std::size_t count, Collective::Number kind, Collective::Combine how) {
    return std::make_unique<Queued>(*this, Work{nullptr, count, kind, how});
  }

 private:
  // Waking a thread up costs more than exchanging less than this.
  static constexpr std::size_t worth_the_thread = 64 << 10;  // bytes

  class Queued final : public Collective::Exchange {
   public:
    Queued(ExchangeQueue& queue, const Work& work) : work_(work), queue_(queue) {}
    ~Queued() override {
      if (under_way_) queue_.give_up();
    }
    void start(void* numbers) override {
      if (under_way_) throw std::logic_error("an exchange that is under way is started");
      work_.numbers = numbers;
      queue_.add(*this);
    }
    void wait() override {
      if (!under_way_) throw std::logic_error("an exchange that was not started is waited for");
      queue_.wait(*this);
    }

   private:
    friend class ExchangeQueue;
    Work work_;
    ExchangeQueue& queue_;
    Queued* next_ = nullptr;
    bool under_way_ = false, done_ = false;
    std::exception_ptr failure_;
  };

  void add(Queued& one) {
    const std::lock_guard lock(mutex_);
    if (progress_.given_up) throw std::runtime_error("exchanges were given up");
    one.under_way_ = true, one.done_ = false, one.failure_ = nullptr, one.next_ = nullptr;
    (last_ ? last_->next_ : first_) = &one;
    last_ = &one;
    if (!own_thread_ || one.work_.bytes() < worth_the_thread) return;
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
    awake_ = true;
    changed_.notify_all();
  }

  void wait(Queued& one) {
    std::unique_lock lock(mutex_);
    progress_.waited_for = true;
    while (!one.done_ && !progress_.given_up) {
      if (busy_) changed_.wait(lock);
      else perform_first(lock);
    }
    progress_.waited_for = false;
    one.under_way_ = false;
    if (one.failure_) std::rethrow_exception(one.failure_);
    if (!one.done_) throw std::runtime_error("exchanges were given up");
  }

  void perform_first(std::unique_lock<std::mutex>& lock) {
    Queued& one = *first_;
    busy_ = true;
    lock.unlock();
    try {
      perform_(one.work_, progress_);
    } catch (...) {
      one.failure_ = std::current_exception();
    }
    lock.lock();
    busy_ = false;
    one.done_ = true;
    first_ = one.next_;
    if (!first_) last_ = nullptr;
    changed_.notify_all();
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (!progress_.given_up) {
      if (!first_) awake_ = false;
      if (awake_ && !busy_) perform_first(lock);
      else changed_.wait(lock);
    }
  }

  // Nobody touches the numbers of an exchange any more when this returns.
  void give_up() {
    std::unique_lock lock(mutex_);
    progress_.given_up = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !busy_; });
  }

  Perform perform_;
  const bool own_thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Progress progress_;
  Queued *first_ = nullptr, *last_ = nullptr;  // those that are not done
  bool busy_ = false;                          // somebody does the first
  bool awake_ = false;                         // the thread goes on until there are none left
  std::thread thread_;
};

}  // namespace nacre
