#include "api/distribute/tcp_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <vector>

#include "api/distribute/connection.h"
#include "backend/exchange_queue.h"

namespace nacre {

namespace {

using Clock = std::chrono::steady_clock;

// What a process says first, and the first one answers.
struct Greeting {
  char magic[8] = {'n', 'a', 'c', 'r', 'e', 't', 'c', 'p'};
  std::uint32_t interface = collective_interface, group = 0, size = 0, rank = 0;
  bool belongs_to(const Greeting& own) const {
    return std::memcmp(magic, own.magic, sizeof magic) == 0 && interface == own.interface && group == own.group &&
           size == own.size && rank > 0 && rank < size;
  }
};

// Of the connections of a star: in the middle those of all others, by rank; else the one to the middle.
using Links = std::vector<Connection>;

std::string missing_ranks(const Links& links) {
  std::string text;
  for (std::size_t rank = 1; rank < links.size(); ++rank)
    if (!links[rank].open()) text += fmt::format("{}{}", text.empty() ? "" : ", ", rank);
  return text;
}

// Those who have connected and not spoken yet; strangers among them get little time.
struct Guest {
  Connection connection;
  Greeting said;
  std::size_t received = 0;
  Clock::time_point until;
};

Links welcome(const Listener& listener, const Greeting& own, Clock::time_point end) {
  constexpr std::size_t most_guests = 256;
  constexpr auto time_to_speak = std::chrono::seconds(10);
  Links links(own.size);
  std::vector<Guest> guests;
  std::size_t come = 1;
  while (come < own.size) {
    if (Clock::now() > end)
      throw std::runtime_error(fmt::format("process {} did not come to {}", missing_ranks(links), listener.text()));
    std::vector<const Connection*> connections;
    for (const Guest& guest : guests) connections.push_back(&guest.connection);
    wait_for_any(listener, connections, std::min(end, Clock::now() + std::chrono::milliseconds(100)));
    if (auto connection = listener.accept(); connection && guests.size() < most_guests)
      guests.push_back({std::move(*connection), {}, 0, Clock::now() + time_to_speak});
    for (Guest& guest : guests) {
      guest.received += guest.connection.read_some(reinterpret_cast<std::byte*>(&guest.said) + guest.received,
                                                   sizeof guest.said - guest.received);
      if (guest.received < sizeof guest.said) continue;
      if (!guest.said.belongs_to(own) || links[guest.said.rank].open()) {
        guest.connection.close();
        continue;
      }
      links[guest.said.rank] = std::move(guest.connection);
      ++come;
    }
    std::erase_if(guests, [](const Guest& guest) { return !guest.connection.open() || Clock::now() > guest.until; });
  }
  for (std::size_t rank = 1; rank < links.size(); ++rank) links[rank].write(&own, sizeof own);
  return links;
}

Links call(const std::string& address, int port, const Greeting& own, Clock::time_point end) {
  Links links;
  links.push_back(connect_to(address, port, end));
  links.front().write(&own, sizeof own);
  Greeting answer, wanted = own;
  wanted.rank = 0;
  const auto nobody = [&](const char* what) {
    return std::runtime_error(fmt::format("{} at {}:{}", what, address, port));
  };
  try {
    links.front().read(&answer, sizeof answer, end);
  } catch (const std::runtime_error&) {
    throw nobody(Clock::now() > end ? "the processes did not all come in time" : "this process was sent away");
  }
  if (std::memcmp(&answer, &wanted, sizeof answer) != 0) throw nobody("somebody else answers");
  return links;
}

// A star of connections. The middle combines what all have in the order of their ranks, so everybody gets the same
// bits.
class Star : public Collective {
 public:
  Star(int rank, int size, Links links)
      : rank_(rank),
        size_(size),
        links_(std::move(links)),
        queue_([this](const ExchangeQueue::Work& work,
                      const ExchangeQueue::Progress& progress) { combine(work, &progress.given_up); },
               true) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Collective& machine() override { return *this; }
  void all_reduce(void* numbers, std::size_t count, Number kind, Combine how) override {
    combine({numbers, count, kind, how}, nullptr);
  }
  std::unique_ptr<Exchange> exchange(std::size_t count, Number kind, Combine how) override {
    return queue_.exchange(count, kind, how);
  }
  void broadcast(void* bytes, std::size_t count, int from) override {
    announce(count, 'b');
    if (rank_ != 0 && rank_ == from) middle().write(bytes, count);
    if (rank_ == 0 && from != 0) links_[static_cast<std::size_t>(from)].read(bytes, count);
    if (rank_ == 0) {
      for (int rank = 1; rank < size_; ++rank)
        if (rank != from) links_[static_cast<std::size_t>(rank)].write(bytes, count);
    } else if (rank_ != from) {
      middle().read(bytes, count);
    }
  }

 private:
  static constexpr std::size_t piece = 256 << 10;  // bytes that are combined at a time

  Connection& middle() { return links_.front(); }

