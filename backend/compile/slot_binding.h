// A variable as one executable sees it.
#pragma once

#include "backend/compile/residence.h"

namespace nacre::compile {

class SlotBinding {
 public:
  // `read`: its value before the run matters; `updated`: the executable gives it new values.
  SlotBinding(VariableRef variable, Layout layout, bool read, bool updated, const Backend& backend);

  // Makes raw() hold the newest value; true when the buffer or what it holds has changed since the last call. The
  // buffer is the variable's residence where that has this layout. Otherwise an executable that updates the variable
  // moves the residence to its own buffer, and one that only reads it keeps a copy.
  bool refresh();
  void* raw() const { return buffer_->raw(); }
  bool updated() const { return updated_; }
  void mark_updated();                                  // a run writes to raw()
  std::size_t own_bytes() const { return own_bytes_; }  // of buffers that this executable laid out

 private:
  bool adopt_host();
  void load();

  VariableRef variable_;
  Layout layout_;
  bool read_, updated_;
  const Backend& backend_;
  std::shared_ptr<BackendResidence> buffer_;
  const Residence* source_ = nullptr;  // the variable's residence and version at the last refresh
  std::uint64_t version_ = 0;
  std::size_t own_bytes_ = 0;
};

}  // namespace nacre::compile
