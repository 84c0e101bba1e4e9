#pragma once

#include "api/train/callback.h"
#include "formats/named_values.h"

namespace nacre::callbacks {

struct RemoteMonitorConfig {
  static constexpr std::string_view class_name = "RemoteMonitor";
  static constexpr std::string_view doc = "Sends the numbers of each epoch to a web server, as JSON.";
  std::string root = "http://localhost:9000", path = "/publish/epoch/end/", field = "data";
  std::optional<NamedValues<std::string>> headers{};
  bool send_as_json = false;
  static void describe(auto&& describe_field) {
    describe_field("root", &RemoteMonitorConfig::root, "address of the server");
    describe_field("path", &RemoteMonitorConfig::path, "follows the address");
    describe_field("field", &RemoteMonitorConfig::field, "of the form that holds the JSON; unused with send_as_json");
    describe_field("headers", &RemoteMonitorConfig::headers, "{name: text} of HTTP headers to send along");
    describe_field("send_as_json", &RemoteMonitorConfig::send_as_json,
                   "send the JSON itself (application/json), not a form");
  }
};

// A server that cannot be reached is warned of once; training goes on.
class RemoteMonitor final : public Configured<Callback, RemoteMonitorConfig> {
 public:
  using Configured::Configured;
  bool on_every_process() const override { return false; }
  void on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) override;
};

}  // namespace nacre::callbacks