  // All come to the same call, or learn that they do not.
  void announce(std::size_t count, char what, const std::atomic<bool>* given_up = nullptr) {
    const std::uint64_t own = static_cast<std::uint64_t>(count) << 8 | static_cast<unsigned char>(what);
    const auto compare = [&](Connection& link) {
      std::uint64_t other = 0;
      link.read(&other, sizeof other, {}, given_up);
      if (other != own) throw std::runtime_error("the processes came to different exchanges");
    };
    if (rank_ > 0) {
      middle().write(&own, sizeof own, given_up);
      compare(middle());
      return;
    }
    for (int rank = 1; rank < size_; ++rank) compare(links_[static_cast<std::size_t>(rank)]);
    for (int rank = 1; rank < size_; ++rank) links_[static_cast<std::size_t>(rank)].write(&own, sizeof own, given_up);
  }

  template <class T>
  static void combine(T* mine, const T* theirs, std::size_t count, Combine how) {
    if (how == Combine::sum)
      for (std::size_t i = 0; i < count; ++i) mine[i] += theirs[i];
    else
      for (std::size_t i = 0; i < count; ++i) mine[i] = std::max(mine[i], theirs[i]);
  }

  void combine(const ExchangeQueue::Work& work, const std::atomic<bool>* given_up) {
    announce(work.count, static_cast<char>('0' + 2 * static_cast<int>(work.kind) + static_cast<int>(work.how)),
             given_up);
    const std::size_t size = size_of(work.kind), bytes = work.bytes();
    theirs_.resize(std::min(piece, bytes) / sizeof(double) + 1);
    for (std::size_t begin = 0; begin < bytes; begin += piece) {
      std::byte* const mine = static_cast<std::byte*>(work.numbers) + begin;
      const std::size_t length = std::min(piece, bytes - begin), count = length / size;
      if (rank_ > 0) {
        middle().write(mine, length, given_up);
        middle().read(mine, length, {}, given_up);
        continue;
      }
      for (int rank = 1; rank < size_; ++rank) {
        links_[static_cast<std::size_t>(rank)].read(theirs_.data(), length, {}, given_up);
        switch (work.kind) {
          case Number::float32:
            combine(reinterpret_cast<float*>(mine), reinterpret_cast<const float*>(theirs_.data()), count, work.how);
            break;
          case Number::float64: combine(reinterpret_cast<double*>(mine), theirs_.data(), count, work.how); break;
          case Number::int64:
            combine(reinterpret_cast<std::int64_t*>(mine), reinterpret_cast<const std::int64_t*>(theirs_.data()), count,
                    work.how);
            break;
        }
      }
      for (int rank = 1; rank < size_; ++rank) links_[static_cast<std::size_t>(rank)].write(mine, length, given_up);
    }
  }

  int rank_, size_;
  Links links_;
  std::vector<double> theirs_;
  ExchangeQueue queue_;
};

// The same for processes that can reach each other by the loopback of one machine, or of one container on it.
std::uint64_t machine_identity() {
  std::string text;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), text);
  text += network_namespace();
  std::uint64_t hash = 0xcbf29ce484222325ull;  // Fowler, Noll and Vo's FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

class World final : public Star {
 public:
  World(const Rendezvous& rendezvous, Links links, Clock::time_point end)
      : Star(rendezvous.rank, rendezvous.size, std::move(links)) {
    // Everybody gets everybody's number.
    const auto everybody = [&](std::uint64_t own) {
      std::vector<std::uint64_t> all(static_cast<std::size_t>(size()));
      for (int from = 0; from < size(); ++from) {
        std::uint64_t& number = all[static_cast<std::size_t>(from)];
        if (from == rank()) number = own;
        broadcast(&number, sizeof number, from);
      }
      return all;
    };
    const std::vector<std::uint64_t> machines = everybody(machine_identity());
    const std::uint64_t own = machines[static_cast<std::size_t>(rank())];
    const int local_rank = static_cast<int>(std::count(machines.begin(), machines.begin() + rank(), own));
    const int local_size = static_cast<int>(std::ranges::count(machines, own));
    std::optional<Listener> listener;
    if (local_rank == 0 && local_size > 1) listener.emplace("127.0.0.1", 0);
    const std::vector<std::uint64_t> ports = everybody(listener ? static_cast<std::uint64_t>(listener->port()) : 0);
    const auto first = static_cast<std::size_t>(std::ranges::find(machines, own) - machines.begin());
    Greeting greeting;
    greeting.group = 1 + static_cast<std::uint32_t>(first);
    greeting.size = static_cast<std::uint32_t>(local_size), greeting.rank = static_cast<std::uint32_t>(local_rank);
    Links local;
    if (listener) local = welcome(*listener, greeting, end);
    else if (local_size > 1) local = call("127.0.0.1", static_cast<int>(ports[first]), greeting, end);
    machine_ = std::make_unique<Star>(local_rank, local_size, std::move(local));
  }
  Collective& machine() override { return *machine_; }

 private:
  std::unique_ptr<Star> machine_;
};

}  // namespace

std::shared_ptr<Collective> join_tcp_group(const Rendezvous& rendezvous) {
  const Clock::time_point end = Clock::now() + rendezvous.patience;
  Greeting own;
  own.size = static_cast<std::uint32_t>(rendezvous.size), own.rank = static_cast<std::uint32_t>(rendezvous.rank);
  Links links = rendezvous.rank > 0 ? call(rendezvous.address, rendezvous.port, own, end)
                                    : welcome(Listener("", rendezvous.port), own, end);
  return std::make_shared<World>(rendezvous, std::move(links), end);
}

}  // namespace nacre
