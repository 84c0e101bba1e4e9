// Exchanges under way, on a thread of their own.
#include "backend/exchange_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace nacre::test {
namespace {

using Number = Collective::Number;
using Combine = Collective::Combine;

constexpr std::size_t many = 100000, few = 10;

TEST(ExchangeQueueThread, DoesThemInOrderWhileTheCallerGoesOn) {
  std::vector<std::pair<void*, std::thread::id>> done;
  std::atomic<bool> has_begun = false, may_go_on = false;
  ExchangeQueue queue(
      [&](const ExchangeQueue::Work& work, const ExchangeQueue::Progress&) {
        has_begun = true;
        while (!may_go_on) std::this_thread::yield();
        done.emplace_back(work.numbers, std::this_thread::get_id());
      },
      true);
  const auto first = queue.exchange(many, Number::float32, Combine::sum);
  const auto second = queue.exchange(few, Number::float32, Combine::sum);
  float a = 0, b = 0;
  for (int run = 0; run < 3; ++run) {
    done.clear();
    has_begun = may_go_on = false;
    first->start(&a);  // nobody would get further if it were done here
    second->start(&b);
    while (!has_begun) std::this_thread::yield();
    may_go_on = true;
    second->wait();
    first->wait();
    ASSERT_EQ(done.size(), 2u);
    EXPECT_EQ(done[0].first, &a);
    EXPECT_NE(done[0].second, std::this_thread::get_id());
    EXPECT_EQ(done[1].first, &b);
  }
}

TEST(ExchangeQueueThread, FewNumbersAreDoneByWhoeverWaits) {
  std::vector<std::thread::id> done;
  const auto perform = [&](const ExchangeQueue::Work&, const ExchangeQueue::Progress& progress) {
    EXPECT_TRUE(progress.waited_for);
    done.push_back(std::this_thread::get_id());
  };
  float a = 0;
  ExchangeQueue queue(perform, true), alone(perform, false);
  const auto small = queue.exchange(few, Number::float64, Combine::sum);
  small->start(&a);
  small->wait();
  const auto large = alone.exchange(many, Number::float64, Combine::sum);
  large->start(&a);
  large->wait();
  EXPECT_EQ(done, std::vector<std::thread::id>(2, std::this_thread::get_id()));
}

TEST(ExchangeQueueThread, AFailureIsToldToWhoeverWaits) {
  int calls = 0;
  ExchangeQueue queue(
      [&](const ExchangeQueue::Work&, const ExchangeQueue::Progress&) {
        if (++calls == 1) throw std::runtime_error("lost");
      },
      true);
  const auto one = queue.exchange(many, Number::float32, Combine::sum);
  float a = 0;
  one->start(&a);
  EXPECT_THROW(one->wait(), std::runtime_error);
  one->start(&a);
  EXPECT_NO_THROW(one->wait());
  EXPECT_THROW(one->wait(), std::logic_error);
}

// The numbers' memory may go when the exchange has gone.
TEST(ExchangeQueueThread, WhatIsUnderWayIsGivenUp) {
  std::atomic<int> inside = 0;
  ExchangeQueue queue(
      [&](const ExchangeQueue::Work&, const ExchangeQueue::Progress& progress) {
        ++inside;
        while (!progress.given_up) std::this_thread::yield();
        --inside;
        throw std::runtime_error("given up");
      },
      true);
  auto one = queue.exchange(many, Number::float32, Combine::sum),
       other = queue.exchange(few, Number::float32, Combine::sum);
  float a = 0;
  one->start(&a);
  while (inside == 0) std::this_thread::yield();
  one.reset();
  EXPECT_EQ(inside, 0);
  EXPECT_THROW(other->start(&a), std::runtime_error);
}

}  // namespace
}  // namespace nacre::test
