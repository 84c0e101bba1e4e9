#include "api/distribute/connection.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <thread>

namespace nacre {

namespace {

using namespace std::chrono_literals;

std::runtime_error gone(std::string_view reason) {
  return std::runtime_error(fmt::format("a process is gone: {}", reason));
}

void set(int socket, int level, int name, int value) { ::setsockopt(socket, level, name, &value, sizeof value); }

int milliseconds_until(Socket::Clock::time_point end, std::chrono::milliseconds most) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Socket::Clock::now());
  return static_cast<int>(std::clamp(left, 0ms, most).count());
}

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;
Addresses addresses_of(const std::string& host, int port, int flags, std::string& reason) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM, wanted.ai_flags = flags | AI_NUMERICSERV;
  const int status =
      ::getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &wanted, &found);
  if (status != 0) reason = ::gai_strerror(status), found = nullptr;
  return {found, &::freeaddrinfo};
}

int new_socket(const addrinfo& address) {
  return ::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
}

}  // namespace

void Socket::close() {
  if (descriptor_ >= 0) ::close(release());
}

Connection::Connection(int descriptor) : Socket(descriptor) {
  set(descriptor_, IPPROTO_TCP, TCP_NODELAY, 1);
  // A machine that no longer answers is noticed within two minutes.
  set(descriptor_, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(descriptor_, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(descriptor_, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(descriptor_, IPPROTO_TCP, TCP_KEEPCNT, 6);
  set(descriptor_, IPPROTO_TCP, TCP_USER_TIMEOUT, 120000);
}

void Connection::wait_until(short events, std::optional<Clock::time_point> end, GivenUp given_up) const {
  pollfd one{descriptor_, events, 0};
  for (;;) {
    const int ready = ::poll(&one, 1, milliseconds_until(end.value_or(Clock::time_point::max()), 100ms));
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) throw gone(std::strerror(errno));
    if (given_up && *given_up) throw std::runtime_error("given up");
    if (end && Clock::now() > *end) throw gone("it says nothing");
  }
}

void Connection::write(const void* bytes, std::size_t count, GivenUp given_up) {
  for (const auto* at = static_cast<const std::byte*>(bytes); count > 0;) {
    const ssize_t sent = ::send(descriptor_, at, count, MSG_NOSIGNAL);
    if (sent >= 0) at += sent, count -= static_cast<std::size_t>(sent);
    else if (errno == EAGAIN) wait_until(POLLOUT, {}, given_up);
    else if (errno != EINTR) throw gone(std::strerror(errno));
  }
}

void Connection::read(void* bytes, std::size_t count, std::optional<Clock::time_point> end, GivenUp given_up) {
  for (auto* at = static_cast<std::byte*>(bytes); count > 0;) {
    const ssize_t received = ::recv(descriptor_, at, count, 0);
    if (received == 0) throw gone("it has closed its connection");
    if (received > 0) at += received, count -= static_cast<std::size_t>(received);
    else if (errno == EAGAIN) wait_until(POLLIN, end, given_up);
    else if (errno != EINTR) throw gone(std::strerror(errno));
  }
}

std::size_t Connection::read_some(void* bytes, std::size_t most) {
  if (!open() || most == 0) return 0;
  const ssize_t received = ::recv(descriptor_, bytes, most, 0);
  if (received > 0) return static_cast<std::size_t>(received);
  if (received == 0 || (errno != EAGAIN && errno != EINTR)) close();
  return 0;
}

Listener::Listener(const std::string& address, int port) {
  std::string reason;
  const Addresses found = addresses_of(address, port, AI_PASSIVE, reason);
  // One of IPv6 takes connections of both kinds, where the machine has both.
  for (const int family : {AF_INET6, AF_INET})
    for (const addrinfo* each = found.get(); each && !open(); each = each->ai_next) {
      if (each->ai_family != family) continue;
      Socket fresh(new_socket(*each));
      if (!fresh.open()) continue;
      if (family == AF_INET6) set(fresh.descriptor(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
      set(fresh.descriptor(), SOL_SOCKET, SO_REUSEADDR, 1);
      if (::bind(fresh.descriptor(), each->ai_addr, each->ai_addrlen) == 0 && ::listen(fresh.descriptor(), 128) == 0)
        std::swap(static_cast<Socket&>(*this), fresh);
      else reason = std::strerror(errno);
    }
  if (!open()) throw std::runtime_error(fmt::format("port {} of this machine cannot be listened at: {}", port, reason));
}

int Listener::port() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

std::string Listener::text() const { return fmt::format("port {} of this machine", port()); }

std::optional<Connection> Listener::accept() const {
  const int descriptor = ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (descriptor < 0) return {};
  return Connection(descriptor);
}

void wait_for_any(const Listener& listener, std::span<const Connection* const> connections,
                  Socket::Clock::time_point end) {
  std::vector<pollfd> all{{listener.descriptor(), POLLIN, 0}};
  for (const Connection* connection : connections) all.push_back({connection->descriptor(), POLLIN, 0});
  ::poll(all.data(), all.size(), milliseconds_until(end, 1000ms));
}

Connection connect_to(const std::string& address, int port, Socket::Clock::time_point end) {
  std::string reason = "nobody answers";
  for (;;) {
    const Addresses found = addresses_of(address, port, 0, reason);
    for (const addrinfo* each = found.get(); each; each = each->ai_next) {
      Socket fresh(new_socket(*each));
      if (!fresh.open()) continue;
      int failure = ::connect(fresh.descriptor(), each->ai_addr, each->ai_addrlen) == 0 ? 0 : errno;
      if (failure == EINPROGRESS) {
        pollfd one{fresh.descriptor(), POLLOUT, 0};
        socklen_t size = sizeof failure;
        if (::poll(&one, 1, milliseconds_until(end, 5000ms)) <= 0) failure = ETIMEDOUT;
        else ::getsockopt(fresh.descriptor(), SOL_SOCKET, SO_ERROR, &failure, &size);
      }
      if (failure == 0) return Connection(fresh.release());
      reason = std::strerror(failure);
    }
    if (Socket::Clock::now() > end)
      throw std::runtime_error(fmt::format("nobody answers at {}:{} ({})", address, port, reason));
    std::this_thread::sleep_for(
        std::min<Socket::Clock::duration>(100ms, std::max<Socket::Clock::duration>(0ms, end - Socket::Clock::now())));
  }
}

std::string network_namespace() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/ns/net", ignored).string();
}

}  // namespace nacre
