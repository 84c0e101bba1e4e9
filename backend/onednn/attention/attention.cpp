// Attention in tiles of queries × keys. A thread copies the rows of a head that it works on, so that products read
// dense matrices, and keeps one tile of scores. Measured on Zen 4 with oneDNN 3.2: products of 128 × 128 × 64 run at
// 0.95 of the speed of large ones, those of rows that lie apart at 0.9 of that (float32; 0.8 in bfloat16). Source: Dao
// et al., "FlashAttention" (2022), algorithms 1 and 2, with queries in the outer loop.
#include "backend/graph/ops/attention.h"

#include <algorithm>
#include <array>
#include <limits>

#include "backend/core/parallel.h"
#include "backend/core/random.h"
#include "backend/graph/ops/shape.h"
#include "backend/onednn/attention/rows.h"
#include "backend/onednn/attention/tile_product.h"
#include "backend/onednn/kernels.h"
#include "backend/reference/kernel.h"

namespace nacre::onednn {
namespace {

constexpr std::int64_t longest_tile = 128;  // queries or keys
constexpr std::int64_t shortest_tile = 32;  // that queries are cut to when there are threads without work
constexpr std::int64_t most_kept = 1 << 24;  // bytes that a thread keeps of scores before queries are cut

// The size of equal tiles, at most `longest`.
constexpr std::int64_t even_tile(std::int64_t whole, std::int64_t longest) {
  return divide_up(whole, divide_up(whole, longest));
}

// What both directions know of a node.
struct Problem {
  AttentionAttrs attrs;
  std::int64_t batch, queries, keys, heads, groups, features, value_features;
  std::int64_t query_tile, key_tile;
  DType dtype, tile_dtype;          // of the tensors, and of what products read
  std::int64_t threads = nacre::threads();  // when the kernel was made
  std::size_t sight = 0, seed = 0;          // operands
  std::vector<std::int64_t> sight_strides;

  Problem(const Node& node, std::size_t tensors) : attrs(node.attrs<AttentionAttrs>()), dtype(node.in(0).dtype()) {
    const Shape &query = node.in(0).shape(), &key = node.in(1).shape();
    batch = query[0], queries = query[1], heads = query[2], features = query[3];
    keys = key[1], groups = key[2], value_features = node.in(2).shape()[3];
    key_tile = even_tile(keys, longest_tile);
    query_tile = even_tile(queries, longest_tile);
    tile_dtype = dtype == DType::bfloat16 && TileProduct::implemented(dtype) ? dtype : DType::float32;
    if (attrs.sight) {
      sight = tensors++;
      sight_strides =
          reference::broadcast_strides(node.in(static_cast<int>(sight)).shape(), {batch, heads, queries, keys});
    }
    seed = tensors;
  }
  // Where nothing is hidden but by place, or hidden keys never count, the keys after a query need not be looked at.
  bool skips() const { return attrs.causal && (!attrs.sight || attrs.blind == Blind::nothing); }
};

// Rows of one head of a tensor (batch, places, heads, width), one for each place of a tile.
struct HeadRows {
  std::int64_t first, step, count, width;  // first and step in rows of all heads
  std::int64_t element(std::int64_t i) const { return (first + i * step) * width; }
};

// Parts of a thread's scratch memory.
class Layouter {
 public:
  template <class T>
  std::size_t place(std::int64_t elements) {
    const std::size_t at = bytes_;
    bytes_ = (at + static_cast<std::size_t>(elements) * sizeof(T) + alignment - 1) / alignment * alignment;
    return at;
  }
  std::size_t tile(std::int64_t elements, DType dtype) {
    return place<std::byte>(elements * static_cast<std::int64_t>(size_of(dtype)));
  }
  std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t alignment = 64;
  std::size_t bytes_ = 0;
};

// The work of one thread: where its memory lies and what all tiles need.
class Worker {
 public:
  explicit Worker(const Problem& problem)
      : p(problem),
        loops_(loops()),
        rows(attention_rows()),
        random_(layout.place<float>(p.key_tile)),
        seen_(layout.place<std::uint8_t>(p.key_tile)) {}

  std::size_t scratch_bytes() const { return layout.bytes(); }

