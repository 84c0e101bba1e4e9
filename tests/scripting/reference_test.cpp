// The page of Lua's functions and objects: it is up to date and complete, and its examples run.
#include "scripting/reference.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "formats/file.h"
#include "layers/operations.h"
#include "scripting/operation_examples.h"
#include "tests/scripting/scripts.h"

namespace nacre {

void PrintTo(const LuaEntry& entry, std::ostream* out) { *out << entry.name; }

namespace {

TEST(LuaReference, CommittedPageIsWhatTheProgramSays) {
  const std::filesystem::path page = std::filesystem::path(NACRE_SOURCE_DIR) / "tutorials/reference/lua.md";
  ASSERT_TRUE(std::filesystem::exists(page)) << page << " is missing; run: nacre reference tutorials/reference";
  EXPECT_TRUE(read_file(page) == lua_reference())
      << page << " is out of date; run: nacre reference tutorials/reference";
}

TEST(LuaReference, EveryEntryIsWhole) {
  for (const LuaEntry& entry : lua_entries()) {
    SCOPED_TRACE(entry.name);
    EXPECT_FALSE(entry.usage.empty());
    EXPECT_TRUE(entry.doc.ends_with('.') || entry.doc.ends_with("…")) << entry.doc;
    EXPECT_FALSE(entry.example.empty());
    for (std::size_t begin = 0; begin < entry.example.size();) {
      const std::size_t end = entry.example.find('\n', begin);
      EXPECT_LE(end - begin, 120U) << entry.example.substr(begin, end - begin);
      begin = end + 1;
    }
  }
}

// Whatever a script finds in the table nacre, and what its objects do besides what all objects do.
class LuaReferenceOfAnEngine : public test::Scripts {};
TEST_F(LuaReferenceOfAnEngine, EverythingThatNacreHoldsIsInTheReference) {
  std::set<std::string> told;
  for (const LuaEntry& entry : lua_entries()) told.insert(entry.name);
  const Tree found = run(R"(
    local names, paths = {}, {}  -- what has two names is told of once, by the shorter one
    local function walk(name, value)
      if not paths[value] or #name < #paths[value] then paths[value] = name end
      if type(value) == "table" then for key, inner in next, value do walk(name .. "." .. key, inner) end end
    end
    for key, value in next, nacre do walk("nacre." .. key, value) end
    for _, name in pairs(paths) do names[#names + 1] = name end
    local common = {__index = true, __newindex = true, __gc = true, __tostring = true, __eq = true, __name = true, __metatable = true}
    for _, class in pairs(debug.getregistry()) do
      local name = type(class) == "table" and rawget(class, "__gc") and rawget(class, "__tostring") and rawget(class, "__name")
      if name and not name:find("FILE") then
        for key in next, class do if not common[key] then names[#names + 1] = name .. "." .. key end end
      end
    end
    return names)");
  EXPECT_GT(found.items().size(), 40U);
  const std::vector<LuaEntry> entries = lua_entries();
  for (const Tree& item : found.items()) {
    const std::string name = item.as_string();
    // Operators and the like are told of once, whatever classes share them.
    const std::string_view key = std::string_view(name).substr(name.rfind('.'));
    const bool shared = key.starts_with(".__") && std::ranges::any_of(told, [&](const std::string& one) {
                          return one.starts_with("tensor.") && one.ends_with(key);
                        });
    EXPECT_TRUE(told.contains(name) || shared) << name << " has no entry: scripting/reference.cpp lists them by file";
  }
}

// Each of nacre.ops has an example, and gives what it says.
TEST_F(LuaReferenceOfAnEngine, OperationsGiveWhatTheirExamplesSay) {
  run(R"(
    function close(a, b)
      if type(a) == "number" and type(b) == "number" then
        return a == b or (a ~= a and b ~= b) or math.abs(a - b) <= 1e-3 * math.max(math.abs(b), 1e-3)
      end
      if type(a) ~= "table" or type(b) ~= "table" then return a == b end
      for i = 1, math.max(#a, #b) do if not close(a[i], b[i]) then return false end end
      return true
    end
    function tables(...)
      local all = table.pack(...)
      for i, tensor in ipairs(all) do all[i] = tensor:totable() end
      return all
    end)");
  std::vector<std::string> operations, examples;
  for (const ClassInfo<Layer>& info : operation_layers()) operations.emplace_back(info.aliases.back().substr(4));
  for (const scripting::OperationExample& example : scripting::operation_examples()) {
    examples.emplace_back(example.operation);
    const std::string script =
        fmt::format("local ops, tensor, nan = nacre.ops, nacre.tensor, 0 / 0 return close(tables({}), {{{}}})",
                    example.call, example.result);
    EXPECT_NE(example.call.find(example.operation), std::string_view::npos) << example.call;
    EXPECT_EQ(test::message_of([&] { EXPECT_EQ(run(script), Tree(true)) << example.call; }), "") << example.call;
  }
  EXPECT_EQ(examples, operations);
}

TEST(LuaReadme, ItsScriptsRun) {
  const std::filesystem::path before = std::filesystem::current_path();
  const test::TemporaryFolder folder;
  std::filesystem::current_path(folder.path());
  const std::string readme = read_file(std::filesystem::path(NACRE_SOURCE_DIR) / "README.md"), fence = "```lua\n";
  int scripts = 0;
  for (std::size_t at = 0; (at = readme.find(fence, at)) != std::string::npos; at += fence.size(), ++scripts) {
    std::string script = readme.substr(at + fence.size(), readme.find("```", at + fence.size()) - at - fence.size());
    if (const std::size_t count = script.find("60000"); count != std::string::npos) script.replace(count, 5, "100");
    testing::internal::CaptureStdout();
    const std::string message = test::message_of([&] { Engine().run(script, "readme.lua"); });
    const std::string printed = testing::internal::GetCapturedStdout();
    EXPECT_EQ(message, "") << script;
    EXPECT_NE(printed, "");
  }
  EXPECT_EQ(scripts, 3);
  std::filesystem::current_path(before);
}

class LuaExamples : public testing::TestWithParam<LuaEntry> {
 protected:
  void SetUp() override { std::filesystem::current_path(folder_.path()); }
  void TearDown() override { std::filesystem::current_path(before_); }

  const std::filesystem::path before_ = std::filesystem::current_path();
  test::TemporaryFolder folder_;
};

TEST_P(LuaExamples, Run) {
  const LuaEntry& entry = GetParam();
  const bool shows =
      entry.example.find(":summary(") != std::string::npos || entry.example.find("print(") != std::string::npos;
  testing::internal::CaptureStdout();
  const std::string message = test::message_of([&] { Engine().run(entry.example, "example.lua"); });
  const std::string printed = testing::internal::GetCapturedStdout();
  EXPECT_EQ(message, "") << entry.example;
  EXPECT_EQ(printed.empty(), !shows) << printed;
}

std::string test_name(const testing::TestParamInfo<LuaEntry>& info) {
  std::string name = info.param.name;
  std::ranges::replace_if(
      name, [](char letter) { return !std::isalnum(static_cast<unsigned char>(letter)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(OfThe, LuaExamples, testing::ValuesIn(lua_entries()), test_name);

}  // namespace
}  // namespace nacre
