#include "cli/terminal.h"

#include <gtest/gtest.h>

namespace nacre::cli {
namespace {

const Progress halfway{2, 12, 234, 469, 5.0, 12345.6, {{"loss", 0.23451}, {"accuracy", 0.93121}}};

TEST(Terminal, BarFitsItsWidth) {
  EXPECT_EQ(progress_line(halfway, 80), "Epoch 3/12 [======>      ] 234/469 12.3k/s ETA 0:05 loss 0.2345 accuracy 0.9312");
  for (int width = 20; width < 200; ++width) EXPECT_LT(static_cast<int>(progress_line(halfway, width).size()), std::max(width, 21)) << width;
}

TEST(Terminal, EpochLine) {
  EXPECT_EQ(epoch_line(halfway), "Epoch 3/12 - 0:05 - 12.3k samples/s - loss 0.2345 - accuracy 0.9312");
}

TEST(Terminal, NumbersAndClocks) {
  EXPECT_EQ(short_number(812), "812");
  EXPECT_EQ(short_number(4560000), "4.56M");
  EXPECT_EQ(clock_text(42), "0:42");
  EXPECT_EQ(clock_text(3723), "1:02:03");
  EXPECT_EQ(clock_text(-1), "-:--");
}

}  // namespace
}  // namespace nacre::cli