 protected:
  void begin(const KernelArguments& arguments, std::byte* scratch) {
    arguments_ = &arguments;
    scratch_ = scratch;
    if (p.attrs.dropout == 0) return;
    const auto number = [&](std::size_t operand) {
      return *static_cast<const std::int64_t*>(arguments.inputs[operand]);
    };
    const RandomKey random =
        RandomKey::of(static_cast<std::uint64_t>(number(p.seed)), p.attrs.path,
                      static_cast<std::uint32_t>(p.attrs.call), static_cast<std::uint32_t>(number(p.seed + 1)));
    const auto counter = random.counter(0);
    const auto key = random.key();
    stream_ = {{counter[1], counter[2], counter[3]}, {key[0], key[1]}};
  }

  template <class T = float>
  T* at(std::size_t offset) const {
    return reinterpret_cast<T*>(scratch_ + offset);
  }
  const float* statistics(std::size_t operand) const { return static_cast<const float*>(arguments_->inputs[operand]); }

  // The rows of a tile of queries, of `width` elements.
  HeadRows query_rows(std::int64_t b, std::int64_t head, std::int64_t first, std::int64_t width) const {
    return {(b * p.queries + first) * p.heads + head, p.heads, std::min(p.query_tile, p.queries - first), width};
  }
  HeadRows key_rows(std::int64_t b, std::int64_t group, std::int64_t first, std::int64_t width) const {
    return {(b * p.keys + first) * p.groups + group, p.groups, std::min(p.key_tile, p.keys - first), width};
  }
  // Row i of an operand, where it lies.
  const std::byte* row(std::size_t operand, const HeadRows& of, std::int64_t i) const {
    return static_cast<const std::byte*>(arguments_->inputs[operand]) +
           static_cast<std::size_t>(of.element(i)) * size_of(p.dtype);
  }
  // A dense tile of `capacity` rows, the last ones 0.
  void load(std::size_t operand, const HeadRows& from, std::int64_t capacity, std::size_t tile) const {
    auto* to = at<std::byte>(tile);
    const std::size_t bytes = static_cast<std::size_t>(from.width) * size_of(p.tile_dtype);
    for (std::int64_t i = 0; i < from.count; ++i, to += bytes) {
      if (p.dtype == p.tile_dtype) std::copy_n(row(operand, from, i), bytes, to);
      else
        loops_.load[static_cast<std::size_t>(p.dtype)](row(operand, from, i), reinterpret_cast<float*>(to), from.width);
    }
    std::fill_n(to, static_cast<std::size_t>(capacity - from.count) * bytes, std::byte{0});
  }
  // The reverse, from dense float rows to a result.
  void store(const float* from, std::size_t result, const HeadRows& to) const {
    auto* target = static_cast<std::byte*>(arguments_->outputs[result]);
    for (std::int64_t i = 0; i < to.count; ++i)
      loops_.store[static_cast<std::size_t>(p.dtype)](
          from + i * to.width, target + static_cast<std::size_t>(to.element(i)) * size_of(p.dtype), to.width);
  }
  std::int64_t group_of(std::int64_t head) const { return head / (p.heads / p.groups); }

  // A row of weights as products read them, 0 beyond `count`; float32 ones lie there already.
  void to_tile(float* from, std::int64_t row, std::int64_t count, std::byte* tile) const {
    std::fill(from + count, from + p.key_tile, 0.0f);
    if (p.tile_dtype == DType::bfloat16)
      loops_.store[static_cast<std::size_t>(DType::bfloat16)](
          from, tile + static_cast<std::size_t>(row * p.key_tile) * size_of(DType::bfloat16), p.key_tile);
  }

  // How many keys queries before `end` look at.
  std::int64_t keys_before(std::int64_t end) const { return p.skips() ? std::min(p.keys, end) : p.keys; }

