// A Lua state, and the border between Lua and C++.
//
// A Lua error jumps out of C++ frames without running destructors, and a C++ exception must not pass through Lua's. So
// the border is crossed in one way. Lua calls bound<function>: an ordinary C++ function that reads its arguments with
// calls that neither raise nor allocate, throws what it likes, and returns what Lua shall get. That is pushed under
// lua_pcall by code that holds nothing. What was thrown becomes Lua's error, a text that begins with the script's line,
// and when no script catches it, the Error it was.
//
// Objects of C++ lie outside of Lua's memory: userdata hold only a number, by which the state knows object and class.
// Whatever a script does to metatables, nothing is taken for what it is not, and nothing is used after its end.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "backend/core/stop_flag.h"
#include "backend/core/tensor.h"
#include "formats/config.h"

extern "C" {
#include <lauxlib.h>
#include <lua.h>
}

namespace nacre::scripting {

class Call;
class Out;
class State;
using Results = std::vector<Out>;

struct Class;

// An object of C++ that Lua may hold.
struct Object {
  const Class* kind = nullptr;
  std::shared_ptr<void> value{};
  std::size_t bytes = 0;  // of memory that it keeps, for the pace of the garbage collector
};

// What the reference says of a function, method or property.
struct Entry {
  const char* usage = "";  // "tensor:reshape(shape)"
  const char* doc = "";    // one to three sentences
  const char* example =
      "";  // a script that runs; its checks are assert(…). What all its lines are indented by is not shown
  using Keys = const FieldTable& (*)();  // fields_of<Config>
  std::array<Keys, 3> keys{};            // of the table of names that it takes; null: no more
};

// What is found under a key of an object: a method, or a property.
struct Member {
  const char* name;
  lua_CFunction method = nullptr;
  Out (*get)(Call&) = nullptr;   // the object is argument 1
  void (*set)(Call&) = nullptr;  // the new value is argument 3; null: it cannot be set
  Entry entry{};
};

// A function of a table, nacre's or one in it, or a metamethod.
struct Function {
  const char* name;
  lua_CFunction function;
  Entry entry{};
};

// What people look for by a word of another library, and what it is here: "astype", "tensor:cast(dtype)".
using OtherWord = std::pair<std::string_view, std::string_view>;
// For whoever asked for a name that is not there: what it is here, or the nearest of the known ones.
std::string name_hint(std::string_view name, std::span<const OtherWord> words,
                      const std::vector<std::string_view>& known);

// A kind of objects; one constant for each.
struct Class {
  const char* name;  // for messages: "tensor"
  std::span<const Member> members;
  std::span<const Function> metamethods;             // besides those that every class has
  std::string (*text)(const Object&);                // what tostring() gives
  bool (*same)(const void*, const void*) = nullptr;  // what == means; null: the same object
  // What other keys give, or none of them; null: none. A function is given for its key whatever the object, when
  // `keeps_methods`: it is found without a call the next time.
  std::optional<Out> (*other)(Call&, std::string_view key) = nullptr;
  bool keeps_methods = false;
  // Sets such a key to argument 3, or does not know it; null: none can be set.
  bool (*set_other)(Call&, std::string_view key) = nullptr;
  void (*other_names)(const Object&,
                      std::vector<std::string_view>&) = nullptr;  // adds what such keys may be, for hints
  std::span<const OtherWord> other_words{};
  // What stands under keys that are no texts, object[3], and how it is set: the object is argument 1, the key 2, the
  // new value 3. Null: there are no such keys.
  Out (*at)(Call&) = nullptr;
  void (*set_at)(Call&) = nullptr;
  // Of classes that operations (nacre.ops.NAME, +, -, …) take as operands: applies one.
  Results (*apply)(Call&, std::string_view operation, const std::vector<Object>& operands, Tree arguments) = nullptr;
};

// The names of an object's members.
std::vector<std::string_view> member_names(const Object& object);

// The class of objects that hold a T; specialised beside each.
template <class T>
const Class& class_of();

template <class T>
Object make_object(T value, std::size_t bytes = 0) {
  return {&class_of<T>(), std::make_shared<T>(std::move(value)), bytes};
}

// Whether a state is still there.
using StateHandle = std::weak_ptr<State* const>;

// A value of Lua that C++ keeps: a function, a table. Used no longer than its state lives, and not part of what it
// holds: Lua's garbage collector does not see through it.
class Kept {
 public:
  Kept(const State& state, int reference);
  ~Kept();
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  int reference() const { return reference_; }  // in Lua's registry
  const StateHandle& state() const { return state_; }

