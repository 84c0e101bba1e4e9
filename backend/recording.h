// Work that a device has noted instead of doing it: the many launches of a step become one.
#pragma once

#include <functional>
#include <memory>

namespace nacre {

class Recording {
 public:
  virtual ~Recording() = default;
  // Does the work, with the addresses that it was recorded with and what lies there now. Asynchronous.
  virtual void replay() = 0;
};

class Recorder {
 public:
  virtual ~Recorder() = default;
  // What `work` asks the device for, none of which is done yet. Null where it can't be recorded; then it has to be done
  // as if nothing had been said.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work) = 0;
};

}  // namespace nacre
