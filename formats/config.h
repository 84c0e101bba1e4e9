// Reading described configs from trees and writing them back; registries of named classes.
//
// A class that can be named in a configuration ("Conv2D", "Adam", "EarlyStopping") has a described config struct
// and a base class with a Registry. Three spellings are read:
//   relu                                      a bare name: class name, its snake_case form, or an alias
//   {LeakyReLU: {negative_slope: 0.1}}        one key, the name
//   {class_name: Conv2D, config: {...}}       Keras's JSON
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "backend/core/describe.h"
#include "formats/tree.h"

namespace nacre {

// How objects are written: as Keras's JSON, or in the shorter form of our YAML, where what is at its default is left out
// (yaml) or not (full).
enum class Style { keras, yaml, full };

// How a type of field is read, written and described; specialised below for each type that fields have.
template <class T>
struct FieldKind;  // static void read(const Tree&, T&); static Tree write(const T&, Style); static Tree schema();

// One field of a described config, its type erased.
struct Field {
  std::string_view key, help;
  Constraint constraint;
  std::function<void(const Tree&, void* config)> read;  // checks the constraint
  std::function<Tree(const void* config, Style)> write;
  std::function<Tree()> schema;  // JSON Schema of the value, with help as its description
  Tree default_value;            // as written from a default-constructed config, in YAML style
};
using FieldTable = std::vector<Field>;

// The fields of a described config, made once.
template <Described Config>
const FieldTable& fields_of();

// One table of fields and the object whose members it reads into.
struct FieldTarget {
  const FieldTable* fields;
  void* object;
};

// Sets the fields that `mapping` gives (null means: none given) in whichever target knows the key. Unknown keys,
// wrong types and values outside their constraint throw usage Errors with the mark and the nearest known key;
// required fields that are missing throw too. Keys in `ignored` are passed over.
void read_fields(std::span<const FieldTarget> targets, const Tree& mapping, std::span<const std::string_view> ignored = {});

// A mapping of all fields with their present values.
Tree write_fields(const FieldTable& fields, const void* object, Style style);
// JSON Schema of a mapping with these fields: {type: object, properties: …, additionalProperties: false}.
Tree schema_of(std::span<const FieldTable* const> tables);

template <Described Config>
Config read_config(const Tree& mapping) {
  Config config;
  const FieldTarget target{&fields_of<Config>(), &config};
  read_fields({&target, 1}, mapping);
  return config;
}
template <Described Config>
Tree write_config(const Config& config, Style style) {
  return write_fields(fields_of<Config>(), &config, style);
}

// "BatchNormalization" → "batch_normalization", "Conv2D" → "conv2d", "PReLU" → "p_re_lu": Keras's rule.
std::string snake_case(std::string_view class_name);

// One named class of a registry.
template <class Base>
struct ClassInfo {
  std::string_view class_name;
  std::string_view doc;
  std::string_view module;             // where Keras has it: "keras.layers"; "" when Keras has not
  std::vector<const FieldTable*> fields;
  std::function<std::shared_ptr<Base>(const Tree& config)> make;
  std::vector<std::string_view> aliases;
  bool bare_in_keras = false;          // Keras writes just its snake_case name (activations)
  bool qualified = false;              // shares its name with another class: found by its module too, or by an alias

  std::string_view spelling() const { return qualified ? aliases.front() : class_name; }  // in our YAML
};

// Whether two modules are parts of one package: keras.src.ops.numpy and keras.src.ops.nn.
inline bool same_package(std::string_view a, std::string_view b) {
  return a.substr(0, a.rfind('.')) == b.substr(0, b.rfind('.'));
}

// The visible list of the classes of one kind.
template <class Base>
class Registry {
 public:
  Registry(std::string_view kind, std::vector<ClassInfo<Base>> classes) : kind_(kind), classes_(std::move(classes)) {}

