#include "backend/cudnn/module/kernel_cache.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/paths.h"

namespace nacre::gpu {

namespace {

namespace fs = std::filesystem;
using nacre::test::TemporaryFolder;

std::vector<fs::path> files(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path());
  return found;
}

std::string bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(KernelCache, FindsWhatWasKept) {
  const TemporaryFolder folder;
  KernelCache cache(folder / "kernels");
  EXPECT_FALSE(cache.find("source", "sm_90"));
  cache.keep("source", "sm_90", std::string("image\0of zeros", 14));
  cache.keep("source", "sm_75", "older");
  EXPECT_EQ(cache.find("source", "sm_90"), std::string("image\0of zeros", 14));
  EXPECT_EQ(KernelCache(folder / "kernels").find("source", "sm_75"), "older");
  EXPECT_FALSE(cache.find("source2", "sm_90"));
  EXPECT_FALSE(cache.find("source", "sm_80"));
  EXPECT_EQ(files(folder / "kernels").size(), 2u);  // and nothing temporary
}

TEST(KernelCache, WhatIsDamagedIsNotThere) {
  const TemporaryFolder folder;
  KernelCache cache(folder.path());
  cache.keep("source", "sm_90", "image");
  const fs::path entry = files(folder.path()).at(0);
  const std::string whole = bytes(entry);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] ^= 1;
    test::write_plainly(entry, changed);
    EXPECT_FALSE(cache.find("source", "sm_90")) << "byte " << i;
    test::write_plainly(entry, whole.substr(0, i));
    EXPECT_FALSE(cache.find("source", "sm_90")) << "the first " << i << " bytes";
  }
  test::write_plainly(entry, whole + "more");
  EXPECT_FALSE(cache.find("source", "sm_90"));
  cache.keep("source", "sm_90", "image");
  EXPECT_EQ(cache.find("source", "sm_90"), "image");
}

TEST(KernelCache, AFolderThatCannotBeWrittenKeepsNothing) {
  KernelCache none("");
  none.keep("source", "sm_90", "image");
  EXPECT_FALSE(none.find("source", "sm_90"));
  const TemporaryFolder folder;
  test::write_plainly(folder / "file", "");
  KernelCache below(folder / "file/kernels");
  below.keep("source", "sm_90", "image");
  EXPECT_FALSE(below.find("source", "sm_90"));
}

TEST(KernelCache, TheOldestGoFirst) {
  const TemporaryFolder folder;
  KernelCache cache(folder.path(), 10000);
  const std::string image(1000, 'x');
  for (int i = 0; i < 30; ++i) {
    cache.keep(std::to_string(i), "sm_90", image);
    ASSERT_TRUE(cache.find(std::to_string(i), "sm_90"));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_LT(files(folder.path()).size(), 13u);
  EXPECT_TRUE(cache.find("29", "sm_90"));
  EXPECT_FALSE(cache.find("0", "sm_90"));
}

TEST(KernelCache, WhereItLies) {
  const char* const home = std::getenv("NACRE_HOME");
  const std::string before = home ? home : "";
  ::setenv("NACRE_HOME", "/opt/nacre", 1);
  EXPECT_EQ(kernel_folder(), "/opt/nacre/kernels");
  if (home) ::setenv("NACRE_HOME", before.c_str(), 1);
  else ::unsetenv("NACRE_HOME");
}

}  // namespace

}  // namespace nacre::gpu
