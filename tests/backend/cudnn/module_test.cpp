// How the module of the GPU backend is found and opened, and what is said where it is not there or cannot be used.
#include "backend/cudnn/module.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "backend/backend.h"
#include "tests/support/paths.h"

namespace nacre::test {

namespace {

namespace fs = std::filesystem;

std::string reason(const fs::path& folder) {
  try {
    gpu::open_device({folder});
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Error::Kind::usage);
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), text.npos) << text;
    return text;
  }
  return "";
}

TEST(GpuModule, WhereItIsLookedFor) {
  ::setenv("NACRE_MODULES", "/opt/a::/opt/b", 1);
  const std::vector<fs::path> named = gpu::module_folders();
  ::unsetenv("NACRE_MODULES");
  const std::vector<fs::path> plain = gpu::module_folders();
  ASSERT_EQ(plain.size(), 2u);
  EXPECT_TRUE(plain[0].is_absolute()) << plain[0];
  EXPECT_EQ(plain[0], fs::read_symlink("/proc/self/exe").parent_path());
  EXPECT_EQ(plain[1], plain[0].parent_path() / "lib");
  std::vector<fs::path> expected{"/opt/a", "/opt/b"};
  expected.insert(expected.end(), plain.begin(), plain.end());
  EXPECT_EQ(named, expected);
}

TEST(GpuModule, WhatIsNoModule) {
  const TemporaryFolder folder;
  EXPECT_EQ(reason(folder.path()), "no GPU backend in this build: use --device cpu");
  write_plainly(folder / "libnacre_cudnn.so", "not a library");
  EXPECT_TRUE(reason(folder.path()).starts_with("the GPU's module cannot be loaded: ")) << reason(folder.path());

  const TemporaryFolder other;
  Dl_info library{};
  ASSERT_NE(dladdr(reinterpret_cast<const void*>(&fmt::vformat), &library), 0);
  fs::create_symlink(fs::canonical(library.dli_fname), other / "libnacre_cudnn.so");
  EXPECT_EQ(reason(other.path()), "libnacre_cudnn.so is not a module of nacre");
}

// The emulated device in a module of its own, which shares no symbol with this program.
TEST(GpuModule, ErrorsCrossIt) {
  std::shared_ptr<gpu::Device> device;
  try {
    device = gpu::open_device({NACRE_EMULATED_GPU});
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  EXPECT_EQ(device->facts().name, "emulated GPU");
  const std::size_t wanted = std::size_t{2} << 30;
  try {
    device->release(device->allocate(wanted));
    FAIL() << "2 GiB on a device of 1 GiB";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("wanted 2147483648"), std::string::npos) << error.what();
  }
  const auto function = device->compile("extern \"C\" __global__ void run(int* x) { *x = 1; }", "run");
  int of_the_host = 0;
  void* address = &of_the_host;
  void* const arguments[] = {&address};
  EXPECT_THROW(function->launch(1, 1, arguments), InternalError);
}

void refuses_another_interface(const fs::path& folder) {
  void* const library = dlopen((folder / "libnacre_cudnn.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto open = reinterpret_cast<gpu::OpenGpu>(dlsym(library, gpu::open_gpu_name));
  ASSERT_NE(open, nullptr);
  const char* const text = open(gpu::module_interface + 1, nullptr);
  ASSERT_NE(text, nullptr);
  EXPECT_NE(std::string(text).find("another build of nacre"), std::string::npos) << text;
}

TEST(GpuModule, RefusesAnotherInterface) { refuses_another_interface(NACRE_EMULATED_GPU); }

TEST(GpuModule, OfNvidiasLibraries) {
#ifdef NACRE_CUDA
  refuses_another_interface(NACRE_CUDA);
  const std::string text = reason(NACRE_CUDA);
  if (text.empty()) GTEST_SKIP() << "this machine has a GPU";
  // The module was loaded and says what the machine lacks.
  EXPECT_TRUE(text.starts_with("no NVIDIA ") || text.starts_with("the NVIDIA driver ") || text.starts_with("the GPU "))
      << text;
#else
  GTEST_SKIP() << "skipped: built without CUDA";
#endif
}

}  // namespace

}  // namespace nacre::test
