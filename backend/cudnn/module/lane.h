// The lane by which batches come to the device while it computes: a stream of its own, with pinned staging and memory
// of the device where they land.
//
//   lane     … │ batch n+1 from the host ──┐               │ batch n+2 …
//              ↑ taken(n)                  │ arrived(n+1)  ↑ taken(n+1)
//   device   ──┴─ step n ──────────────────┴─ batch n+1 ───┴─ step n+1 …
//                                             to its place
//
// The device copies a batch from there to where a step reads it, which takes next to no time and frees the landing for
// the next batch: one landing serves all executables, and what they read lies at fixed places, as recordings need it.
#pragma once

#include <span>

#include "backend/cudnn/module/staging.h"
#include "backend/cudnn/module/stream.h"

namespace nacre::gpu {

class Lane {
 public:
  // With the context current.
  explicit Lane(const std::shared_ptr<const Context>& context)
      : context_(context), stream_(context), staging_(*context, stream_.get()), arrived_(context), taken_(context) {}

  // All with the context current.
  std::size_t room() const { return room_; }  // bytes of the landing
  // Lands in this memory of the device from now on, which may be used as soon as the device's stream has come so far;
  // the one before may be released in the stream's order.
  CUdeviceptr land_in(CUdeviceptr memory, std::size_t bytes);
  // Copies of so many bytes each, which have room together, each part aligned for any use.
  void copy(std::span<const std::size_t> bytes, std::span<const void* const> from, std::span<void* const> to);

  static std::size_t room_for(std::span<const std::size_t> bytes);

 private:
  std::shared_ptr<const Context> context_;
  Stream stream_;
  Staging staging_;
  Event arrived_, taken_;  // the last batch: all of it has landed; it has left the landing
  CUdeviceptr landing_ = 0;
  std::size_t room_ = 0;
};

}  // namespace nacre::gpu