 private:
  StateHandle state_;
  int reference_;
};
using KeptRef = std::shared_ptr<const Kept>;
// Functions of Lua in the places of objects, which Call::tree hands over like them.
template <>
const Class& class_of<KeptRef>();

// A value on its way to Lua.
class Out {
 public:
  struct Entry;
  using List = std::vector<Out>;
  using Named = std::vector<Entry>;
  struct Mixed;  // a table with a list and names
  struct At {    // what lies on the stack of the call, as one of its results
    int index;
  };
  struct Function {
    lua_CFunction function;
    std::string name{};  // its upvalue; "": it has none
  };
  struct Elements {  // a tensor as nested tables
    Tensor tensor;
  };
  using Value = std::variant<std::monostate, bool, std::int64_t, double, std::string, Object, Function, Elements, List,
                             Named, At, KeptRef, std::shared_ptr<const Mixed>, Shape>;

  Out();
  Out(bool value);
  Out(std::int64_t value);
  Out(double value);
  Out(std::string value);
  Out(std::string_view value);
  Out(const char* value);
  Out(const Tree& tree);    // null: nil
  Out(const Shape& shape);  // -1 where a size is open
  Out(Object object);
  Out(Function function);
  Out(Elements elements);
  Out(List items);
  Out(Named entries);
  Out(Mixed table);
  Out(At place);
  Out(KeptRef kept);

  const Value& value() const { return value_; }

