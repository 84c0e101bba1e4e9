// A server of one file over HTTP, for tests: well behaved or not.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/loopback.h"

namespace nacre::test {

// Answers one connection after the other, the number of which counts from 0, as `answer` says.
class FileServer {
 public:
  struct Request {
    int number = 0;
    std::string path;
    std::size_t offset = 0;  // of "Range: bytes=offset-"
  };
  // What is sent, byte for byte, and for how long the connection then stays open with nothing more.
  struct Answer {
    std::string bytes;
    double silence = 0;  // seconds
  };

  explicit FileServer(std::function<Answer(const Request&)> answer) : answer_(std::move(answer)) {
    thread_ = std::thread([this] { serve(); });
  }
  ~FileServer() {
    ended_ = true;
    port_.shut_down();
    thread_.join();
  }
  FileServer(const FileServer&) = delete;
  FileServer& operator=(const FileServer&) = delete;

  std::string address(const std::string& file = "weights.h5") const { return port_.address() + "/" + file; }
  int requests() const { return requests_; }

  // The usual answer: the file from the offset on, of which `sent` bytes are really sent.
  static Answer file(const std::string& whole, const Request& request, std::size_t sent = std::string::npos) {
    const std::string rest = whole.substr(std::min(request.offset, whole.size()));
    std::string head = request.offset
                           ? "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes " + std::to_string(request.offset) +
                                 "-" + std::to_string(whole.size() - 1) + "/" + std::to_string(whole.size()) + "\r\n"
                           : "HTTP/1.1 200 OK\r\n";
    head += "Content-Length: " + std::to_string(rest.size()) + "\r\nConnection: close\r\n\r\n";
    return {head + rest.substr(0, sent), 0};
  }
  static Answer status(const std::string& text) {
    return {"HTTP/1.1 " + text + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 0};
  }

 private:
  void serve() {
    while (!ended_) {
      const int connection = port_.accept();
      if (connection < 0) continue;
      std::string text;
      char part[4096];
      for (ssize_t got = 0;
           text.find("\r\n\r\n") == std::string::npos && (got = ::read(connection, part, sizeof part)) > 0;)
        text.append(part, static_cast<std::size_t>(got));
      Request request{.number = requests_++, .path = text.substr(4, text.find(' ', 4) - 4), .offset = 0};
      if (const std::size_t range = text.find("Range: bytes="); range != std::string::npos)
        request.offset = std::stoul(text.substr(range + 13));
      const Answer answer = answer_(request);
      for (std::size_t at = 0; at < answer.bytes.size();) {
        const ssize_t sent = ::send(connection, answer.bytes.data() + at, answer.bytes.size() - at, MSG_NOSIGNAL);
        if (sent <= 0) break;
        at += static_cast<std::size_t>(sent);
      }
      const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(answer.silence);
      while (!ended_ && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      ::close(connection);
    }
  }

  std::function<Answer(const Request&)> answer_;
  Loopback port_;
  std::atomic<int> requests_ = 0;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

}  // namespace nacre::test
