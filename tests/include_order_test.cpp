// The architecture's two rules about includes: a file includes from its own folder or from an earlier one, and a
// third-party library's headers appear only inside the folder that owns it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

// What a file of each top-level folder may include, besides its own folder.
const std::map<std::string, std::set<std::string>> allowed = [] {
  const std::set<std::string> backend{}, formats{"backend"}, layers{"backend", "formats"},
      api{"backend", "formats", "layers"}, above_api{"backend", "formats", "layers", "api"},
      cli{"backend", "formats", "layers", "api", "models_zoo", "scripting"},
      last{"backend", "formats", "layers", "api", "models_zoo", "scripting", "cli"};
  return std::map<std::string, std::set<std::string>>{
      {"backend", backend},      {"formats", formats},     {"layers", layers}, {"api", api},       {"cli", cli},
      {"models_zoo", above_api}, {"scripting", above_api}, {"tests", last},    {"tutorials", last}};
}();

// Headers, as a pattern of the whole name, and the folders that own them. What tests a folder may do as it does.
const std::vector<std::pair<std::regex, std::vector<std::string>>> owners{
    {std::regex("(oneapi/dnnl/)?dnnl.*"), {"backend/onednn/"}},
    {std::regex("(cudnn|cuda|cublas|nvrtc|nccl).*"), {"backend/cudnn/"}},
    {std::regex("mpi\\.h"), {"backend/mpi/"}},
    {std::regex("Eigen/.*"), {"backend/reference/"}},
    {std::regex("omp\\.h"), {"backend/"}},
    {std::regex("hdf5.*|H5.*"), {"formats/"}},
    {std::regex("yaml-cpp/.*"), {"formats/"}},
    {std::regex("(zlib|zip|jpeglib|png|gif_lib)\\.h"), {"formats/"}},
    {std::regex("webp/.*"), {"formats/"}},
    {std::regex("(lua|lauxlib|lualib)\\.h(pp)?"), {"formats/", "scripting/"}},
    {std::regex("cairo.*"), {"api/"}},
    {std::regex("curl/.*"), {"api/"}},
    {std::regex("openssl/.*"), {"formats/"}},
    {std::regex("pcre2.*"), {"api/"}},
    {std::regex("CLI/.*"), {"cli/"}},
    {std::regex("histedit\\.h|editline/.*"), {"cli/"}},
};

struct Include {
  std::string from;  // the including file, relative to the root
  int line;
  bool quoted;  // "ours" or <theirs>
  std::string name;

  std::string text() const { return from + ":" + std::to_string(line) + ": includes " + name; }
};

std::vector<Include> includes_below(const fs::path& root) {
  const std::regex directive("^\\s*#\\s*include\\s*([\"<])([^\">]+)[\">].*");
  std::vector<Include> found;
  for (const auto& [folder, _] : allowed) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension();
      if (!std::set<std::string>{".h", ".cpp", ".cu", ".cuh"}.contains(extension)) continue;
      std::ifstream file(entry.path());
      std::string text;
      for (int line = 1; std::getline(file, text); ++line) {
        std::smatch match;
        if (!std::regex_match(text, match, directive)) continue;
        found.push_back({fs::relative(entry.path(), root).string(), line, match[1] == "\"", match[2]});
      }
    }
  }
  return found;
}

std::string first_folder(const std::string& path) { return path.substr(0, path.find('/')); }

std::string broken_rule(const Include& include, const fs::path& root) {
  const std::string folder = first_folder(include.from), target = first_folder(include.name);
  if (include.quoted) {
    if (!fs::exists(root / include.name)) return "write it from the repository's root";
    if (folder != target && !allowed.at(folder).contains(target)) return folder + " comes before " + target;
    return {};
  }
  for (const auto& [pattern, folders] : owners) {
    if (!std::regex_match(include.name, pattern)) continue;
    const std::string from = folder == "tests" ? include.from.substr(sizeof("tests/") - 1) : include.from;
    bool owned = false;
    for (const auto& owner : folders) owned = owned || from.starts_with(owner);
    if (!owned) return "only " + folders.front() + " may";
  }
  return {};
}

TEST(IncludeOrder, every_file_includes_only_what_it_may) {
  const std::vector<Include> includes = includes_below(NACRE_SOURCE_DIR);
  ASSERT_FALSE(includes.empty());
  for (const Include& include : includes) {
    const std::string rule = broken_rule(include, NACRE_SOURCE_DIR);
    EXPECT_EQ(rule, "") << include.text();
  }
}

TEST(IncludeOrder, the_rules_catch_what_they_should) {
  const fs::path root = NACRE_SOURCE_DIR;
  const auto rule = [&](std::string from, bool quoted, std::string name) {
    return broken_rule({std::move(from), 1, quoted, std::move(name)}, root);
  };
  EXPECT_EQ(rule("backend/core/shape.cpp", true, "backend/core/error.h"), "");
  EXPECT_EQ(rule("cli/main.cpp", true, "backend/core/error.h"), "");
  EXPECT_EQ(rule("backend/core/shape.cpp", true, "tests/include_order_test.cpp"), "backend comes before tests");
  EXPECT_EQ(rule("backend/core/shape.cpp", true, "error.h"), "write it from the repository's root");
  EXPECT_EQ(rule("backend/onednn/engine.cpp", false, "dnnl.hpp"), "");
  EXPECT_EQ(rule("backend/graph/node.cpp", false, "oneapi/dnnl/dnnl.hpp"), "only backend/onednn/ may");
  EXPECT_EQ(rule("api/save.cpp", false, "hdf5.h"), "only formats/ may");
  EXPECT_EQ(rule("tests/formats/hdf5_test.cpp", false, "hdf5.h"), "");
  EXPECT_EQ(rule("scripting/engine.cpp", false, "lua.h"), "");
}

}  // namespace
