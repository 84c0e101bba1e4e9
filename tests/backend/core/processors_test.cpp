#include "backend/core/processors.h"

#include <gtest/gtest.h>

#include <array>

#include "backend/core/parallel.h"
#include "tests/support/paths.h"

namespace nacre::test {
namespace {

class Processors : public testing::Test {
 protected:
  void write(const std::string& path, std::string_view text) {
    const std::filesystem::path file = folder_ / path;
    std::filesystem::create_directories(file.parent_path());
    write_plainly(file, text);
  }
  void siblings(int processor, std::string_view list) {
    write("sys/devices/system/cpu/cpu" + std::to_string(processor) + "/topology/thread_siblings_list", list);
  }
  std::filesystem::path root() const { return folder_.path(); }

  TemporaryFolder folder_;
};

TEST_F(Processors, HardwareThreadsOfOneCoreCountOnce) {
  siblings(0, "0,4\n"), siblings(4, "0,4\n");
  siblings(1, "1,5\n"), siblings(5, "1,5\n");
  siblings(2, "2-3\n"), siblings(3, "2-3\n");
  EXPECT_EQ(physical_cores(std::array{0, 1, 2, 3, 4, 5}, root()), 3);
  EXPECT_EQ(physical_cores(std::array{4, 5}, root()), 2) << "of those that are allowed";
  EXPECT_EQ(physical_cores(std::array{2, 3}, root()), 1);
  EXPECT_EQ(physical_cores(std::array{0, 7, 8}, root()), 3) << "of two nothing is known";
}

TEST_F(Processors, QuotaOfTheSecondVersion) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  EXPECT_EQ(processor_quota(root()), 0);
  write("sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  EXPECT_EQ(processor_quota(root()), 0);
  write("sys/fs/cgroup/outer/cpu.max", "350000 100000\n");
  EXPECT_EQ(processor_quota(root()), 4);
  write("sys/fs/cgroup/outer/inner/cpu.max", "150000 100000\n");
  EXPECT_EQ(processor_quota(root()), 2) << "the strictest on the way";
  write("sys/fs/cgroup/cpu.max", "1000 100000\n");
  EXPECT_EQ(processor_quota(root()), 1);
}

TEST_F(Processors, QuotaOfTheFirstVersion) {
  write("proc/self/cgroup", "5:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(processor_quota(root()), 0);
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(processor_quota(root()), 2) << "a container sees its own group as the whole";
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "much\n");
  EXPECT_EQ(processor_quota(root()), 0);
}

TEST_F(Processors, NumbersOfTheEnvironment) {
  EXPECT_EQ(threads_in(nullptr), 0);
  EXPECT_EQ(threads_in("3"), 3);
  EXPECT_EQ(threads_in(" 4,2"), 4);
  for (const char* nothing : {"", "0", "-2", "many", "99999999999999999999"}) EXPECT_EQ(threads_in(nothing), 0) << nothing;
}

TEST_F(Processors, TheProcessHasSome) {
  EXPECT_GE(default_threads(), 1);
  EXPECT_EQ(threads(), default_threads());
  set_threads(3);
  EXPECT_EQ(threads(), 3);
  set_threads(0);
  EXPECT_EQ(threads(), default_threads());
}

}  // namespace
}  // namespace nacre::test