  // Which of the keys [first, first + count) the query sees.
  AttentionRows::Sight sight(std::int64_t b, std::int64_t head, std::int64_t query, std::int64_t first,
                             std::int64_t count) const {
    AttentionRows::Sight result{nullptr, p.attrs.blind == Blind::nearly_even, p.attrs.blind == Blind::nothing};
    const bool cut = p.attrs.causal && query < first + count - 1;
    if (!p.attrs.sight && !cut) return result;
    auto* seen = at<std::uint8_t>(seen_);
    result.seen = seen;
    if (p.attrs.sight) {
      const auto& stride = p.sight_strides;
      const auto* from = static_cast<const std::uint8_t*>(arguments_->inputs[p.sight]) + b * stride[0] +
                         head * stride[1] + query * stride[2] + first * stride[3];
      if (stride[3] == 0) std::fill_n(seen, count, *from);
      else std::copy_n(from, count, seen);
    } else std::fill_n(seen, count, std::uint8_t{1});
    if (cut) {
      const std::int64_t visible = std::clamp<std::int64_t>(query + 1 - first, 0, count);
      std::fill(seen + visible, seen + count, std::uint8_t{0});
    }
    return result;
  }
  AttentionRows::Dropout dropout(std::int64_t b, std::int64_t head, std::int64_t query, std::int64_t first,
                                 std::int64_t count) const {
    if (p.attrs.dropout == 0) return {nullptr, 0, 1};
    float* random = at(random_);
    loops_.uniform(stream_, ((b * p.heads + head) * p.queries + query) * p.keys + first, random, count);
    const double rate = p.attrs.dropout;
    return {random, static_cast<float>(rate), static_cast<float>(rate < 1 ? 1 / (1 - rate) : 0)};
  }

  void multiply(float* row, float factor, std::int64_t count) const {
    loops_.instruction[static_cast<int>(Opcode::multiply)][2](row, &factor, row, row, count);
  }

  Layouter layout;  // before what is placed with it
  const Problem& p;
  const Loops& loops_;
  const AttentionRows& rows;
  const KernelArguments* arguments_ = nullptr;

 private:
  std::size_t random_, seen_;
  std::byte* scratch_ = nullptr;
  RandomStreamKey stream_{};
};

class ForwardWorker : public Worker {
 public:
  explicit ForwardWorker(const Problem& problem)
      : Worker(problem),
        scores_product_({p.query_tile, p.key_tile, p.features, false, true, false}, p.tile_dtype),
        value_product_({p.query_tile, p.value_features, p.key_tile, false, false, true}, p.tile_dtype),
        query_(layout.tile(p.query_tile * p.features, p.tile_dtype)),
        key_(layout.tile(p.key_tile * p.features, p.tile_dtype)),
        value_(layout.tile(p.key_tile * p.value_features, p.tile_dtype)),
        scores_(layout.place<float>(p.query_tile * p.key_tile)),
        weights_(p.tile_dtype == DType::float32 ? scores_ : layout.tile(p.query_tile * p.key_tile, p.tile_dtype)),
        y_(layout.place<float>(p.query_tile * p.value_features)),
        own_(layout.place<std::byte>(
            static_cast<std::int64_t>(std::max(scores_product_.scratch_bytes(), value_product_.scratch_bytes())))) {}

  static std::int64_t tasks(const Problem& p) { return p.batch * p.heads * divide_up(p.queries, p.query_tile); }

  // Tasks worker, worker + workers, …
  void operator()(const KernelArguments& arguments, std::byte* scratch, std::int64_t worker, std::int64_t workers) {
    begin(arguments, scratch);
    const std::int64_t tiles = divide_up(p.queries, p.query_tile);
    for (std::int64_t task = worker; task < tasks(p); task += workers)
      attend(task / tiles / p.heads, task / tiles % p.heads, task % tiles * p.query_tile);
  }

 private:
  void attend(std::int64_t b, std::int64_t head, std::int64_t first_query) {
    const std::int64_t count = std::min(p.query_tile, p.queries - first_query), group = group_of(head);
    load(0, query_rows(b, head, first_query, p.features), p.query_tile, query_);
    const std::int64_t statistics_row = (b * p.heads + head) * p.queries + first_query;
    float* maximum = static_cast<float*>(arguments_->outputs[1]) + statistics_row;
    float* total = static_cast<float*>(arguments_->outputs[2]) + statistics_row;
    float *scores = at(scores_), *y = at(y_);
    std::fill_n(maximum, count, -std::numeric_limits<float>::infinity());
    std::fill_n(total, count, 0.0f);
    std::fill_n(y, p.query_tile * p.value_features, 0.0f);
    const std::int64_t end = keys_before(first_query + count);
    for (std::int64_t first = 0; first < end; first += p.key_tile) {
      const std::int64_t width = std::min(p.key_tile, p.keys - first);
      load(1, key_rows(b, group, first, p.features), p.key_tile, key_);
      load(2, key_rows(b, group, first, p.value_features), p.key_tile, value_);
      scores_product_(at(query_), at(key_), scores, at(own_));
      for (std::int64_t i = 0; i < count; ++i) {
        float* row = scores + i * p.key_tile;
        const AttentionRows::Sight seen = sight(b, head, first_query + i, first, width);
        const float scale = static_cast<float>(p.attrs.scale), largest = rows.prepare(row, scale, seen, width);
        if (!(largest <= maximum[i])) {
          if (first > 0) {
            const float shrink = rows.exponential(maximum[i] - largest);
            total[i] *= shrink;
            multiply(y + i * p.value_features, shrink, p.value_features);
          }
          maximum[i] = largest;
        }
        total[i] += rows.exponentials(row, maximum[i], seen, width);
        if (p.attrs.dropout > 0) rows.drop(row, dropout(b, head, first_query + i, first, width), width);
        to_tile(row, i, width, at<std::byte>(weights_));
      }
      for (std::int64_t i = count; i < p.query_tile; ++i)
        to_tile(scores + i * p.key_tile, i, 0, at<std::byte>(weights_));
      value_product_(at(weights_), at(value_), y, at(own_));
    }
    for (std::int64_t i = 0; i < count; ++i)
      multiply(y + i * p.value_features, total[i] == 0 ? 0.0f : 1 / total[i], p.value_features);
    store(y, 0, query_rows(b, head, first_query, p.value_features));
  }

