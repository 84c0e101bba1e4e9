// Reporting to a server, which is played by this test.
#include "api/train/remote_monitor.h"

#include <gtest/gtest.h>

#include <future>

#include "api/http.h"
#include "api/train/callbacks.h"
#include "tests/api/models.h"
#include "tests/support/loopback.h"

namespace nacre::test {
namespace {

using callbacks::RemoteMonitor;

// Answers one request on a port of its own.
class Server {
 public:
  explicit Server(std::string status) {
    request_ = std::async(std::launch::async, [this, status] {
      const int connection = port_.accept();
      std::string text;
      char part[4096];
      for (ssize_t got = 0; !whole(text) && (got = ::read(connection, part, sizeof part)) > 0;)
        text.append(part, static_cast<std::size_t>(got));
      const std::string answer = "HTTP/1.1 " + status + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      EXPECT_EQ(::write(connection, answer.data(), answer.size()), static_cast<ssize_t>(answer.size()));
      ::close(connection);
      return text;
    });
  }
  std::string address() const { return port_.address(); }
  std::string request() { return request_.get(); }

 private:
  static bool whole(const std::string& text) {
    const std::size_t head = text.find("\r\n\r\n"), length = text.find("Content-Length: ");
    return head != std::string::npos && length != std::string::npos &&
           text.size() >= head + 4 + std::stoul(text.substr(length + 16));
  }
  Loopback port_;
  std::future<std::string> request_;
};

// One epoch of a small model with the callback.
History fit(const RemoteMonitor& monitor) {
  Sequential model = classifier();
  model.compile({.optimizer = optimizers::SGD({.learning_rate = 0.5}), .loss = "sparse_categorical_crossentropy"});
  return model.fit(labelled(blobs(16)), {.epochs = 1, .callbacks = {monitor}});
}

TEST(RemoteMonitor, SendsAFormOrJson) {
  for (const bool json : {false, true}) {
    Server server("200 OK");
    const History history = fit(RemoteMonitor({.root = server.address(), .path = "/epochs", .field = "my data",
                                               .headers = NamedValues<std::string>{{{"X-Token", "abc"}}}, .send_as_json = json}));
    const std::string request = server.request();
    EXPECT_TRUE(history.warnings.empty());
    EXPECT_EQ(request.substr(0, 21), "POST /epochs HTTP/1.1");
    EXPECT_NE(request.find("X-Token: abc\r\n"), std::string::npos);
    const std::string body = request.substr(request.find("\r\n\r\n") + 4);
    if (json) {
      EXPECT_NE(request.find("Content-Type: application/json\r\n"), std::string::npos);
      EXPECT_EQ(body.substr(0, 21), R"({"epoch": 0, "loss": )");
      EXPECT_NE(body.find(R"("learning_rate": 0.5})"), std::string::npos);
    } else {
      EXPECT_NE(request.find("Content-Type: application/x-www-form-urlencoded\r\n"), std::string::npos);
      EXPECT_EQ(body.substr(0, 34), "my+data=%7B%22epoch%22%3A+0%2C+%22");
    }
  }
}

TEST(RemoteMonitor, TrainingGoesOnWithoutTheServer) {
  const History unreachable = fit(RemoteMonitor({.root = "http://127.0.0.1:1"}));
  EXPECT_EQ(unreachable.epochs.size(), 1u);
  ASSERT_EQ(unreachable.warnings.size(), 1u);
  EXPECT_NE(unreachable.warnings[0].find("RemoteMonitor could not reach its server: http://127.0.0.1:1/publish/epoch/end/"),
            std::string::npos);
  Server server("404 Not Found");
  const History refused = fit(RemoteMonitor({.root = server.address()}));
  server.request();
  ASSERT_EQ(refused.warnings.size(), 1u);
  EXPECT_NE(refused.warnings[0].find("answers with status 404"), std::string::npos);
}

TEST(Http, FormsAreEncoded) { EXPECT_EQ(form_encoded("a b&c=ä~"), "a+b%26c%3D%C3%A4~"); }

}  // namespace
}  // namespace nacre::test
