// A port of this machine, for servers that tests play.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

namespace nacre::test {

// Listens on a free port of 127.0.0.1. Programs that the test starts do not inherit it, nor its connections.
class Loopback {
 public:
  Loopback() : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(descriptor_, 8) != 0 ||
        ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("no port");
    port_ = ntohs(address.sin_port);
  }
  ~Loopback() { ::close(descriptor_); }
  Loopback(const Loopback&) = delete;
  Loopback& operator=(const Loopback&) = delete;

  std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // A connection, or -1 after shut_down().
  int accept() const { return ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC); }
  void shut_down() const { ::shutdown(descriptor_, SHUT_RDWR); }

 private:
  int descriptor_, port_ = 0;
};

}  // namespace nacre::test
