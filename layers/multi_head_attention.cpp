#include "layers/multi_head_attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/graph/ops/elementwise.h"
#include "backend/graph/ops/shape.h"
#include "layers/arguments.h"
#include "layers/attend.h"
#include "layers/einsum_dense.h"
#include "layers/emit.h"

namespace nacre {

namespace {

struct Heads {
  std::int64_t queries, keys, key_size, value_size;  // numbers of heads, and sizes of each
};

Heads heads_of(const MultiHeadAttentionConfig& config) {
  return {config.num_heads, config.num_heads, config.key_dim, config.value_dim.value_or(config.key_dim)};
}
Heads heads_of(const GroupQueryAttentionConfig& config) {
  return {config.num_query_heads, config.num_key_value_heads, config.head_dim, config.head_dim};
}

// "ab", "cd", "ef" → "abcd,cdef->abef": the axes that stay, those that are summed over, the new ones.
struct Projection {
  std::string equation, new_axes;
};
Projection projection(int staying, int summed, int added) {
  char next = 'a';
  const auto letters = [&](int count) {
    std::string axes;
    for (int i = 0; i < count; ++i) axes += next++;
    return axes;
  };
  const std::string a = letters(staying), b = letters(summed), c = letters(added);
  return {fmt::format("{},{}->{}", a + b, b + c, a + c), c};
}

// Vaswani et al., "Attention is all you need" (2017); with fewer heads of keys than of queries Ainslie et al., "GQA"
// (2023); with a gate Qiu et al., "Gated attention for large language models" (2025).
template <class Config>
class ProjectedAttention final : public ConfiguredLayer<Config> {
  static constexpr bool grouped = std::is_same_v<Config, GroupQueryAttentionConfig>;

 public:
  explicit ProjectedAttention(Config config = {}, LayerOptions options = {})
      : ConfiguredLayer<Config>(std::move(config), std::move(options)), heads_(heads_of(this->config_)) {
    if (heads_.queries % heads_.keys != 0)
      throw Error("got {} heads of queries and {} of keys and values, wanted a multiple", heads_.queries, heads_.keys)
          .about("'num_query_heads'")
          .usage();
    if (flash() && this->config_.dropout > 0)
      throw Error("flash_attention has no dropout")
          .hint("set one of 'flash_attention' and 'dropout' to its default")
          .usage();
  }

  std::vector<std::shared_ptr<Layer>> sublayers() const override {
    std::vector<std::shared_ptr<Layer>> all;
    for (const auto& sublayer : {query_, key_, gate_, value_, output_})
      if (sublayer) all.push_back(sublayer);
    return all;
  }
  bool supports_masking() const override { return true; }
  int input_count() const override { return 0; }
  std::vector<std::string_view> argument_names() const override {
    return {"query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask"};
  }
  std::vector<std::string_view> keyword_names() const override { return {"use_causal_mask", "return_attention_scores"}; }
  bool removes_masks() const override { return !grouped; }
  // Of the projections, not of the layer.
  Ref<Regularizer> activity_regularizer() const override { return {}; }
  Tree config_tree(Style style) const override {
    Tree tree = ConfiguredLayer<Config>::config_tree(style);
    if (style != Style::keras) return tree;
    tree.erase("flash_attention");
    if constexpr (!grouped) {
      tree.set("value_dim", heads_.value_size);
      if (const auto& axes = this->config_.attention_axes)
        tree.set("attention_axes", FieldKind<std::vector<std::int64_t>>::write(axes->axes, style));
    }
    return tree;
  }

