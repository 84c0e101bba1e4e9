#include "cli/terminal.h"

#include <gtest/gtest.h>

namespace nacre::cli {
namespace {

const Progress halfway{
    .epoch = 2, .epochs = 12, .batch = 234, .batches = 469, .seconds = 5.0, .samples_per_second = 12345.6, .metrics = {{"loss", 0.23451}, {"accuracy", 0.93121}}};

TEST(Terminal, BarFitsItsWidth) {
  EXPECT_EQ(progress_line(halfway, 80), "Epoch 3/12 [======>      ] 234/469 12.3k/s ETA 0:05 loss 0.2345 accuracy 0.9312");
  for (int width = 20; width < 200; ++width) EXPECT_LT(static_cast<int>(progress_line(halfway, width).size()), std::max(width, 21)) << width;
}

// Time and speed of a resumed epoch are those of what was done since.
TEST(Terminal, BarsOfResumedEpochsAndOfValidation) {
  Progress progress = halfway;
  progress.first_batch = 117;
  EXPECT_EQ(progress_line(progress, 80), "Epoch 3/12 [======>      ] 234/469 12.3k/s ETA 0:10 loss 0.2345 accuracy 0.9312");
  progress.validation = true;
  EXPECT_TRUE(progress_line(progress, 80).starts_with("Epoch 3/12 validation [")) << progress_line(progress, 80);
  progress.features = true;
  EXPECT_TRUE(progress_line(progress, 80).starts_with("features [")) << progress_line(progress, 80);
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
