// Tests that run scripts.
#pragma once

#include <gtest/gtest.h>

#include "api/nacre.h"
#include "scripting/engine.h"
#include "tests/support/paths.h"

namespace nacre::test {

class Scripts : public testing::Test {
 protected:
  Tree run(const std::string& source) { return engine_.run(source, "s.lua"); }
  std::string text(const std::string& source) { return whole(run(source)); }
  static std::string whole(const Tree& tree) {  // Tree::text() shortens
    if (!tree.is_sequence()) return tree.text();
    std::string all;
    for (const Tree& item : tree.items()) all += (all.empty() ? "" : ", ") + whole(item);
    return "[" + all + "]";
  }
  std::string refusal(const std::string& source) {
    return test::message_of([&] { run(source); });
  }
  Error error(const std::string& source) {
    try {
      run(source);
    } catch (const Error& caught) {
      return caught;
    }
    return Error("none");
  }
  std::string path(const char* name) const { return (folder_ / name).string(); }

  test::TemporaryFolder folder_;
  Engine engine_;
};

}  // namespace nacre::test
