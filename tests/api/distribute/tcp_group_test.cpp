// Groups that meet at an address: what they exchange, and what strangers and absent members do to them.
#include "api/distribute/tcp_group.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

#include "api/distribute/connection.h"

namespace nacre::test {
namespace {

using namespace std::chrono_literals;
using Number = Collective::Number;
using Combine = Collective::Combine;

// A port that was free just now.
int free_port() { return Listener("127.0.0.1", 0).port(); }

// In a thread for each process; what the first of them throws in the end.
std::string together(int size, const std::function<void(Collective&)>& work, std::chrono::milliseconds patience = 20s,
                     const std::function<void(int)>& before = {}) {
  const int port = free_port();
  std::vector<std::string> failures(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      try {
        if (before && rank > 0) before(port);
        work(*join_tcp_group({"127.0.0.1", port, rank, size, patience}));
      } catch (const std::exception& error) {
        failures[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& failure : failures)
    if (!failure.empty()) return failure;
  return "";
}

std::string failure_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(TcpGroupThreads, EverybodyGetsTheSameSums) {
  constexpr std::size_t count = 300001;  // several pieces
  std::vector<std::vector<float>> sums(3);
  EXPECT_EQ(together(3,
                     [&](Collective& group) {
                       EXPECT_EQ(group.size(), 3);
                       const auto rank = static_cast<std::size_t>(group.rank());
                       std::vector<float>& mine = sums[rank];
                       for (std::size_t i = 0; i < count; ++i)
                         mine.push_back(static_cast<float>(i % 7) * (rank == 0 ? 1.0f : rank == 1 ? 1e-4f : 1e4f));
                       group.all_reduce(mine.data(), count, Number::float32, Combine::sum);
                       double wide[2] = {static_cast<double>(rank), -static_cast<double>(rank)};
                       group.all_reduce(wide, 2, Number::float64, Combine::max);
                       EXPECT_EQ(wide[0], 2);
                       EXPECT_EQ(wide[1], 0);
                       std::int64_t whole = std::int64_t{1} << (20 * rank);
                       group.all_reduce(&whole, 1, Number::int64, Combine::sum);
                       EXPECT_EQ(whole, 1 + (std::int64_t{1} << 20) + (std::int64_t{1} << 40));
                     }),
            "");
  for (std::size_t i = 0; i < count; ++i) {
    const auto x = static_cast<float>(i % 7);
    ASSERT_EQ(sums[0][i], x + x * 1e-4f + x * 1e4f) << i;
  }
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(sums[0], sums[2]);
}

TEST(TcpGroupThreads, EverybodyGetsTheBytesOfOne) {
  EXPECT_EQ(together(3,
                     [](Collective& group) {
                       for (int from = 0; from < 3; ++from) {
                         std::vector<char> bytes(1000, static_cast<char>(group.rank()));
                         group.broadcast(bytes.data(), bytes.size(), from);
                         EXPECT_EQ(bytes, std::vector<char>(1000, static_cast<char>(from)));
                       }
                     }),
            "");
}

TEST(TcpGroupThreads, ExchangesGoOnBesideOtherWork) {
  EXPECT_EQ(together(2,
                     [](Collective& group) {
                       std::vector<float> large(100000, 1), small(3, 2);
                       const auto first = group.exchange(large.size(), Number::float32, Combine::sum);
                       const auto second = group.exchange(small.size(), Number::float32, Combine::sum);
                       for (int run = 0; run < 3; ++run) {
                         std::ranges::fill(large, 1.0f), std::ranges::fill(small, 2.0f);
                         first->start(large.data());
                         second->start(small.data());
                         (group.rank() == 0 ? first : second)->wait();
                         (group.rank() == 0 ? second : first)->wait();
                         EXPECT_EQ(std::accumulate(large.begin(), large.end(), 0.0), 200000);
                         EXPECT_EQ(small, std::vector<float>(3, 4));
                       }
                     }),
            "");
}

// Here all run on one machine.
TEST(TcpGroupThreads, KnowsWhoRunsOnTheSameMachine) {
  EXPECT_EQ(together(3,
                     [](Collective& group) {
                       EXPECT_EQ(group.machine().size(), 3);
                       EXPECT_EQ(group.machine().rank(), group.rank());
                       std::int64_t one = 1;
                       group.machine().all_reduce(&one, 1, Number::int64, Combine::sum);
                       EXPECT_EQ(one, 3);
                     }),
            "");
}

TEST(TcpGroupThreads, ComingToAnotherExchangeIsToldOf) {
  const std::string failure = together(2, [](Collective& group) {
    double numbers[2] = {};
    group.all_reduce(numbers, group.rank() == 0 ? 1 : 2, Number::float64, Combine::sum);
  });
  EXPECT_EQ(failure, "the processes came to different exchanges");
}

TEST(TcpGroupThreads, OneThatIsGoneIsToldOf) {
  const std::string failure = together(2, [](Collective& group) {
    if (group.rank() == 1) return;
    std::vector<float> numbers(100000);
    const auto exchange = group.exchange(numbers.size(), Number::float32, Combine::sum);
    exchange->start(numbers.data());
    exchange->wait();
  });
  EXPECT_TRUE(failure.starts_with("a process is gone: ")) << failure;
}

// What is under way ends with its owner, whether or not the others come to it.
TEST(TcpGroupThreads, AnExchangeIsGivenUp) {
  EXPECT_EQ(together(2,
                     [](Collective& group) {
                       std::vector<float> numbers(100000);
                       if (group.rank() == 0) {
                         const auto exchange = group.exchange(numbers.size(), Number::float32, Combine::sum);
                         exchange->start(numbers.data());
                       } else {
                         std::this_thread::sleep_for(300ms);
                       }
                     }),
            "");
}

TEST(TcpGroup, WhoeverIsMissingIsNamed) {
  const int port = free_port();
  EXPECT_EQ(failure_of([&] {
              join_tcp_group({"127.0.0.1", port, 0, 3, 200ms});
            }),
            "process 1, 2 did not come to port " + std::to_string(port) + " of this machine");
  const std::string nobody = failure_of([&] { join_tcp_group({"127.0.0.1", port, 1, 2, 200ms}); });
  EXPECT_EQ(nobody, "nobody answers at 127.0.0.1:" + std::to_string(port) + " (Connection refused)");
  const std::string nowhere = failure_of([&] { join_tcp_group({"no.such.host.invalid", port, 1, 2, 200ms}); });
  EXPECT_TRUE(nowhere.starts_with("nobody answers at no.such.host.invalid:")) << nowhere;
  const Listener taken("127.0.0.1", 0);
  const std::string busy = failure_of([&] { join_tcp_group({"", taken.port(), 0, 2, 200ms}); });
  EXPECT_EQ(busy,
            "port " + std::to_string(taken.port()) + " of this machine cannot be listened at: Address already in use");
}

// A server of something else.
TEST(TcpGroupThreads, SomebodyElsesAnswerIsNotTaken) {
  const Listener other("127.0.0.1", 0);
  std::thread server([&] {
    std::optional<Connection> guest;
    while (!(guest = other.accept())) std::this_thread::sleep_for(5ms);
    const std::string words(64, 'x');
    guest->write(words.data(), words.size());
    std::this_thread::sleep_for(200ms);
  });
  EXPECT_EQ(failure_of([&] {
              join_tcp_group({"127.0.0.1", other.port(), 1, 2, 5s});
            }),
            "somebody else answers at 127.0.0.1:" + std::to_string(other.port()));
  server.join();
}

// Those who say nothing, half of it, or something else, keep nobody waiting.
TEST(TcpGroupThreads, StrangersAreSentAway) {
  std::vector<Connection> strangers;
  const auto come_first = [&](int port) {
    const auto end = Socket::Clock::now() + 5s;
    for (const std::string& said :
         {std::string(), std::string("nacretcp"), std::string(24, 'x'), std::string(5000, '\0')}) {
      strangers.push_back(connect_to("127.0.0.1", port, end));
      strangers.back().write(said.data(), said.size());
    }
  };
  EXPECT_EQ(together(
                2,
                [](Collective& group) {
                  std::int64_t one = 1;
                  group.all_reduce(&one, 1, Number::int64, Combine::sum);
                  EXPECT_EQ(one, 2);
                },
                20s, come_first),
            "");
}

// A rank that has come already, or one of a group of another size.
TEST(TcpGroupThreads, WhoDoesNotBelongIsSentAway) {
  const int port = free_port();
  std::string first;
  std::thread group([&] { first = failure_of([&] { join_tcp_group({"127.0.0.1", port, 0, 3, 1500ms}); }); });
  std::thread known([&] { failure_of([&] { join_tcp_group({"127.0.0.1", port, 1, 3, 1500ms}); }); });
  std::this_thread::sleep_for(500ms);
  for (const auto& [rank, size] : {std::pair{1, 3}, {1, 2}, {1, 4}})
    EXPECT_EQ(failure_of([&] {
                join_tcp_group({"127.0.0.1", port, rank, size, 500ms});
              }),
              "this process was sent away at 127.0.0.1:" + std::to_string(port));
  known.join();
  group.join();
  EXPECT_EQ(first, "process 2 did not come to port " + std::to_string(port) + " of this machine");
}

}  // namespace
}  // namespace nacre::test
