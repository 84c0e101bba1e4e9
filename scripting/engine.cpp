#include "scripting/engine.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "api/version.h"
#include "formats/file.h"
#include "scripting/bindings.h"
#include "scripting/lambda.h"
#include "scripting/prompt/readable.h"
#include "scripting/sandbox.h"
#include "scripting/tensors/operations.h"

extern "C" {
#include <lualib.h>
}

namespace nacre {

namespace scripting {

namespace {

std::size_t half_of_the_machine() {
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGE_SIZE)) / 2;
}

void refuse_name_of_nacre(Call& call) { refuse_name(call, "nacre"); }

// nacre.clock()
Out clock(Call&) { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// With require "nacre" too, so that a script runs in any Lua that has the module.
int open(lua_State* lua) {
  luaL_openlibs(lua);
  lua_pushcfunction(lua, print_readable);
  lua_setglobal(lua, "print");
  luaL_getsubtable(lua, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  push_nacre(lua);
  lua_pushvalue(lua, -1);
  lua_setfield(lua, -3, "nacre");
  lua_setglobal(lua, "nacre");
  return 0;
}

struct Script {
  const std::string& source;
  const std::string& name;  // Lua's: "@script.lua"
  const std::string& shown;
  const std::vector<std::string>& arguments;
  const std::vector<std::string>& command;
  bool loaded = false;
};

int run(lua_State* lua) {
  auto& script = *static_cast<Script*>(lua_touserdata(lua, 1));
  lua_settop(lua, 0);
  lua_newtable(lua);  // arg
  lua_Integer index = -static_cast<lua_Integer>(script.command.size());
  for (const std::string& word : script.command)
    lua_pushlstring(lua, word.data(), word.size()), lua_rawseti(lua, 1, index++);
  lua_pushlstring(lua, script.shown.data(), script.shown.size());
  lua_rawseti(lua, 1, 0);
  for (const std::string& word : script.arguments)
    lua_pushlstring(lua, word.data(), word.size()), lua_rawseti(lua, 1, ++index);
  lua_setglobal(lua, "arg");
  if (luaL_loadbufferx(lua, script.source.data(), script.source.size(), script.name.c_str(), "t") != LUA_OK)
    return lua_error(lua);
  script.loaded = true;
  const auto count = static_cast<int>(script.arguments.size());
  luaL_checkstack(lua, count + 1, "too many arguments");
  for (const std::string& word : script.arguments) lua_pushlstring(lua, word.data(), word.size());
  lua_call(lua, count, 1);
  return 1;
}

std::string standard_input() {
  std::string text;
  char bytes[1 << 14];
  while (!std::feof(stdin) && !std::ferror(stdin)) text.append(bytes, std::fread(bytes, 1, sizeof bytes, stdin));
  if (std::ferror(stdin)) throw Error("standard input cannot be read").usage();
  return text;
}

}  // namespace

std::span<const Function> engine_functions() {
  static constexpr Function functions[] = {
      {"clock",
       bound<clock>,
       {"nacre.clock()", "Seconds, of which differences tell how long something took. os.clock() adds up all threads.",
        "local start = nacre.clock()\nassert(nacre.clock() >= start)"}}};
  return functions;
}

std::string script_text(std::string source) {
  if (source.starts_with("\xef\xbb\xbf")) source.erase(0, 3);
  if (source.starts_with('#')) source.erase(0, source.find('\n'));  // #!/usr/bin/env -S nacre lua
  return source;
}

void open_nacre(lua_State* lua) {
  open_tensors(lua);
  open_symbols(lua);
  open_creation(lua);
  open_random(lua);
  open_files(lua);
  open_weights(lua);
  open_layers(lua);
  open_classes(lua);
  open_models(lua);
  open_data(lua);
  open_autograd(lua);
  open_compile(lua);
  open_control_flow(lua);
  open_walks(lua);
  open_custom_gradient(lua);
  open_jacobian(lua);
  open_callbacks(lua);
  open_custom(lua);
  State::set_functions(lua, engine_functions());
  lua_pushlightuserdata(lua, nullptr);
  lua_setfield(lua, -2, "null");
  lua_pushlightuserdata(lua, nullptr);
  lua_setfield(lua, -2, "newaxis");
  const std::string_view number = version();
  lua_pushlstring(lua, number.data(), number.size());
  lua_setfield(lua, -2, "version");
}

namespace {

constexpr OtherWord other_words[] = {
    {"load_model", "nacre.load(path)"},
    {"save", "model:save(path), or nacre.save_npy(path, tensor)"},
    {"models", "nacre.Sequential and nacre.Model"},
    {"keras", "the table nacre itself"},
    {"nn", "nacre.layers"},
    {"layer", "nacre.layers"},
    {"optim", "nacre.optimizers"},
    {"array", "nacre.tensor(table)"},
    {"Tensor", "nacre.tensor(table)"},
    {"cat", "nacre.ops.concatenate"},
    {"seed", "nacre.set_seed(n)"},
    {"manual_seed", "nacre.set_seed(n)"},
    {"no_grad", "not needed: nothing is recorded outside of nacre.grad and its like"},
    {"GradientTape", "nacre.value_and_grad(f)"},
    {"function", "nacre.compile(f)"},
    {"jit", "nacre.compile(f)"},
};

}  // namespace

void refuse_name(const Call& call, std::string_view table) {
  const std::string name = call.text(2, "a name");
  std::vector<std::string> names;
  if (call.is_table(1)) call.each_named(1, [&](const std::string& key, int) { names.push_back(key); });
  std::sort(names.begin(), names.end());
  Error error("{} has no '{}'", table, name);
  if (std::ranges::find(other_words, name, &OtherWord::first) == std::end(other_words)) {
    if (operations_namespace().find(name)) error.hint(fmt::format("here it is nacre.ops.{}", name));
    for (const Namespace* space : namespaces())
      if (space->find(name)) error.hint(fmt::format("here it is nacre.{}.{}", space->name, name));
  }
  throw error.hint(name_hint(name, other_words, {names.begin(), names.end()})).usage();
}

void push_nacre(lua_State* lua) {
  luaL_checkstack(lua, 8, nullptr);
  push_indexed(lua, bound<refuse_name_of_nacre>);
  open_nacre(lua);
}

}  // namespace scripting

class Engine::Implementation {
 public:
  explicit Implementation(const EngineOptions& options) : state_(made(options)) {}