  std::string_view kind() const { return kind_; }  // "layer", for messages
  const std::vector<ClassInfo<Base>>& classes() const { return classes_; }
  // For classes of a later folder (models are layers); called once, before the registry is used by several threads.
  void extend(ClassInfo<Base> info) { classes_.push_back(std::move(info)); }
  // By class name, its snake_case form or an alias. The package of a module decides between classes of one name: one
  // that has qualified classes (Keras's operations) has no others.
  const ClassInfo<Base>* find(std::string_view name, std::string_view module = {}) const {
    bool qualified = false;
    for (const auto& info : classes_)
      if (info.qualified && same_package(info.module, module)) {
        if (info.class_name == name) return &info;
        qualified = true;
      }
    for (const auto& info : classes_) {
      if (!info.qualified && !qualified && (info.class_name == name || snake_case(info.class_name) == name)) return &info;
      for (std::string_view alias : info.aliases)
        if (alias == name) return &info;
    }
    return nullptr;
  }
  const ClassInfo<Base>& get(std::string_view name, const Mark& mark = {}, std::string_view module = {}) const {
    if (const auto* info = find(name, module)) return *info;
    // Spelt as the name is: "acuracy" is not meant for the class Accuracy.
    const bool words = !name.empty() && snake_case(name) == name;
    std::vector<std::string> known;
    for (const auto& info : classes_) {
      if (info.doc.empty()) continue;  // not for people
      if (!info.qualified) known.push_back(words ? snake_case(info.class_name) : std::string(info.class_name));
      known.insert(known.end(), info.aliases.begin(), info.aliases.end());
    }
    throw Error("unknown {} '{}'", kind_, name).at(mark).hint(suggestion(name, {known.begin(), known.end()})).usage();
  }

 private:
  std::string_view kind_;
  std::vector<ClassInfo<Base>> classes_;
};

// The registry of a base class; specialised where the list stands.
template <class Base>
Registry<Base>& registry();

// The name and config of an object in any of the three spellings.
struct ObjectSpelling {
  std::string name;
  Tree config;  // null or a mapping
  Mark mark;    // of the name
  std::string module{};  // in Keras's spelling, where it is given
};
ObjectSpelling object_spelling(const Tree& tree, std::string_view kind);

template <class Base>
std::shared_ptr<Base> read_object(const Tree& tree) {
  const ObjectSpelling spelling = object_spelling(tree, registry<Base>().kind());
  const ClassInfo<Base>& info = registry<Base>().get(spelling.name, spelling.mark, spelling.module);
  try {
    return info.make(spelling.config);
  } catch (Error& error) {
    error.at(spelling.mark);
    throw;
  }
}

// {module, class_name, config, registered_name} or {Class: {fields…}} (a class without any becomes its bare name).
Tree spell_object(std::string_view module, std::string_view class_name, Tree config, Style style, bool bare_in_keras);

// What every registered class derives from: knows its class and shows its config. Base is the base class itself.
template <class Base>
class Configurable {
 public:
  virtual ~Configurable() = default;
  virtual std::string_view class_name() const = 0;
  virtual std::string_view module() const { return {}; }  // of qualified classes, which the name alone does not tell
  virtual Tree config_tree(Style style) const = 0;
};

template <class Base>
Tree write_object(const Base& object, Style style) {
  const auto* info = registry<Base>().find(object.class_name(), object.module());
  return spell_object(info ? info->module : "", info && style != Style::keras ? info->spelling() : object.class_name(),
                      object.config_tree(style), style, info && info->bare_in_keras);
}

// Leaves out the fields that are at their defaults.
Tree without_defaults(const FieldTable& fields, Tree config);

// The options that all classes of a kind have and a class's own fields as one mapping, as read_fields takes them apart.
template <Described Options, Described Config>
Tree write_config(const Options& options, const Config& config, Style style) {
  Tree tree = write_config(options, style);
  for (Tree::Entry& own : write_config(config, style).entries()) tree.set(own.key, std::move(own.value));
  return tree;
}
template <Described Options, Described Config>
Tree without_defaults(Tree config) {
  return without_defaults(fields_of<Config>(), without_defaults(fields_of<Options>(), std::move(config)));
}

// Derives an implementation from Base with a config struct that has `class_name`, `doc` and `describe`:
//   class L2 : public Configured<Regularizer, L2Config> { public: using Configured::Configured; … };
template <class Base, Described Config_>
class Configured : public Base {
 public:
  using Config = Config_;
  explicit Configured(Config config = {}) : config_(std::move(config)) {}
  const Config& config() const { return config_; }
  std::string_view class_name() const override { return Config::class_name; }
  Tree config_tree(Style style) const override {
    Tree tree = write_config(config_, style);
    return style == Style::yaml ? without_defaults(fields_of<Config>(), std::move(tree)) : tree;
  }

