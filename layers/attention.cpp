#include "layers/attention.h"

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/reduce.h"
#include "backend/graph/ops/shape.h"
#include "layers/arguments.h"
#include "layers/attend.h"
#include "layers/emit.h"

namespace nacre {

namespace {

// What both have in common; how queries and keys are compared is the derived class's.
template <class Config>
class AttentionBase : public ConfiguredLayer<Config> {
 public:
  using ConfiguredLayer<Config>::ConfiguredLayer;
  bool supports_masking() const override { return true; }
  int input_count() const override { return 0; }
  std::vector<std::string_view> keyword_names() const override { return {"use_causal_mask", "return_attention_scores"}; }

 protected:
  // (…, T, S)
  virtual Value scores(Context& context, Value query, Value key) const = 0;
  // Scores are q · k.
  virtual bool plain() const { return false; }

  void check(const std::vector<Shape>& inputs) const override {
    need(inputs.size() == 2 || inputs.size() == 3, "got {} inputs, wanted [query, value] or [query, value, key]",
         inputs.size());
    const Shape &query = inputs[0], &value = inputs[1], &key = inputs.back();
    for (const Shape& shape : inputs) emit::want_rank_at_least(shape, 2);
    need(same(query[-1], key[-1]), "got query {} and key {}, wanted the same size in the last axis", query, key);
    need(same(key[-2], value[-2]), "got value {} and key {}, wanted as many keys as values", value, key);
  }
  Values call(Context& context, const CallArguments& arguments) override {
    const Value query = arguments.inputs[0], value = arguments.inputs[1], key = arguments.inputs.back();
    Value sight = arguments.masks[1];
    if (sight && sight.shape().rank() < query.shape().rank())  // else it is one for each query and key already
      sight = ops::expand_dims(sight, sight.shape().rank() - 1);
    const bool causal = flag(arguments, "use_causal_mask"), wants_weights = flag(arguments, "return_attention_scores");
    const emit::AttentionForm form{Blind::nearly_even, this->config_.dropout, this->config_.seed};
    Value output, weights;
    const bool batches_fit = same(query.shape()[0], key.shape()[0]) && same(query.shape()[0], value.shape()[0]);
    if (plain() && !wants_weights && query.shape().rank() == 3 && batches_fit) {  // the op has heads: one
      const auto with_head = [](Value x) { return ops::expand_dims(x, 2); };
      if (sight) sight = ops::expand_dims(sight, 1);
      output = ops::squeeze(emit::attend(context, with_head(query), with_head(key), with_head(value), sight, causal, 1,
                                         form, this->path()),
                            2);
    } else {
      if (causal) {
        const Value by_place = emit::causal_sight(context.graph(), query.shape()[-2], key.shape()[-2]);
        sight = sight ? ops::logical_and(sight, by_place) : by_place;
      }
      const Value compared = ops::cast(scores(context, query, key), ops::score_dtype(query.dtype()));
      const emit::Attended attended = emit::attend(context, compared, value, sight, form, this->path());
      output = attended.output;
      weights = attended.kept_weights;
    }
    if (const Value counts = arguments.masks[0])
      output = ops::select(ops::expand_dims(counts, counts.shape().rank()), output, ops::scalar_like(output, 0));
    if (!wants_weights) return {output};
    return {output, weights};
  }
  Values compute_masks(Context&, const CallArguments& arguments, const Values& outputs) override {
    Values masks(outputs.size());
    masks[0] = arguments.masks[0];
    return masks;
  }

  // f(q + k) for each query and key, summed over the features.
  template <class Function>
  static Value compared(Value query, Value key, Function&& function) {
    const int rank = query.shape().rank();
    const Value sums = ops::expand_dims(query, rank - 1) + ops::expand_dims(key, rank - 2);
    return ops::sum(function(sums), {-1});
  }
};

// Luong et al., "Effective approaches to attention-based neural machine translation" (2015).
class AttentionLayer final : public AttentionBase<AttentionConfig> {
 public:
  using AttentionBase::AttentionBase;
  Tree config_tree(Style style) const override {
    Tree tree = AttentionBase::config_tree(style);
    // Reading .h5 files, Keras takes the word "dot" for its function of that name; without the key it is the default.
    if (style == Style::keras && config_.score_mode == ScoreMode::dot) tree.erase("score_mode");
    return tree;
  }

 protected:
  void build(const std::vector<Shape>&) override {
    if (config_.use_scale) scale_ = add_weight("scale", {}, "Ones");
    if (config_.score_mode == ScoreMode::concat) concat_weight_ = add_weight("concat_score_weight", {}, "Ones");
  }
  bool plain() const override { return config_.score_mode == ScoreMode::dot && !scale_; }
  Value scores(Context& context, Value query, Value key) const override {
    const auto scaled = [&](Value x) { return scale_ ? x * ops::cast(value(context, scale_), x.dtype()) : x; };
    if (config_.score_mode == ScoreMode::dot) return scaled(emit::scores(query, key));
    return value(context, concat_weight_) * compared(query, key, [&](Value sums) { return ops::tanh(scaled(sums)); });
  }

 private:
  VariableRef scale_, concat_weight_;
};

// Bahdanau et al., "Neural machine translation by jointly learning to align and translate" (2015).
class AdditiveAttentionLayer final : public AttentionBase<AdditiveAttentionConfig> {
 public:
  using AttentionBase::AttentionBase;

 protected:
  void build(const std::vector<Shape>& inputs) override {
    if (config_.use_scale) scale_ = add_weight("scale", {emit::known_size(inputs[0], -1)}, "GlorotUniform");
  }
  Value scores(Context& context, Value query, Value key) const override {
    return compared(query, key,
                    [&](Value sums) { return scale_ ? value(context, scale_) * ops::tanh(sums) : ops::tanh(sums); });
  }

 private:
  VariableRef scale_;
};

}  // namespace

LayerRef Attention(AttentionConfig config, LayerOptions options) {
  return std::make_shared<AttentionLayer>(std::move(config), std::move(options));
}
LayerRef AdditiveAttention(AdditiveAttentionConfig config, LayerOptions options) {
  return std::make_shared<AdditiveAttentionLayer>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> attention_layers() {
  return {layer_info<AttentionLayer>(), layer_info<AdditiveAttentionLayer>()};
}

}  // namespace nacre