 protected:
  void check(const std::vector<Shape>& inputs) const override {
    need(inputs.size() >= 2, "got {} inputs, wanted query and value", inputs.size());
    const Shape &query = inputs[0], &value = inputs[1], &key = inputs[inputs.size() > 2 ? 2 : 1];
    if (grouped) emit::want_rank(query, 3);
    else emit::want_rank_at_least(query, 3);
    for (const Shape& other : {value, key})
      need(other.rank() == query.rank(), "got query {} and {}, wanted the same rank", query, other);
    need(same(value.from(1).first(value.rank() - 2), key.from(1).first(key.rank() - 2)),
         "got value {} and key {}, wanted as many keys as values", value, key);
    const std::vector<std::int64_t> along = attention_axes(query);
    for (int axis = 1; axis < query.rank() - 1; ++axis)
      need(std::find(along.begin(), along.end(), axis) != along.end() || same(query[axis], value[axis]),
           "got query {} and value {}, wanted the same size in axis {}, along which there is no attention", query,
           value, axis);
  }
  void build(const std::vector<Shape>& inputs) override {
    const Shape &query = inputs[0], &value = inputs[1], &key = inputs[inputs.size() > 2 ? 2 : 1];
    const int rank = query.rank();
    const auto dense = [&](std::string name, const Shape& input, int summed, Shape output, Ref<Activation> activation) {
      const auto& c = this->config_;
      const Projection p = projection(rank - 1, summed, output.rank());
      Shape output_shape(std::vector<std::int64_t>(static_cast<std::size_t>(rank - 2), unknown));
      auto layer = EinsumDense({.equation = p.equation,
                                .output_shape = output_shape + output,
                                .activation = std::move(activation),
                                .bias_axes = c.use_bias ? std::optional(p.new_axes) : std::nullopt,
                                .kernel_initializer = c.kernel_initializer,
                                .bias_initializer = c.bias_initializer,
                                .kernel_regularizer = c.kernel_regularizer,
                                .bias_regularizer = c.bias_regularizer,
                                .activity_regularizer = c.activity_regularizer,
                                .kernel_constraint = c.kernel_constraint,
                                .bias_constraint = c.bias_constraint},
                               {.name = std::move(name), .dtype = this->dtype()})
                       .share();
      layer->ensure_built({input});
      return layer;
    };
    query_ = dense("query", query, 1, {heads_.queries, heads_.key_size}, "linear");
    key_ = dense("key", key, 1, {heads_.keys, heads_.key_size}, "linear");
    if (this->config_.use_gate) gate_ = dense("gate", query, 1, {heads_.queries, heads_.value_size}, "sigmoid");
    value_ = dense("value", value, 1, {heads_.keys, heads_.value_size}, "linear");
    output_ = dense("attention_output", query.first(rank - 1) + Shape{heads_.queries, heads_.value_size}, 2,
                    result_features(query), "linear");
  }

  Values call(Context& context, const CallArguments& arguments) override {
    const bool wants_weights = flag(arguments, "return_attention_scores");
    need(!flash() || !wants_weights, "flash_attention has no weights to return");
    const Value query_input = arguments.inputs[0], value_input = arguments.inputs[1];
    const Value given_key = argument(*this, arguments, "key"), key_input = given_key ? given_key : value_input;
    const auto projected = [&](Layer& layer, Value x) { return layer(context, {.inputs = {x}}).outputs.front(); };
    const Value gate = gate_ ? projected(*gate_, query_input) : Value();
    const Arrangement arrangement(attention_axes(query_input.shape()), query_input.shape().rank() + 1);
    const std::int64_t repeats = heads_.queries / heads_.keys;
    const Value query = projected(*query_, query_input);
    Value key = projected(*key_, key_input), value = projected(*value_, value_input);
    const Shape weights_shape = arrangement.weights_shape(query.shape(), key.shape());
    const Sight seen = sight(context.graph(), arguments);
    const double scale = 1 / std::sqrt(static_cast<double>(heads_.key_size));
    // Keras has two ways of computing attention, which differ for queries that have no key in sight.
    const bool direct = this->config_.dropout == 0 && !wants_weights && query.shape().rank() == 4;
    const emit::AttentionForm form{direct ? Blind::even : Blind::nothing, this->config_.dropout, this->config_.seed};
    Shape attended_shape = query.shape();
    attended_shape.set(-1, heads_.value_size);
    Value output, weights;
    if (arrangement.in_order() && !wants_weights) {
      output = emit::attend(context, arrangement.joined(query), arrangement.joined(key), arrangement.joined(value),
                            arrangement.sight(seen.by_mask, weights_shape), seen.causal, scale, form, this->path());
      output = arrangement.split(output, attended_shape);
    } else {
      key = emit::repeat(key, -2, repeats);
      value = emit::repeat(value, -2, repeats);
      const Value all = arrangement.sight(seen.whole(context.graph(), weights_shape), weights_shape);
      const emit::Attended attended =
          emit::attend(context, emit::scores(arrangement.rows(query), arrangement.rows(key), scale),
                       arrangement.rows(value), all, form, this->path());
      output = arrangement.back(attended.output, attended_shape);
      weights = attended.weights;
    }
    if (gate) output = output * gate;
    output = projected(*output_, output);
    if (!wants_weights) return {output};
    return {output, emit::reshape(weights, weights_shape)};
  }
  Values compute_masks(Context&, const CallArguments& arguments, const Values& outputs) override {
    Values masks(outputs.size());
    masks[0] = arguments.masks[0];
    return masks;
  }

