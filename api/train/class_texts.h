#pragma once

#include <string_view>

namespace nacre {

// What a class is called, how its objects are called by default, and what it is: for classes made of one template.
struct ClassTexts {
  std::string_view class_name, default_name, doc;
};

}  // namespace nacre
