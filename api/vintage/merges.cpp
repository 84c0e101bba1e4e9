// Keras 1's layer Merge, whose `mode` became layers of their own.
#include "api/vintage/parts.h"

namespace nacre::vintages {

namespace {

struct Mode {
  std::string_view name, class_name;
};
constexpr Mode modes[] = {{"sum", "Add"},     {"mul", "Multiply"}, {"concat", "Concatenate"}, {"ave", "Average"},
                          {"max", "Maximum"}, {"dot", "Dot"},      {"cos", "Dot"}};

}  // namespace

std::vector<Tree> modern_merge(const Tree& entry) {
  const Tree& old = entry["config"];
  const std::string& name = entry["name"].as_string();
  if (const Tree* type = old.find("mode_type"); type && type->is_string() && type->as_string() != "raw")
    throw Error("its mode is Python code, which nacre does not run").about(label_of(entry)).usage();
  const std::string mode = old["mode"].as_string();
  for (const auto& [known, class_name] : modes) {
    if (mode != known) continue;
    const bool cosine = mode == "cos";
    Tree config, layer;
    config.set("name", cosine ? name + "_dot" : name);
    if (class_name == "Concatenate") config.set("axis", old.find("concat_axis") ? old["concat_axis"] : Tree(-1));
    if (class_name == "Dot") {
      config.set("axes", old.find("dot_axes") ? old["dot_axes"] : Tree(-1));
      config.set("normalize", cosine);
    }
    layer.set("class_name", class_name);
    layer.set("config", config);
    std::vector<Tree> entries{functional_entry(layer, config["name"].as_string(), entry["inbound_nodes"])};
    if (!cosine) return entries;
    // Keras 1 gives a cosine one axis more, of size 1 after the batch.
    Tree reshape, shape;
    shape.set("name", name);
    shape.set("target_shape", Tree::Sequence{1, 1});
    reshape.set("class_name", "Reshape");
    reshape.set("config", std::move(shape));
    entries.push_back(functional_entry(std::move(reshape), name, call_on(Tree::Sequence{Tree::Sequence{config["name"], 0, 0}})));
    return entries;
  }
  throw Error("unknown mode '{}' of a Merge", mode).at(old["mode"].mark()).about(label_of(entry)).usage();
}

}  // namespace nacre::vintages