 private:
  // Projected values (batch, places…, heads, size) as matrices (batch, other places…, heads, T, size), the T places
  // being those along which queries look for keys.
  class Arrangement {
   public:
    Arrangement(std::vector<std::int64_t> along, int rank) : along_(std::move(along)) {
      for (std::int64_t axis = 0; axis < rank - 1; ++axis)
        if (std::find(along_.begin(), along_.end(), axis) == along_.end()) order_.push_back(axis);
      outer_ = order_.size();
      order_.insert(order_.end(), along_.begin(), along_.end());
      order_.push_back(rank - 1);
    }
    Value rows(Value x) const {
      const Value arranged = ops::transpose(x, order_);
      return along_.size() == 1 ? arranged : emit::reshape(arranged, merged(arranged.shape(), outer_));
    }
    // Queries look for keys along all axes between the batch and the heads, in their order.
    bool in_order() const { return outer_ == 2 && std::is_sorted(along_.begin(), along_.end()); }
    // (batch, places…, heads, size) → (batch, T, heads, size)
    Value joined(Value x) const { return along_.size() == 1 ? x : emit::reshape(x, merged(x.shape(), 1)); }
    Value split(Value joined, const Shape& shape) const {
      return along_.size() == 1 ? joined : emit::reshape(joined, shape);
    }
    // The inverse of rows, for a result of this shape.
    Value back(Value rows, const Shape& shape) const {
      Shape arranged;
      std::vector<std::int64_t> inverse(order_.size());
      for (std::size_t i = 0; i < order_.size(); ++i) {
        arranged.append(shape[static_cast<int>(order_[i])]);
        inverse[static_cast<std::size_t>(order_[i])] = static_cast<std::int64_t>(i);
      }
      return ops::transpose(along_.size() == 1 ? rows : emit::reshape(rows, arranged), std::move(inverse));
    }
    // (batch, other places…, heads, places of queries…, places of keys…)
    Shape weights_shape(const Shape& query, const Shape& key) const {
      Shape shape;
      for (std::size_t i = 0; i < order_.size() - 1; ++i) shape.append(query[static_cast<int>(order_[i])]);
      for (std::int64_t axis : along_) shape.append(key[static_cast<int>(axis)]);
      return shape;
    }
    // A mask as it broadcasts to (…, T, S): Keras puts missing axes before the places of queries.
    Value sight(Value mask, const Shape& weights) const {
      if (!mask) return mask;
      const int places = static_cast<int>(along_.size()) * 2;
      need(mask.shape().rank() >= places && mask.shape().rank() <= weights.rank(),
           "got a mask {}, wanted one that broadcasts to {}", mask.shape(), weights);
      while (mask.shape().rank() < weights.rank()) mask = ops::expand_dims(mask, mask.shape().rank() - places);
      if (along_.size() == 1) return mask;
      const Value whole = emit::broadcast(mask, weights);
      return emit::reshape(whole, merged(merged(weights, outer_ + along_.size()), outer_));
    }

   private:
    // `shape` with the axes from `first` on, as many as along_, as one.
    Shape merged(const Shape& shape, std::size_t first) const {
      const int begin = static_cast<int>(first), end = begin + static_cast<int>(along_.size());
      const Shape places = shape.from(begin).first(end - begin);
      return shape.first(begin) + Shape{places.known() ? places.elements() : unknown} + shape.from(end);
    }

    std::vector<std::int64_t> along_, order_;  // of axes
    std::size_t outer_ = 0;                    // how many of the order come before along_
  };

