// Sockets of the processes of a group: bytes there and back, with time limits. Failures throw std::runtime_error.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace nacre {

// Closes itself. Used by one thread at a time.
class Socket {
 public:
  using Clock = std::chrono::steady_clock;
  using GivenUp = const std::atomic<bool>*;  // null, or what ends waiting when it becomes true

  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  bool open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }  // the caller closes it
  void close();

 protected:
  int descriptor_ = -1;
};

class Connection : public Socket {
 public:
  Connection() = default;
  explicit Connection(int descriptor);

  // All of them. A peer that is gone, or whose machine is, is an error; one that is slow is not, without an end.
  void write(const void* bytes, std::size_t count, GivenUp given_up = nullptr);
  void read(void* bytes, std::size_t count, std::optional<Clock::time_point> end = {}, GivenUp given_up = nullptr);
  // What is there, without waiting. Closes itself when the peer has.
  std::size_t read_some(void* bytes, std::size_t most);

 private:
  void wait_until(short events, std::optional<Clock::time_point> end, GivenUp given_up) const;
};

class Listener : public Socket {
 public:
  Listener(const std::string& address, int port);  // "": any of this machine's; 0: a port that is free
  int port() const;
  std::string text() const;                  // "port 29500"
  std::optional<Connection> accept() const;  // without waiting
};

void wait_for_any(const Listener& listener, std::span<const Connection* const> connections,
                  Socket::Clock::time_point end);

// Tries again until somebody listens there.
Connection connect_to(const std::string& address, int port, Socket::Clock::time_point end);

std::string network_namespace();  // of this process: the same for processes that share a loopback

}  // namespace nacre