 private:
  Value value_;
};
struct Out::Entry {
  std::string key;
  Out value;
};
struct Out::Mixed {
  List items;
  Named entries;
};

// Does work for Lua; see bound. A count of results, or no return: it raised.
int enter(lua_State* lua, Results (*work)(Call&));

// A C++ function as one of Lua: Results, one Out or nothing of Call&.
template <auto function>
int bound(lua_State* lua) {
  return enter(lua, [](Call& call) -> Results {
    using Result = decltype(function(call));
    if constexpr (std::is_void_v<Result>) return function(call), Results();
    else if constexpr (std::is_same_v<Result, Out>) return {function(call)};
    else return function(call);
  });
}

struct Limits {
  std::size_t memory;                       // bytes that Lua may use
  std::int64_t steps = 0;                   // instructions of Lua; 0: any number
  std::size_t text = 0;                     // bytes of a text, which one step may copy or compare; 0: any number
  int handed = 10'000'000;                  // values that a call hands to C++
  bool handed_in_all = false;               // … that all calls together hand over
  std::int64_t work = 0;                    // of what tensors compute, see graph/flops.h; 0: any
  std::size_t held = 0;                     // bytes that objects keep outside of Lua's memory; 0: any number
  const std::atomic<bool>* stop = nullptr;  // while it is true, Lua ends with the error "interrupted"
};

// Used by one thread. Not copied: Lua knows its address.
class State {
 public:
  explicit State(const Limits& limits);  // without libraries
  explicit State(lua_State* host);       // for a Lua state of somebody else's; see serve
  virtual ~State();
  // Throws an Error for tables that no configuration takes.
  virtual void check_table(const Call&, int /*index*/) const {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  static State& of(lua_State* lua);

  // Lets a Lua state that somebody else has made, and will close, have what `make` gives, unless it has a State
  // already. That ends with the Lua state; it has no limits. `make` gives null when it cannot. Raises.
  static void serve(lua_State* host, State* (*make)(lua_State* host) noexcept);

  lua_State* lua() const { return lua_.get(); }
  const Limits& limits() const { return limits_; }
  bool serves() const { return !lua_.get_deleter().owned; }  // a Lua state of somebody else's
  bool interrupted() const { return limits_.stop && *limits_.stop; }
  std::size_t held_bytes() const { return held_; }  // by the objects that Lua holds
  // How many objects Lua has got so far.
  std::uint64_t adopted() const { return adopted_; }
  StateHandle handle() const { return self_; }
  // From now on as many steps may be taken, and values handed over, as at the start.
  // Ends what runs while it lives when the limits are reached.
  StopFlag bounds() { return StopFlag(limits_.stop, limits_.work > 0 ? &work_left_ : nullptr); }
  void renew() { steps_ = 0, handed_ = 0, work_left_ = limits_.work; }

  // Calls function(argument), which may raise and holds nothing with a destructor when it does. Its results lie on the
  // stack. Throws Error: what was thrown within, or what Lua says, with the lines of the script on the way.
  void call(lua_CFunction function, void* argument, int results);

  // Puts functions into the table at the top; raises.
  static void set_functions(lua_State* lua, std::span<const Function> functions);
  // Makes the metatable of a class; raises.
  static void open_class(lua_State* lua, const Class& kind);
  // Pushes a value; raises, and holds nothing.
  static void push(lua_State* lua, const Out& out);
  // Counts steps that C takes for a script, where Lua counts none; raises when there are too many.
  static void count_steps(lua_State* lua, std::uint64_t steps);
  // The same without an error: whether there are not too many.
  bool spend(std::uint64_t steps);

 protected:
  // Ends Lua, which runs the finalisers of scripts, and all objects: for destructors whose members those may use.
  void close() noexcept;

 private:
  friend class Call;
  friend class Kept;
  friend int enter(lua_State* lua, Results (*work)(Call&));
  struct Closer {
    bool owned;
    void operator()(lua_State* lua) const {
      if (owned) lua_close(lua);
    }
  };

  static State* find(lua_State* lua);  // null: it has ended, or was never there
  static int end_service(lua_State* lua);
  static void* allocate(void* user, void* block, std::size_t old_size, std::size_t new_size);
  static void watch(lua_State* lua, lua_Debug*);
  static void warn(void* user, const char* message, int continued);
  static int explain(lua_State* lua);
  static int collect(lua_State* lua);
  static void push_object(lua_State* lua, const Object& object);
  static void push_shape(lua_State* lua, const Shape& shape);
  static void set_items(lua_State* lua, const Out::List& items);
  static void set_entries(lua_State* lua, const Out::Named& entries);
  static int attempt(lua_State* lua, Results (*work)(Call&)) noexcept;
  std::uint64_t adopt(const Object& object) noexcept;  // its number; 0: no memory
  void release(std::uint64_t number) noexcept;
  struct Place;
  // Of the object at the index, valid until something is adopted; null: there is none.
  Place* place_at(lua_State* lua, int index);
  const Object* find(lua_State* lua, int index);
  Error failure(lua_State* lua, int status, bool explained);
  void note_calls(lua_State* lua) noexcept;
  void note_hint(lua_State* lua) noexcept;

  Limits limits_;
  std::size_t memory_ = 0;  // that Lua uses
  std::size_t held_ = 0, unreported_ = 0;
  std::int64_t steps_ = 0, work_left_ = limits_.work;
  bool text_too_long_ = false;
  int handed_ = 0;
  bool warnings_ = true, warning_ = false;  // whether they are shown; whether one is being written
  // By their numbers: the lower half is the place, the upper one counts who has been there, so that no number comes
  // twice.
  struct Place {
    Object object;
    std::uint64_t order = 0;  // among all that were adopted
    std::uint32_t visits = 0;
    bool taken = false;
  };
  std::vector<Place> objects_;
  std::vector<std::uint32_t> free_;  // places
  std::uint64_t adopted_ = 0;
  std::string hint_;             // for the last error of Lua itself
  std::optional<Error> thrown_;  // the last Error that became one of Lua's
  std::vector<Mark> calls_;      // of the last error that nobody caught: where the functions on the way were called
  bool object_thrown_ = false;   // the last error was no text; Lua's registry has it, …
  std::string object_text_;      // … and this is what is said of it where nobody catches it
  bool calls_noted_ = false;     // … of thrown_, which C++ passes on from a function of Lua that it called
  bool passed_on_ = false;       // C++ does so
  std::shared_ptr<State* const> self_ = std::make_shared<State* const>(this);
  std::unique_ptr<lua_State, Closer> lua_;  // closed first
};

// "a number", "an error", "nil"
std::string with_article(std::string_view noun);
// The line of the script that runs, from so many levels of calls up; none when no script does.
Mark place_of(lua_State* lua, int level = 0);

// One call from Lua: its arguments, counted from 1. Nothing here raises or allocates in Lua.
class Call {
 public:
  explicit Call(lua_State* lua);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  static const Call& current();  // of this thread
  static bool under_way();       // whether there is one
  // The innermost of this thread in that state; null: none.
  static const Call* innermost(const State& state);

  State& state() const { return state_; }
  lua_State* lua() const { return lua_; }
  int count() const { return count_; }
  Mark place() const { return place_of(lua_); }
  std::string upvalue() const;  // Out::Function::name