  bool flash() const { return this->config_.flash_attention.value_or(false); }

  // Counted from the front of the inputs.
  std::vector<std::int64_t> attention_axes(const Shape& query) const {
    if constexpr (!grouped)
      if (this->config_.attention_axes) {
        std::vector<std::int64_t> axes;  // in the order in which they are given, which is that of the weights
        for (const std::int64_t axis : this->config_.attention_axes->axes) {
          axes.push_back(axis < 0 ? axis + query.rank() : axis);
          need(axes.back() > 0 && axes.back() < query.rank() - 1,
               "got the attention axis {} for input {}, wanted one between the batch and the features", axis, query);
        }
        return axes;
      }
    std::vector<std::int64_t> axes(static_cast<std::size_t>(query.rank() - 2));
    std::iota(axes.begin(), axes.end(), 1);
    return axes;
  }
  Shape result_features(const Shape& query) const {
    if constexpr (!grouped)
      if (this->config_.output_shape && this->config_.output_shape->rank() > 0) return *this->config_.output_shape;
    return {emit::known_size(query, -1)};
  }

  // Which keys each query may look at. by_mask: as far as masks and the window say; null: all. (…, T, S), of any rank
  // that broadcasts when axes of heads and other places are put in.
  struct Sight {
    Value by_mask;
    bool causal;

    Value whole(Graph& graph, const Shape& weights) const {
      if (!causal) return by_mask;
      const Value by_place = emit::causal_sight(graph, weights[-2], weights[-1]);
      return by_mask ? ops::logical_and(by_mask, by_place) : by_place;
    }
  };
  Sight sight(Graph& graph, const CallArguments& arguments) const {
    const auto mask_of = [&](std::string_view name, std::size_t input) -> Value {
      if (const Value given = argument(*this, arguments, name)) return ops::cast(given, DType::boolean);
      return input < arguments.masks.size() ? arguments.masks[input] : Value();
    };
    Value seen;
    const auto restrict = [&](Value mask) {
      if (mask) seen = seen ? ops::logical_and(seen, mask) : mask;
    };
    // Keras's MultiHeadAttention takes the mask that comes with the query, whatever it is given.
    const Value query_mask = grouped ? mask_of("query_mask", 0) : arguments.masks[0];
    if (query_mask) restrict(ops::expand_dims(query_mask, query_mask.shape().rank()));
    for (const Value mask : {mask_of("value_mask", 1), mask_of("key_mask", 2)})
      if (mask) restrict(ops::expand_dims(mask, mask.shape().rank() - 1));
    const bool causal = flag(arguments, "use_causal_mask");
    if (const auto window = this->config_.sliding_window; causal || window) {
      const Shape &query = arguments.inputs[0].shape(), &value = arguments.inputs[1].shape();
      const std::vector<std::int64_t> along = attention_axes(query);
      need(along.size() == 1, "attention along several axes has no order, as use_causal_mask and sliding_window need");
      const std::int64_t queries = query[static_cast<int>(along[0])], keys = value[static_cast<int>(along[0])];
      if (window) restrict(emit::window_sight(graph, queries, keys, *window));
    }
    if (const Value given = argument(*this, arguments, "attention_mask")) restrict(ops::cast(given, DType::boolean));
    return {seen, causal};
  }

  Heads heads_;
  std::shared_ptr<Layer> query_, key_, gate_, value_, output_;
};

}  // namespace

LayerRef MultiHeadAttention(MultiHeadAttentionConfig config, LayerOptions options) {
  return std::make_shared<ProjectedAttention<MultiHeadAttentionConfig>>(std::move(config), std::move(options));
}
LayerRef GroupQueryAttention(GroupQueryAttentionConfig config, LayerOptions options) {
  return std::make_shared<ProjectedAttention<GroupQueryAttentionConfig>>(std::move(config), std::move(options));
}

std::vector<ClassInfo<Layer>> multi_head_attention_layers() {
  return {layer_info<ProjectedAttention<MultiHeadAttentionConfig>>(),
          layer_info<ProjectedAttention<GroupQueryAttentionConfig>>("keras.layers", {"GroupedQueryAttention"})};
}

}  // namespace nacre
