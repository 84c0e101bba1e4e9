// Who looks on while layers emit their ops.
#pragma once

#include <functional>

#include "layers/layer.h"

namespace nacre {

// While one lives, it sees every call of a layer that is emitted into its graph, at any depth, once the call has its
// results: layers inside another come before that one. Calls within the body of a loop go into graphs of their own and
// are not seen. Of the thread that made it; they may nest.
class CallObserver {
 public:
  using Look = std::function<void(const Layer& layer, const CallResult& result)>;
  CallObserver(const Graph& graph, Look look);
  ~CallObserver();
  CallObserver(const CallObserver&) = delete;
  CallObserver& operator=(const CallObserver&) = delete;

  // Shows a call to those that live: for Layer.
  static void show(const Layer& layer, const Graph& graph, const CallResult& result);

 private:
  const Graph& graph_;
  Look look_;
  CallObserver* outer_;
};

}  // namespace nacre