  TileProduct scores_product_, value_product_;
  std::size_t query_, key_, value_, scores_, weights_, y_, own_;
};

// Inputs: query, key, value, y, maximum, total, dy.
//
// The gradient of a score is weight · (gradient of the weight - mean) with mean = Σ weight · gradient of the weight,
// which is dy · y as well. A short y has been rounded; that error of the mean is the same for all keys of a query, so
// that it adds up where the true gradients cancel: they sum to 0. There the mean is summed over all keys first, which
// takes the scores of all keys of a tile of queries. Beyond 1024 keys they leave the cache: a tenth of the time.
class BackwardWorker : public Worker {
 public:
  explicit BackwardWorker(const Problem& problem)
      : Worker(problem),
        scores_product_({p.query_tile, p.key_tile, p.features, false, true, false}, p.tile_dtype),
        weights_product_({p.query_tile, p.key_tile, p.value_features, false, true, false}, p.tile_dtype),
        dvalue_product_({p.key_tile, p.value_features, p.query_tile, true, false, true}, p.tile_dtype),
        dkey_product_({p.key_tile, p.features, p.query_tile, true, false, true}, p.tile_dtype),
        dquery_product_({p.query_tile, p.features, p.key_tile, false, false, true}, p.tile_dtype),
        query_(layout.tile(p.query_tile * p.features, p.tile_dtype)),
        key_(layout.tile(p.key_tile * p.features, p.tile_dtype)),
        value_(layout.tile(p.key_tile * p.value_features, p.tile_dtype)),
        dy_(layout.tile(p.query_tile * p.value_features, p.tile_dtype)),
        scores_(layout.place<float>(p.query_tile * kept_keys(p))),
        gradients_(layout.place<float>(p.query_tile * kept_keys(p))),
        scores_tile_(p.tile_dtype == DType::float32 ? scores_ : layout.tile(p.query_tile * p.key_tile, p.tile_dtype)),
        weights_tile_(layout.tile(p.query_tile * p.key_tile, p.tile_dtype)),
        weights_row_(layout.place<float>(p.key_tile)),
        means_(layout.place<float>(p.query_tile)),
        dquery_(layout.place<float>(p.query_tile * p.features)) {
    sums_[0] = place_sums();
    sums_[1] = splits(p) ? place_sums() : sums_[0];
    std::size_t bytes = 0;
    for (const TileProduct* product :
         {&scores_product_, &weights_product_, &dvalue_product_, &dkey_product_, &dquery_product_})
      bytes = std::max(bytes, product->scratch_bytes());
    own_ = layout.place<std::byte>(static_cast<std::int64_t>(bytes));
  }

  // Each worker takes a range of units, tiles of queries; those of one pair share the gradients of a key and a value. A
  // pair whose units fall to several workers is summed in parts, which `join` adds, in their order.
  static std::int64_t pairs(const Problem& p) { return p.batch * p.groups; }
  static std::int64_t units_of_pair(const Problem& p) { return p.heads / p.groups * divide_up(p.queries, p.query_tile); }
  static std::int64_t tasks(const Problem& p) { return splits(p) ? pairs(p) * units_of_pair(p) : pairs(p); }
  // Where whole pairs would leave threads without work for long.
  static bool splits(const Problem& p) { return pairs(p) % p.threads != 0 && pairs(p) < 8 * p.threads; }
  // Of scores and their gradients at once.
  static std::int64_t kept_bytes(const Problem& p) {
    return 2 * p.query_tile * kept_keys(p) * static_cast<std::int64_t>(sizeof(float));
  }