  scripting::EngineState& state() { return *state_; }

  // `wanted`: whether the script's result is.
  Tree run(std::string source, const std::string& chunk, const std::string& shown,
           const std::vector<std::string>& arguments, const std::vector<std::string>& command, bool wanted) {
    source = scripting::script_text(std::move(source));
    state_->definitions().chunks.emplace(chunk, source);
    scripting::Script script{source, chunk, shown, arguments, command};
    const int top = lua_gettop(state_->lua());
    try {
      state_->call(scripting::run, &script, 1);
      Tree result = wanted ? result_at_top() : Tree();
      lua_settop(state_->lua(), top);
      return result;
    } catch (Error& error) {
      lua_settop(state_->lua(), top);
      if (!script.loaded) error.usage();
      throw;
    }
  }

 private:
  Tree result_at_top() {
    return scripting::Call(state_->lua()).tree(-1, [](const scripting::Object& object) -> Tree {
      throw Error("the script returns {}, wanted numbers, texts or tables", object.kind->text(object)).usage();
    });
  }

  static std::unique_ptr<scripting::EngineState> made(const EngineOptions& options) {
    enable_lua();
    if (options.sandbox) {
      scripting::Limits limits = scripting::script_limits;
      limits.stop = options.stop;
      return std::make_unique<scripting::Sandbox>(limits, stdout);
    }
    auto state = std::make_unique<scripting::EngineState>(scripting::Limits{
        .memory = options.memory ? options.memory : scripting::half_of_the_machine(), .stop = options.stop});
    state->set_processes(options.processes);
    state->call(scripting::open, nullptr, 0);
    return state;
  }

  std::unique_ptr<scripting::EngineState> state_;
};

Engine::Engine(const EngineOptions& options) : implementation_(std::make_unique<Implementation>(options)) {}

Engine::~Engine() = default;

Tree Engine::run(const std::string& source, const std::string& name, const std::vector<std::string>& arguments) {
  return implementation_->run(source, "@" + name, name, arguments, {}, true);
}

void Engine::run_file(const std::filesystem::path& path, const std::vector<std::string>& arguments,
                      const std::vector<std::string>& command) {
  const bool input = path == "-";
  const std::string name = input ? "stdin" : path.string();
  implementation_->run(input ? scripting::standard_input() : read_file(path), "@" + name, path.string(), arguments,
                       command, false);
}

std::size_t Engine::held_bytes() const { return implementation_->state().held_bytes(); }

scripting::EngineState& Engine::state() { return implementation_->state(); }

}  // namespace nacre
