#include "api/inspect/plot.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/paths.h"

namespace nacre {
namespace {

class Plot : public testing::Test {
 protected:
  std::vector<Panel> panels(std::string_view history) {
    test::write_plainly(folder_ / "history.csv", history);
    return read_history_panels(folder_ / "history.csv");
  }
  std::string start_of(const char* name) {
    std::ifstream file(folder_ / name, std::ios::binary);
    std::string bytes(5, ' ');
    file.read(bytes.data(), 5);
    return bytes;
  }
  test::TemporaryFolder folder_;
};

TEST_F(Plot, TrainingAndValidationShareAPanel) {
  const std::vector<Panel> read = panels("epoch,loss,accuracy,val_loss,learning_rate\n1,2,0.5,3,0.1\n2,1,0.6,,0.1\n");
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[0].title, "loss");
  ASSERT_EQ(read[0].curves.size(), 2u);
  EXPECT_EQ(read[0].curves[1].name, "validation");
  EXPECT_EQ(read[0].curves[0].y, (std::vector<double>{2, 1}));
  EXPECT_TRUE(std::isnan(read[0].curves[1].y[1])) << "an epoch without validation is left out";
  EXPECT_EQ(read[2].curves[0].name, "");
}

TEST_F(Plot, BothKindsOfFilesEvenOfOneEpochAndOfNaN) {
  for (std::string_view history : {"epoch,loss\n1,2\n", "epoch,loss,val_loss\n1,2,\n2,nan,\n", "epoch,loss\n1,0\n2,0\n"}) {
    const std::vector<Panel> read = panels(history);
    plot_svg(read, "a <title> & more", folder_ / "c.svg");
    plot_png(read, "title", folder_ / "c.png");
    EXPECT_EQ(start_of("c.svg"), "<?xml");
    EXPECT_EQ(start_of("c.png").substr(1, 3), "PNG");
  }
}

TEST_F(Plot, OtherTablesAreRefused) {
  const std::string place = (folder_ / "history.csv").string();
  EXPECT_EQ(test::message_of([&] { panels("a,b\n1,2\n"); }), place + ": this is no history of a run: wanted a table with the column 'epoch'");
  EXPECT_EQ(test::message_of([&] { panels("epoch,loss\n"); }), place + ": this is no history of a run: wanted a table with the column 'epoch'");
}

}  // namespace
}  // namespace nacre
