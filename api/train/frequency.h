// How often callbacks act while training runs.
#pragma once

#include "layers/fields.h"

namespace nacre {

namespace callbacks {

// After each epoch, or after a number of batches. Where `batch_word`, "batch" means after every one.
template <bool batch_word>
struct Frequency {
  std::optional<std::int64_t> batches;  // none: each epoch
};
using SaveFrequency = Frequency<false>;
using UpdateFrequency = Frequency<true>;

}  // namespace callbacks

template <bool batch_word>
struct FieldKind<callbacks::Frequency<batch_word>> {
  static void read(const Tree& tree, callbacks::Frequency<batch_word>& value) {
    value = {};
    if (tree == Tree("epoch")) return;
    const bool every = batch_word && tree == Tree("batch");
    if (!every && (!tree.is_number() || tree.as_integer() < 1))
      throw Error("wanted 'epoch'{} or a number of batches, got {}", batch_word ? ", 'batch'" : "", tree.text())
          .at(tree.mark())
          .usage();
    value.batches = every ? 1 : tree.as_integer();
  }
  static Tree write(const callbacks::Frequency<batch_word>& value, Style) {
    return value.batches ? Tree(*value.batches) : Tree("epoch");
  }
  static Tree schema() {
    Tree word, schema;
    word.set("enum", batch_word ? Tree::Sequence{"epoch", "batch"} : Tree::Sequence{"epoch"});
    schema.set("anyOf", Tree::Sequence{std::move(word), schema_type("integer")});
    return schema;
  }
};

}  // namespace nacre
