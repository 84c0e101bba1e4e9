// What goes by the stream, recorded as a CUDA graph.
#pragma once

#include <functional>
#include <memory>

#include "backend/cudnn/module/context.h"
#include "backend/recording.h"

namespace nacre::gpu {

// What `work` asks the stream for, with the context current; null where it can't be recorded. Errors of `work` mean
// that. `make_room` is called when the device lacks memory for it.
std::unique_ptr<Recording> record(std::shared_ptr<const Context> context, const std::function<void()>& work,
                                  const std::function<void()>& make_room);

}  // namespace nacre::gpu
