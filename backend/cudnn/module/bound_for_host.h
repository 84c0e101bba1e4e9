// Places of the host to which copies may be under way.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

namespace nacre::gpu {

class BoundForHost {
 public:
  void add(const void* place, std::size_t bytes) {
    const Part part{static_cast<const std::byte*>(place), bytes};
    if (std::ranges::find(parts_, part) == parts_.end()) parts_.push_back(part);
  }
  bool meets(const void* place, std::size_t bytes) const {
    const auto* const begin = static_cast<const std::byte*>(place);
    return std::ranges::any_of(parts_, [&](const Part& part) {
      return std::less()(part.begin, begin + bytes) && std::less()(begin, part.begin + part.bytes);
    });
  }
  bool too_many() const { return parts_.size() >= 64; }  // to be gone through with every copy
  void clear() { parts_.clear(); }

 private:
  struct Part {
    const std::byte* begin;
    std::size_t bytes;
    bool operator==(const Part&) const = default;
  };
  std::vector<Part> parts_;
};

}  // namespace nacre::gpu
