#include "api/train/remote_monitor.h"

#include "api/http.h"
#include "formats/json.h"

namespace nacre::callbacks {

void RemoteMonitor::on_epoch_end(TrainingControl& control, std::int64_t epoch, Logs& logs) {
  Tree numbers;
  numbers.set("epoch", epoch);
  for (const auto& [name, value] : logs) numbers.set(name, value);
  HttpPost request{.url = config_.root + config_.path, .body = write_json(numbers)};
  if (!config_.send_as_json) request.body = form_encoded(config_.field) + "=" + form_encoded(request.body);
  request.headers.emplace_back("Content-Type",
                               config_.send_as_json ? "application/json" : "application/x-www-form-urlencoded");
  if (config_.headers)
    for (const auto& header : config_.headers->entries) request.headers.push_back(header);
  try {
    if (const long status = post(request); status >= 400)
      control.warn(fmt::format("RemoteMonitor: {} answers with status {}", request.url, status));
  } catch (const Error& error) {
    control.warn(fmt::format("RemoteMonitor could not reach its server: {}", error.message()));
  }
}

}  // namespace nacre::callbacks