 protected:
  Config config_;
};

// The registry entry of a Configured class: class_info<Regularizer, L2>("keras.regularizers").
template <class Base, class Class>
ClassInfo<Base> class_info(std::string_view module, std::vector<std::string_view> aliases = {}) {
  return {Class::Config::class_name, Class::Config::doc, module, {&fields_of<typename Class::Config>()},
          [](const Tree& config) -> std::shared_ptr<Base> {
            return std::make_shared<Class>(read_config<typename Class::Config>(config));
          },
          std::move(aliases)};
}

// The registry entry of a class whose constructor takes its config and, after it, the options that all of its kind have.
template <class Base, class Class, Described Options>
ClassInfo<Base> class_info_with(std::string_view module, std::vector<std::string_view> aliases = {}) {
  using Config = typename Class::Config;
  return {Config::class_name, Config::doc, module, {&fields_of<Options>(), &fields_of<Config>()},
          [](const Tree& tree) -> std::shared_ptr<Base> {
            Options options;
            Config config;
            const FieldTarget targets[] = {{&fields_of<Options>(), &options}, {&fields_of<Config>(), &config}};
            read_fields(targets, tree);
            return std::make_shared<Class>(std::move(config), std::move(options));
          },
          std::move(aliases)};
}

// --- kinds of fields ---------------------------------------------------------------------------------------------

// n numbers, written as one when all are meant to be the same: kernel_size: 3 or [3, 5].
template <std::size_t n>
struct Extent {
  std::array<std::int64_t, n> sizes{};
  Extent() = default;
  Extent(std::int64_t all) { sizes.fill(all); }
  Extent(std::array<std::int64_t, n> each) : sizes(each) {}
  std::int64_t operator[](std::size_t axis) const { return sizes[axis]; }
  bool operator==(const Extent&) const = default;
};

Tree schema_type(std::string_view type);  // {type: …}

template <> struct FieldKind<bool> {
  static void read(const Tree& tree, bool& value) { value = tree.as_bool(); }
  static Tree write(bool value, Style) { return value; }
  static Tree schema() { return schema_type("boolean"); }
};
template <> struct FieldKind<std::int64_t> {
  static void read(const Tree& tree, std::int64_t& value) { value = tree.as_integer(); }
  static Tree write(std::int64_t value, Style) { return value; }
  static Tree schema() { return schema_type("integer"); }
};
template <> struct FieldKind<double> {
  static void read(const Tree& tree, double& value) { value = tree.as_number(); }
  static Tree write(double value, Style) { return value; }
  static Tree schema() { return schema_type("number"); }
};
template <> struct FieldKind<std::string> {
  static void read(const Tree& tree, std::string& value) { value = tree.as_string(); }
  static Tree write(const std::string& value, Style) { return value; }
  static Tree schema() { return schema_type("string"); }
};
template <> struct FieldKind<DType> {
  static void read(const Tree& tree, DType& value);
  static Tree write(DType value, Style) { return name_of(value); }
  static Tree schema() { return schema_type("string"); }
};
// A list of sizes; null is an unknown one.
template <> struct FieldKind<Shape> {
  static void read(const Tree& tree, Shape& value);
  static Tree write(const Shape& value, Style);
  static Tree schema();
};
// Anything at all, checked by whoever uses it.
template <> struct FieldKind<Tree> {
  static void read(const Tree& tree, Tree& value) { value = tree; }
  static Tree write(const Tree& value, Style) { return value; }
  static Tree schema() { return Tree::mapping(); }
};
template <class T> struct FieldKind<std::optional<T>> {
  static void read(const Tree& tree, std::optional<T>& value) {
    if (tree.is_null()) value.reset();
    else FieldKind<T>::read(tree, value.emplace());
  }
  static Tree write(const std::optional<T>& value, Style style) { return value ? FieldKind<T>::write(*value, style) : Tree(); }
  static Tree schema() {
    Tree schema;
    schema.set("anyOf", Tree::Sequence{FieldKind<T>::schema(), schema_type("null")});
    return schema;
  }
};
template <class T> struct FieldKind<std::vector<T>> {
  static void read(const Tree& tree, std::vector<T>& values) {
    values.clear();
    for (const Tree& item : tree.items()) {
      FieldKind<T>::read(item, values.emplace_back());
      if constexpr (requires { values.back().share(); })  // a Ref: none is for fields, not for lists
        if (!values.back()) throw Error("wanted an object, got null").at(item.mark()).usage();
    }
  }
  static Tree write(const std::vector<T>& values, Style style) {
    Tree tree = Tree::sequence();
    for (const T& value : values) tree.push(FieldKind<T>::write(value, style));
    return tree;
  }
  static Tree schema() {
    Tree schema = schema_type("array");
    schema.set("items", FieldKind<T>::schema());
    return schema;
  }
};
void read_extent(const Tree& tree, std::span<std::int64_t> sizes);
Tree write_extent(std::span<const std::int64_t> sizes, Style style);  // Keras: always a list (n > 1: of n; n = 1: of one)
Tree extent_schema(std::size_t n);
template <std::size_t n> struct FieldKind<Extent<n>> {
  static void read(const Tree& tree, Extent<n>& value) { read_extent(tree, value.sizes); }
  static Tree write(const Extent<n>& value, Style style) { return write_extent(value.sizes, style); }
  static Tree schema() { return extent_schema(n); }
};
std::size_t read_choice(const Tree& tree, std::span<const std::string_view> names);
Tree choice_schema(std::span<const std::string_view> names);
template <class Enum>
  requires std::is_enum_v<Enum>
struct FieldKind<Enum> {
  static void read(const Tree& tree, Enum& value) { value = static_cast<Enum>(read_choice(tree, EnumNames<Enum>::names)); }
  static Tree write(Enum value, Style) { return EnumNames<Enum>::names[static_cast<std::size_t>(value)]; }
  static Tree schema() { return choice_schema(EnumNames<Enum>::names); }
};
template <Described Config> struct FieldKind<Config> {
  static void read(const Tree& tree, Config& value) { value = read_config<Config>(tree); }
  static Tree write(const Config& value, Style style) { return write_config(value, style); }
  static Tree schema() {
    const FieldTable* table = &fields_of<Config>();
    return schema_of({&table, 1});
  }
};
// A reference into the JSON Schema's definitions: {$ref: "#/$defs/layer"}.
Tree definition_reference(std::string_view kind);
// A named object of a registry, or none: what a config field such as `activation` holds. Objects are shared and, once
// configured, not changed. In C++ it is written by bare name: {.activation = "relu"}.
template <class Base>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}
  Ref(const char* name) : object_(read_object<Base>(Tree(name))) {}
  Ref(const std::string& name) : object_(read_object<Base>(Tree(name))) {}
  template <class Class>
    requires std::is_base_of_v<Base, Class>
  Ref(std::shared_ptr<Class> object) : object_(std::move(object)) {}
  template <class Class>
    requires std::is_base_of_v<Base, Class>
  Ref(Class object) : object_(std::make_shared<Class>(std::move(object))) {}

  explicit operator bool() const { return object_ != nullptr; }
  Base& operator*() const { return *object_; }
  Base* operator->() const { return object_.get(); }
  const std::shared_ptr<Base>& share() const { return object_; }
  bool operator==(const Ref&) const = default;  // the same object

 private:
  std::shared_ptr<Base> object_;
};
template <class Base> struct FieldKind<Ref<Base>> {
  static void read(const Tree& tree, Ref<Base>& value) {
    value = tree.is_null() ? Ref<Base>() : Ref<Base>(read_object<Base>(tree));
  }
  static Tree write(const Ref<Base>& value, Style style) { return value ? write_object<Base>(*value, style) : Tree(); }
  static Tree schema() {
    Tree schema;
    schema.set("anyOf", Tree::Sequence{definition_reference(registry<Base>().kind()), schema_type("null")});
    return schema;
  }
};

void check_constraint(const Constraint& constraint, const Tree& tree);  // numbers (also in lists) and words
void annotate_schema(Tree& schema, std::string_view help, const Constraint& constraint, const Tree& default_value);

template <Described Config>
const FieldTable& fields_of() {
  static const FieldTable table = [] {
    FieldTable fields;
    const Config defaults{};
    Config::describe([&]<class Member, class Owner>(std::string_view key, Member Owner::*member, std::string_view help, auto&&... constraints) {
      Constraint constraint = all_of(constraints...);
      fields.push_back({key, help, constraint,
                        [member, constraint](const Tree& tree, void* config) {
                          Member value{};
                          FieldKind<Member>::read(tree, value);
                          check_constraint(constraint, tree);
                          static_cast<Config*>(config)->*member = std::move(value);
                        },
                        [member](const void* config, Style style) {
                          return FieldKind<Member>::write(static_cast<const Config*>(config)->*member, style);
                        },
                        [] { return FieldKind<Member>::schema(); },
                        FieldKind<Member>::write(defaults.*member, Style::yaml)});
    });
    return fields;
  }();
  return table;
}

}  // namespace nacre
