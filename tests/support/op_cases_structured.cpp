#include "tests/support/op_cases.h"

namespace nacre::test {

std::vector<OpRecord> structured_records() { return {}; }

}  // namespace nacre::test
