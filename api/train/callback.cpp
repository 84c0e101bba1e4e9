#include "api/train/callback.h"

#include <algorithm>

#include "api/train/backup_and_restore.h"
#include "api/train/callbacks.h"
#include "api/train/freeze_scheduler.h"
#include "api/train/progbar_logger.h"
#include "api/train/remote_monitor.h"
#include "api/train/tensorboard.h"

namespace nacre {

const double* Logs::find(std::string_view name) const {
  const auto found = std::ranges::find(entries_, name, &std::pair<std::string, double>::first);
  return found == entries_.end() ? nullptr : &found->second;
}

void Logs::set(std::string_view name, double value) {
  const auto found = std::ranges::find(entries_, name, &std::pair<std::string, double>::first);
  if (found == entries_.end()) entries_.emplace_back(name, value);
  else found->second = value;
}

std::string Logs::names() const {
  std::string text;
  for (const auto& [name, value] : entries_) text += (text.empty() ? "" : ", ") + name;
  return text;
}

namespace {

constexpr std::string_view module = "keras.callbacks";

template <class Class>
ClassInfo<Callback> info() {
  return class_info<Callback, Class>(module);
}

ClassInfo<Callback> lambda_info() {
  ClassInfo<Callback> info{callbacks::LambdaCallbackConfig::class_name, callbacks::LambdaCallbackConfig::doc, module};
  info.make = [](const Tree& config) -> std::shared_ptr<Callback> {
    throw Error("a LambdaCallback holds functions, which a configuration cannot give")
        .at(config.mark())
        .hint("C++ makes it; in Lua a table of the functions is a callback: {on_epoch_end = function(self, epoch, logs) … end}")
        .usage();
  };
  return info;
}

}  // namespace

template <>
Registry<Callback>& registry<Callback>() {
  using namespace callbacks;
  // clang-format off
  static Registry<Callback> callbacks("callback", {
      info<BackupAndRestore>(),
      info<CSVLogger>(),
      info<EarlyStopping>(),
      info<FreezeScheduler>(),
      lambda_info(),
      info<LearningRateScheduler>(),
      info<ModelCheckpoint>(),
      info<ProgbarLogger>(),
      info<ReduceLROnPlateau>(),
      info<RemoteMonitor>(),
      info<SwapEMAWeights>(),
      info<TensorBoard>(),
      info<TerminateOnNaN>(),
  });
  // clang-format on
  return callbacks;
}

}  // namespace nacre
