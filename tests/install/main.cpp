#include <fmt/core.h>

#include "backend/core/shape.h"

int main() { fmt::print("{}\n", nacre::Shape{2, 3}.text()); }