  void operator()(const KernelArguments& arguments, std::byte* scratch, std::int64_t worker, std::int64_t workers) {
    begin(arguments, scratch);
    const Range range = range_of(p, worker, workers);
    const std::int64_t units = units_of_pair(p);
    for (std::int64_t pair = range.begin / units; pair * units < range.end; ++pair) {
      const Range part = range.within(pair * units, (pair + 1) * units);
      const Sums& sums = sums_of(part, pair);
      std::fill_n(at(sums.dkey), whole_keys(p) * p.features, 0.0f);
      std::fill_n(at(sums.dvalue), whole_keys(p) * p.value_features, 0.0f);
      for (std::int64_t unit = part.begin; unit < part.end; ++unit) {
        const std::int64_t group = pair % p.groups, tiles = divide_up(p.queries, p.query_tile), within = unit - pair * units;
        attend({pair / p.groups, group * (p.heads / p.groups) + within / tiles, group, within % tiles * p.query_tile},
               sums);
      }
      if (part.size() == units)
        for (std::int64_t first = 0; first < p.keys; first += p.key_tile) store_sums(sums, pair, first);
    }
  }

  // Adds and stores what the workers have summed of a tile of the keys of a pair, if those were several.
  static void join(const Problem& p, std::span<const std::unique_ptr<BackwardWorker>> workers, std::int64_t pair,
                   std::int64_t first) {
    const std::int64_t units = units_of_pair(p), keys = std::min(p.key_tile, p.keys - first);
    const BackwardWorker* whole = nullptr;
    const Sums* sums = nullptr;
    for (std::size_t i = 0; i < workers.size(); ++i) {
      const Range range = range_of(p, static_cast<std::int64_t>(i), static_cast<std::int64_t>(workers.size()));
      const Range part = range.within(pair * units, (pair + 1) * units);
      if (part.size() == units) return;
      if (part.size() <= 0) continue;
      const BackwardWorker& worker = *workers[i];
      const Sums& own = worker.sums_of(part, pair);
      if (whole) {
        const auto add = [&](std::size_t to, std::size_t from, std::int64_t width) {
          float* total = whole->at(to) + first * width;
          whole->loops_.instruction[static_cast<int>(Opcode::add)][0](total, worker.at(from) + first * width, total, total,
                                                                      keys * width);
        };
        add(sums->dkey, own.dkey, p.features);
        add(sums->dvalue, own.dvalue, p.value_features);
      } else {
        whole = &worker, sums = &own;
      }
    }
    whole->store_sums(*sums, pair, first);
  }

 private:
  struct Range {
    std::int64_t begin, end;
    std::int64_t size() const { return end - begin; }
    Range within(std::int64_t first, std::int64_t last) const { return {std::max(begin, first), std::min(end, last)}; }
  };
  static Range range_of(const Problem& p, std::int64_t worker, std::int64_t workers) {
    const std::int64_t size = splits(p) ? 1 : units_of_pair(p);  // that stays together
    return {tasks(p) * worker / workers * size, tasks(p) * (worker + 1) / workers * size};
  }

  struct Sums {  // over queries
    std::size_t dkey, dvalue;
  };
  Sums place_sums() {
    const std::size_t dkey = layout.place<float>(whole_keys(p) * p.features);
    return {dkey, layout.place<float>(whole_keys(p) * p.value_features)};
  }
  // The end of a pair that others began is kept while the worker goes on with the next ones.
  const Sums& sums_of(const Range& part, std::int64_t pair) const {
    return sums_[part.begin > pair * units_of_pair(p) ? 0 : 1];
  }
  void store_sums(const Sums& sums, std::int64_t pair, std::int64_t first) const {
    const std::int64_t b = pair / p.groups, group = pair % p.groups;
    store(at(sums.dkey) + first * p.features, 1, key_rows(b, group, first, p.features));
    store(at(sums.dvalue) + first * p.value_features, 2, key_rows(b, group, first, p.value_features));
  }

  struct Queries {  // a tile of them
    std::int64_t b, head, group, first;
  };

