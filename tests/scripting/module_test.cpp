// nacre in Lua states that somebody else has made.
#include "scripting/module.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "scripting/engine.h"

extern "C" {
#include <lauxlib.h>
#include <lualib.h>
}

namespace nacre {
namespace {

struct Closer {
  void operator()(lua_State* lua) const { lua_close(lua); }
};
using Host = std::unique_ptr<lua_State, Closer>;

// Lua with all its libraries, in which require "nacre" finds the module.
Host open_host(lua_State* lua = luaL_newstate()) {
  Host host(lua);
  luaL_openlibs(host.get());
  luaL_getsubtable(host.get(), LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(host.get(), luaopen_nacre);
  lua_setfield(host.get(), -2, "nacre");
  lua_settop(host.get(), 0);
  return host;
}

// What a chunk returns, or its error, as texts.
std::string run(lua_State* lua, const std::string& source) {
  lua_settop(lua, 0);
  if (luaL_loadbuffer(lua, source.data(), source.size(), "@s.lua") == LUA_OK) lua_pcall(lua, 0, LUA_MULTRET, 0);
  std::string texts;
  for (int i = 1, count = lua_gettop(lua); i <= count; ++i)
    texts += (i > 1 ? ", " : "") + std::string(luaL_tolstring(lua, i, nullptr));
  lua_settop(lua, 0);
  return texts;
}
std::string run(const Host& host, const std::string& source) { return run(host.get(), source); }

TEST(Modules, TrainAndPredict) {
  const Host host = open_host();
  EXPECT_EQ(run(host, "nacre = require 'nacre' return nacre.tensor{{1, 2}, {3, 4}}"),
            "tensor int32(2, 2)\n{{1, 2},\n {3, 4}}");
  EXPECT_EQ(run(host,
                "local m = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}} m:compile{loss = 'mse'} "
                "local h = m:fit(nacre.ones{64, 2}, nacre.ones{64, 1}, {epochs = 5, verbose = false}) "
                "local y = nacre.Model{inputs = m.inputs, outputs = m.outputs}:predict(nacre.ones{3, 2}) "
                "return #h.loss, h.loss[5] < h.loss[1], y.shape[1]"),
            "5, true, 3");
}

TEST(Modules, MistakesHaveTheirLineAndHint) {
  const Host host = open_host();
  EXPECT_EQ(run(host, "nacre = require 'nacre'\nnacre.layers.Dense{unit = 3}"),
            "s.lua:2: layer 'dense' (Dense): unknown key 'unit'\n  hint: did you mean 'units'?");
  EXPECT_EQ(run(host, "return pcall(error)"), "false, nil") << "errors of others are left alone";
  EXPECT_EQ(run(host, "return pcall(function() error{nacre.zeros{1}} end)").substr(0, 14), "false, table: ");
  EXPECT_EQ(run(host, "return nacre.zeroes"), "s.lua:1: nacre has no 'zeroes'\n  hint: did you mean 'zeros'?");
}

TEST(Modules, CallFunctionsOfTheHost) {
  const Host host = open_host();
  EXPECT_EQ(run(host,
                "nacre = require 'nacre' x = nacre.tensor{1.0, 2.0} "
                "return nacre.grad(function(x) return (x * x):sum() end)(x)"),
            "tensor float32(2,) {2, 4}");
  EXPECT_EQ(run(host, "return coroutine.wrap(function() return nacre.compile(function(x) return x * 2 end)(x) end)()"),
            "tensor float32(2,) {2, 4}");
  EXPECT_EQ(run(host, "return nacre.grad(function(x)\nerror('mine')\nend)(x)"), "s.lua:2: mine");
  EXPECT_EQ(run(host, "return pcall(nacre.grad(function(x) error(nil) end), x)"),
            "false, s.lua:1: the script raised an error that is no text (nil)");
  EXPECT_EQ(run(host, "return pcall(nacre.grad(function(x) coroutine.yield(1) end), x)").substr(0, 6), "false,");
}

TEST(Modules, OfTheEngineAreItsGlobalTable) {
  Engine engine;
  EXPECT_TRUE(engine.run("return require 'nacre' == nacre and package.loaded.nacre == nacre").as_bool());
}

TEST(Modules, AreNoGlobalName) {
  const Host host = open_host();
  EXPECT_EQ(run(host, "local nacre = require 'nacre' return _G.nacre"), "nil");
}

TEST(Modules, CoroutinesMadeBeforeCallThem) {
  const Host host = open_host();
  EXPECT_EQ(run(host,
                "before = coroutine.create(function() while true do local nacre = coroutine.yield() "
                "last = nacre.zeros{2}.shape[1] end end) coroutine.resume(before) "
                "nacre = require 'nacre' local good, text = coroutine.resume(before, nacre) return good, text, last"),
            "true, nil, 2");
  EXPECT_EQ(
      run(host, "return coroutine.wrap(function() return coroutine.wrap(function() return nacre.ones{3} end)() end)()"),
      "tensor float32(3,) {1, 1, 1}");
  lua_State* const thread = lua_newthread(host.get());
  EXPECT_EQ(run(thread, "return nacre.ones{1}"), "tensor float32(1,) {1}");
  const Host other = open_host();
  EXPECT_EQ(run(other, "return coroutine.wrap(function() return require('nacre').ones{1} end)()"),
            "tensor float32(1,) {1}")
      << "and may be the first to";
}

TEST(Modules, OfSeveralStatesKnowNothingOfOneAnother) {
  Host one = open_host();
  const Host other = open_host();
  Engine engine;
  for (lua_State* host : {one.get(), other.get()})
    EXPECT_EQ(run(host, "nacre = require 'nacre' t = nacre.ones{2} return t"), "tensor float32(2,) {1, 1}");
  engine.run("t = nacre.zeros{2}");
  one.reset();
  EXPECT_EQ(run(other, "return t"), "tensor float32(2,) {1, 1}");
  EXPECT_EQ(engine.run("return t:totable()").text(), "[0, 0]");
}

TEST(Modules, AreOpenedOnceHoweverOftenTheyAreAskedFor) {
  const Host host = open_host();
  EXPECT_EQ(
      run(host,
          "local first = require 'nacre' t = first.ones{1} local same = require 'nacre' == first "
          "package.loaded.nacre = nil local again = require 'nacre' return same, t, again.ones{2}, t == t, t.shape[1]"),
      "true, tensor float32(1,) {1}, tensor float32(2,) {1, 1}, true, 1");
}

TEST(Modules, EndWithTheStateAndAllThatItHolds) {
  for (const char* source :
       {"local Twice = nacre.Layer('Twice') function Twice:call(x) return x * 2 end twice = Twice{} "
        "twice(nacre.ones{2}) "
        "m = nacre.Sequential{nacre.Input{2}, Twice{}, nacre.layers.Dense{units = 1}} m:compile{loss = 'mse'} "
        "m:fit(nacre.ones{8, 2}, nacre.ones{8, 1}, {verbose = false, callbacks = {{on_epoch_end = function() n = 1 "
        "end}}}) "
        "assert(n == 1)",
        "g = nacre.grad(function(x) return x:sum() end) f = nacre.compile(function(x) return x * 2 end) "
        "g(nacre.ones{2}) f(nacre.ones{2})",
        "t = nacre.ones{1000} m = nacre.Sequential{nacre.Input{2}, nacre.layers.Dense{units = 1}}",
        "a = setmetatable({nacre.ones{2}}, {__gc = function(self) self[1] = nacre.ones{3}; kept = self; nacre.zeros{4} "
        "end})",
        "c = coroutine.create(function() local t = nacre.ones{2} coroutine.yield() end) coroutine.resume(c)",
        "collectgarbage('generational') for i = 1, 100 do t = {t, nacre.ones{i}} end"}) {
    Host host = open_host();
    EXPECT_EQ(run(host, "nacre = require 'nacre' " + std::string(source)), "") << source;
  }
  Host host = open_host();
  EXPECT_EQ(run(host,
                "late = setmetatable({}, {__gc = function(self) said = pcall(self.nacre.zeros, {1}) self.t = nil end}) "
                "late.nacre = require 'nacre' late.t = late.nacre.ones{1}"),
            "")
      << "what is collected after it";
}

TEST(Modules, AreGoneWhenAScriptEndsThem) {
  const Host host = open_host();
  EXPECT_EQ(run(host,
                "nacre = require 'nacre' t = nacre.ones{1} n = 0 local registry = debug.getregistry() "
                "for key, value in pairs(registry) do if type(key) == 'userdata' and type(value) == 'userdata' then "
                "registry[key] = nil n = n + 1 end end collectgarbage() return n"),
            "1");
  EXPECT_EQ(run(host, "return nacre.ones{1}"), "s.lua:1: nacre has ended in this Lua state");
  EXPECT_EQ(run(host, "return pcall(function() return t.shape end)"),
            "false, s.lua:1: nacre has ended in this Lua state");
  EXPECT_EQ(run(host, "t = nil collectgarbage() package.loaded.nacre = nil return require('nacre').ones{1}"),
            "tensor float32(1,) {1}")
      << "and come again";
}

TEST(Modules, SurviveWhatScriptsDoToTheRegistry) {
  for (const char* deed :
       {"registry[key] = io.stdout", "registry[key] = nacre.ones{1}", "registry[key] = 1",
        "local m = debug.getmetatable(value) m.__gc() m.__gc(1) m.__gc(io.stdout) m.__gc(value) m.__gc(value)"}) {
    const Host host = open_host();
    EXPECT_EQ(run(host,
                  "nacre = require 'nacre' t = nacre.ones{1} local registry = debug.getregistry() "
                  "for key, value in pairs(registry) do if type(key) == 'userdata' and type(value) == 'userdata' then "
                  "deed = function() " +
                      std::string(deed) +
                      " end break end end "
                      "local good, text = pcall(deed) if not good then return text end collectgarbage()"),
              "")
        << deed;
    run(host, "return nacre.ones{1}, t.shape, t");
  }
}

// Lua's allocator, which gives nothing more after so many times; 0: it always does.
struct Allocations {
  int left = 0;
  bool used_up = false;
  static void* allocate(void* user, void* block, std::size_t old_size, std::size_t size) {
    auto& self = *static_cast<Allocations*>(user);
    if (size == 0) return std::free(block), nullptr;
    if (self.left > 0 && (!block || size > old_size)) {
      if (self.left == 1) return self.used_up = true, nullptr;
      --self.left;
    }
    return std::realloc(block, size);
  }
};

TEST(Modules, SurviveTheEndOfMemoryAnywhere) {
  const std::string source =
      "local nacre = require 'nacre' local t = nacre.tensor{{1, 2}, {3, 4}} local s = t.shape pcall(nacre.zeros, 'x') "
      "return #t:totable(), tostring(t), nacre.layers.Dense{units = 1}.name";
  int failed = 0;
  for (int n = 2;; ++n) {
    Allocations allocations;
    Host host = open_host(lua_newstate(Allocations::allocate, &allocations));
    luaL_loadstring(host.get(), source.c_str());
    allocations.left = n;
    const int status = lua_pcall(host.get(), 0, 1, 0);
    allocations.left = 0;
    if (!allocations.used_up) {
      EXPECT_EQ(status, LUA_OK) << luaL_tolstring(host.get(), -1, nullptr);
      break;
    }
    failed += status != LUA_OK;
    EXPECT_EQ(run(host, source), "2, tensor int32(2, 2)\n{{1, 2},\n {3, 4}}, dense") << "with memory it goes on";
    ASSERT_LT(n, 100'000);
  }
  EXPECT_GT(failed, 100);
}

}  // namespace
}  // namespace nacre