  bool given(int index) const { return index <= count_ && !lua_isnil(lua_, index); }
  bool is_table(int index) const { return lua_type(lua_, index) == LUA_TTABLE; }
  // A table without a list: arguments by their names.
  bool is_named(int index) const { return is_table(index) && lua_rawlen(lua_, index) == 0; }
  std::string described(int index) const;  // "a number", "nil", "tensor float32(2, 3)"
  // The error of an argument that is something else.
  Error unwanted(int index, std::string_view wanted) const;

  std::optional<Object> object(int index) const;
  const Class* kind(int index) const;  // of the object there; null: it is none
  // How many objects Lua had got with it when it got the one at the index; see State::adopted.
  std::uint64_t order(int index) const;
  template <class T>
  std::shared_ptr<T> find(int index) const {  // null: something else
    const auto found = object(index);
    return found && found->kind == &class_of<T>() ? std::static_pointer_cast<T>(found->value) : nullptr;
  }
  template <class T>
  std::shared_ptr<T> get(int index, std::string_view wanted) const {
    if (auto value = find<T>(index)) return value;
    throw unwanted(index, wanted);
  }
  // The object whose method this is.
  template <class T>
  std::shared_ptr<T> self() const {
    if (auto value = find<T>(1)) return value;
    throw unwanted(1, std::string("a ") + class_of<T>().name).hint("methods are called with a colon: object:method()");
  }
  std::string text(int index, std::string_view wanted) const;

  // Lets the object at the index be another one from now on, wherever Lua holds it.
  void replace(int index, Object object) const;
  // What the object at the index holds, for changing it; null: it holds something else, or C++ holds it elsewhere too.
  // Valid until Lua runs or collects.
  template <class T>
  T* sole(int index) const {
    const Object* const found = state_.find(lua_, index);
    const bool alone = found && found->kind == &class_of<T>() && found->value.use_count() == 1;
    return alone ? static_cast<T*>(found->value.get()) : nullptr;
  }

  // The value as a tree whose marks are the script's line. A table with 1 … n is a list, one with names, or with other
  // numbers, a mapping; names are sorted, for Lua has no order of them. nacre.null is null. `objects` says what stands
  // for objects; without it, what read_object takes for the object itself.
  using ObjectReader = std::function<Tree(const Object&)>;
  Tree tree(int index, const ObjectReader& objects = {}) const;
  // Calls visit(key, index of the value) for each entry of a table whose keys are texts, in no order; others are
  // errors, but those of the list when `with_list`.
  void each_named(int index, const std::function<void(const std::string& key, int value)>& visit,
                  bool with_list = false) const;
  // Calls visit(index of the value) for each item of a table's list.
  void each_item(int index, const std::function<void(int value)>& visit) const;

  // The key and value of a table, without metamethods. A value is pushed; nil where there is none.
  void push_field(int table, std::string_view key) const;
  void set_field(int table, std::string_view key, const Out& value) const;

  // Keeps the value for later calls.
  KeptRef keep(int index) const;
  KeptRef keep(const Out& value) const;
  // Reads a chunk; the function that it is lies at the top of the stack. Throws a usage Error when it is no Lua.
  void load(const std::string& source, const std::string& name) const;
  // Calls a function of Lua. Its results lie on the stack, from the index that is returned up to lua_gettop(). Throws
  // what it raised.
  int invoke(const Out& function, const std::vector<Out>& arguments) const;
  // For loops of C++ that call functions, which may be none of Lua's: throws when the script shall end.
  void go_on() const;
  // The value that is kept, at the top of the stack.
  int push_kept(const Kept& kept) const;

  // What stands for an object in a tree; see handed_object.
  Tree hand(const Object& object) const;
  // Whether tree() has left numbers for objects.
  bool has_handed() const { return !handed_.empty(); }
  // The object that tree() has left a number for.
  const Object& handed(std::int64_t number) const;

 private:
  friend int enter(lua_State* lua, Results (*work)(Call&));
  friend class State;
  Tree tree_at(int index, const ObjectReader& objects, const Mark& mark, int depth) const;
  Error with_names(const Error& error) const;  // what stands for objects replaced by what they are
  int push(const Results& results) const;

  lua_State* lua_;
  State& state_;
  int count_;
  const Call* outer_;
  mutable std::vector<Object> handed_;
};

// The class name by which a tree stands for an object that exists already: {class_name: …, config: {number: k}}.
inline constexpr std::string_view handed_object = "object of a script";

}  // namespace nacre::scripting