  static std::int64_t whole_keys(const Problem& p) { return divide_up(p.keys, p.key_tile) * p.key_tile; }
  static bool keeps(const Problem& p) { return p.dtype != DType::float32; }
  static std::int64_t kept_keys(const Problem& p) { return keeps(p) ? whole_keys(p) : p.key_tile; }

  // How many keys of a tile query i has, which may be beyond the last one.
  std::int64_t used(const Queries& of, std::int64_t first, std::int64_t i) const {
    return of.first + i < p.queries ? std::min(p.key_tile, p.keys - first) : 0;
  }
  // Query i's row of the tile of keys from `first` on.
  std::int64_t row_of(std::int64_t first, std::int64_t i) const {
    return (keeps(p) ? first * p.query_tile : 0) + i * p.key_tile;
  }
  float* scores(std::int64_t first, std::int64_t i) const { return at(scores_) + row_of(first, i); }
  float* gradients(std::int64_t first, std::int64_t i) const { return at(gradients_) + row_of(first, i); }

  void attend(const Queries& of, const Sums& sums) {
    const HeadRows results = query_rows(of.b, of.head, of.first, p.value_features);
    load(0, query_rows(of.b, of.head, of.first, p.features), p.query_tile, query_);
    load(6, results, p.query_tile, dy_);
    const auto floats = [&](std::size_t operand, std::int64_t i) {
      return reinterpret_cast<const float*>(row(operand, results, i));
    };
    for (std::int64_t i = 0; i < results.count; ++i)
      at(means_)[i] = keeps(p) ? 0 : rows.dot(floats(3, i), floats(6, i), p.value_features);
    std::fill_n(at(dquery_), p.query_tile * p.features, 0.0f);
    const std::int64_t end = keys_before(of.first + results.count);
    const bool at_once = !keeps(p) || end <= p.key_tile;  // a tile tells the means, or they are known
    for (std::int64_t first = 0; first < end; first += p.key_tile) {
      load(1, key_rows(of.b, of.group, first, p.features), p.key_tile, key_);
      weigh(of, sums, first, at_once);
      if (at_once) add_of_scores(sums, first);
    }
    for (std::int64_t first = 0; !at_once && first < end; first += p.key_tile) {
      load(1, key_rows(of.b, of.group, first, p.features), p.key_tile, key_);
      for (std::int64_t i = 0; i < p.query_tile; ++i) differentiate(first, i, used(of, first, i));
      add_of_scores(sums, first);
    }
    store(at(dquery_), 0, query_rows(of.b, of.head, of.first, p.features));
  }

  // Weights and their gradients, and what they add to that of the values; those of the scores where the means are known.
  void weigh(const Queries& of, const Sums& sums, std::int64_t first, bool differentiates) {
    const std::int64_t statistics_row = (of.b * p.heads + of.head) * p.queries + of.first;
    const float *maximum = statistics(4) + statistics_row, *total = statistics(5) + statistics_row;
    load(2, key_rows(of.b, of.group, first, p.value_features), p.key_tile, value_);
    scores_product_(at(query_), at(key_), scores(first, 0), at(own_));
    weights_product_(at(dy_), at(value_), gradients(first, 0), at(own_));
    for (std::int64_t i = 0; i < p.query_tile; ++i) {
      const std::int64_t width = used(of, first, i);
      float* weights = p.tile_dtype == DType::float32 ? at(weights_tile_) + i * p.key_tile : at(weights_row_);
      if (width > 0) {
        const AttentionRows::Softmax softmax{static_cast<float>(p.attrs.scale), maximum[i],
                                             total[i] == 0 ? 0.0f : 1 / total[i]};
        const float sum = rows.weigh(scores(first, i), gradients(first, i), weights, softmax,
                                     sight(of.b, of.head, of.first + i, first, width),
                                     dropout(of.b, of.head, of.first + i, first, width), width);
        if (keeps(p)) at(means_)[i] += sum;
      }
      to_tile(weights, i, width, at<std::byte>(weights_tile_));
      if (differentiates) differentiate(first, i, width);
    }
    dvalue_product_(at(weights_tile_), at(dy_), at(sums.dvalue) + first * p.value_features, at(own_));
  }

  // The gradients of the scores of a query, of its weights.
  void differentiate(std::int64_t first, std::int64_t i, std::int64_t width) {
    rows.differentiate(scores(first, i), gradients(first, i), at(means_)[i], static_cast<float>(p.attrs.scale), width);
    to_tile(scores(first, i), i, width, at<std::byte>(scores_tile_));
  }

