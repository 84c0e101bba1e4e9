// A point in the order of what a device was asked for.
#pragma once

namespace nacre {

class Fence {
 public:
  virtual ~Fence() = default;
  virtual void set() = 0;   // after all that was asked for so far, and no longer where it was set before
  virtual void wait() = 0;  // until the device has come to it; at once where it was never set
};

}  // namespace nacre