  // What the gradients of the scores add to those of the keys and queries.
  void add_of_scores(const Sums& sums, std::int64_t first) {
    const float* tile = p.tile_dtype == DType::float32 ? scores(first, 0) : at(scores_tile_);
    dkey_product_(tile, at(query_), at(sums.dkey) + first * p.features, at(own_));
    dquery_product_(tile, at(key_), at(dquery_), at(own_));
  }

  TileProduct scores_product_, weights_product_, dvalue_product_, dkey_product_, dquery_product_;
  std::size_t query_, key_, value_, dy_, scores_, gradients_, scores_tile_, weights_tile_, weights_row_, means_, dquery_;
  std::array<Sums, 2> sums_;
  std::size_t own_ = 0;
};

template <class WorkerKind>
class AttentionKernel final : public Kernel {
 public:
  explicit AttentionKernel(Problem problem) : problem_(std::move(problem)) {
    const std::int64_t count = std::min<std::int64_t>(problem_.threads, WorkerKind::tasks(problem_));
    for (std::int64_t i = 0; i < count; ++i) workers_.push_back(std::make_unique<WorkerKind>(problem_));
  }
  std::size_t scratch_bytes() const { return workers_.size() * workers_.front()->scratch_bytes(); }
  void run(const KernelArguments& arguments) override {
    const auto count = static_cast<std::int64_t>(workers_.size());
    parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        WorkerKind& worker = *workers_[static_cast<std::size_t>(i)];
        worker(arguments,
               static_cast<std::byte*>(arguments.scratch) + static_cast<std::size_t>(i) * worker.scratch_bytes(), i,
               count);
      }
    });
    if constexpr (std::is_same_v<WorkerKind, BackwardWorker>)
      if (WorkerKind::splits(problem_)) {
        const std::int64_t tiles = divide_up(problem_.keys, problem_.key_tile);
        parallel_for(WorkerKind::pairs(problem_) * tiles, 1, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i)
            WorkerKind::join(problem_, workers_, i / tiles, i % tiles * problem_.key_tile);
        });
      }
  }

 private:
  Problem problem_;
  std::vector<std::unique_ptr<WorkerKind>> workers_;
};

template <class WorkerKind>
KernelPlan plan_of(const KernelRequest& request, Problem problem) {
  auto kernel = std::make_unique<AttentionKernel<WorkerKind>>(std::move(problem));
  KernelPlan plan;
  plan.inputs.assign(request.node.inputs().size(), Layout::plain());
  plan.outputs.assign(request.node.types().size(), Layout::plain());
  plan.scratch_bytes = kernel->scratch_bytes();
  plan.kernel = std::move(kernel);
  return plan;
}

// Where there is nothing to attend with or to, all results are 0.
bool is_empty(const Node& node) {
  for (int i = 0; i < 3; ++i)
    if (node.in(i).shape().elements() == 0) return true;
  return false;
}
KernelPlan zeros(const KernelRequest& request) {
  return reference::plain_kernel(request, [types = request.node.types()](const KernelArguments& arguments) {
    for (std::size_t i = 0; i < types.size(); ++i)
      std::fill_n(static_cast<std::byte*>(arguments.outputs[i]), types[i].bytes(), std::byte{0});
  });
}

}  // namespace

bool attention_fits(const Node& node, const Backend&) {
  return node.in(0).dtype() != DType::float64 && node.in(0).shape()[-1] != 0;
}

KernelPlan attention(const KernelRequest& request) {
  if (is_empty(request.node)) return zeros(request);
  Problem problem(request.node, 3);
  while (ForwardWorker::tasks(problem) < problem.threads && problem.query_tile >= 2 * shortest_tile)
    problem.query_tile = even_tile(problem.queries, divide_up(problem.query_tile, 2));
  return plan_of<ForwardWorker>(request, std::move(problem));
}

KernelPlan attention_backward(const KernelRequest& request) {
  if (is_empty(request.node)) return zeros(request);
  Problem problem(request.node, 7);
  while ((BackwardWorker::kept_bytes(problem) > most_kept || BackwardWorker::tasks(problem) < problem.threads) &&
         problem.query_tile >= 2 * shortest_tile)
    problem.query_tile = even_tile(problem.queries, divide_up(problem.query_tile, 2));
  return plan_of<BackwardWorker>(request, std::move(problem));
}

}  // namespace nacre::onednn
