#include "backend/onednn/engine.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "backend/core/parallel.h"

namespace nacre::onednn {

namespace {

// oneDNN asks OpenMP how many threads there are, which remembers that for each thread that asks.
void announce_threads() {
#ifdef _OPENMP
  if (omp_get_max_threads() != threads()) omp_set_num_threads(threads());
#endif
}

// The library keeps what it has compiled for the next primitive of the same shapes. Executables hold theirs, so its
// 1024 places of old would only keep the code of shapes that are gone: one graph has fewer than these that differ.
constexpr int kept_primitives = 256;

dnnl::engine make_engine() {
  if (!std::getenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY") && !std::getenv("DNNL_PRIMITIVE_CACHE_CAPACITY"))
    dnnl::set_primitive_cache_capacity(kept_primitives);
  return {dnnl::engine::kind::cpu, 0};
}

}  // namespace

const dnnl::engine& engine() {
  static const dnnl::engine cpu = make_engine();
  announce_threads();
  return cpu;
}

dnnl::stream& stream() {
  thread_local dnnl::stream own(engine());
  announce_threads();
  return own;
}

std::optional<dnnl::memory::data_type> data_type(DType dtype) {
  using Kind = dnnl::memory::data_type;
  switch (dtype) {
    case DType::boolean:
    case DType::uint8: return Kind::u8;
    case DType::int32: return Kind::s32;
    case DType::float16: return Kind::f16;
    case DType::bfloat16: return Kind::bf16;
    case DType::float32: return Kind::f32;
    case DType::int64:
    case DType::float64:
    case DType::string: break;
  }
  return {};
}

bool BlockedLayout::equals(const LayoutDetail& other) const {
  const auto* blocked = dynamic_cast<const BlockedLayout*>(&other);
  return blocked && desc_ == blocked->desc_;
}

std::string BlockedLayout::text() const {
  const Dims dims = desc_.get_dims(), strides = desc_.get_strides();
  const Dims blocks = desc_.get_inner_blks(), blocked = desc_.get_inner_idxs();
  std::vector<std::size_t> order(dims.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return strides[a] > strides[b]; });
  std::string text;
  for (std::size_t axis : order) {
    const bool is_blocked = std::find(blocked.begin(), blocked.end(), static_cast<std::int64_t>(axis)) != blocked.end();
    text += static_cast<char>((is_blocked ? 'A' : 'a') + static_cast<char>(axis));
  }
  for (std::size_t i = 0; i < blocks.size(); ++i)
    text += fmt::format("{}{}", blocks[i], static_cast<char>('a' + blocked[i]));
  return text;
}

namespace {

// Of row-major order.
Dims dense_strides(const Dims& dims) {
  Dims strides(dims.size());
  std::int64_t stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<std::int64_t>(dims[i], 1);
  }
  return strides;
}

}  // namespace

Desc plain_desc(const Type& type) {
  Dims dims(type.shape.begin(), type.shape.end());
  if (dims.empty()) dims.push_back(1);
  const auto element = data_type(type.dtype);
  ensure(element.has_value(), "oneDNN has no element type for {}", type.dtype);
  return Desc(dims, *element, dense_strides(dims));
}

Desc desc_of(const Layout& layout, const Type& type) {
  const auto* blocked = dynamic_cast<const BlockedLayout*>(layout.detail());
  ensure(blocked || !layout.detail(), "layout {} is not one of the CPU backend's blocked ones", layout.text());
  return blocked ? blocked->desc() : plain_desc(type);
}

bool is_padded(const Desc& desc) { return desc.get_padded_dims() != desc.get_dims(); }

bool is_plain(const Desc& desc) {
  if (desc.get_inner_nblks() != 0 || is_padded(desc) || desc.get_submemory_offset() != 0) return false;
  const Dims dims = desc.get_dims(), strides = desc.get_strides(), dense = dense_strides(dims);
  for (std::size_t i = 0; i < dims.size(); ++i)
    if (dims[i] > 1 && strides[i] != dense[i]) return false;
  return true;
}

Layout layout_of(const Desc& desc, const Type& type) {
  return is_plain(desc) && desc.get_data_type() == data_type(type.dtype)
             ? Layout::plain()
             : Layout::opaque(std::make_shared<const BlockedLayout>(desc));
}

Desc channels_first(const Desc& desc) {
  // Axis i becomes axis permutation[i].
  std::vector<int> permutation(static_cast<std::size_t>(desc.get_ndims()));
  std::iota(permutation.begin(), permutation.end(), 1);
  permutation.front() = 0;
  if (permutation.size() > 1) permutation.back() = 1;
  return desc.permute_axes(permutation);
}

Desc channels_last(const Desc& desc) {
  std::vector<int> permutation(static_cast<std::size_t>(desc.get_ndims()));
  std::iota(permutation.begin(), permutation.end(), -1);
  permutation[0] = 0;
  if (permutation.size() > 1) permutation[1] = static_cast<int>(permutation.size()) - 1;
  return desc.permute_axes(permutation);
}

namespace {

using Tag = dnnl::memory::format_tag;
constexpr std::int64_t block_sizes[] = {16, 8, 4};
constexpr Tag block_tags[3][3] = {{Tag::nCw16c, Tag::nCw8c, Tag::nCw4c},  // by the number of spatial axes
                                  {Tag::nChw16c, Tag::nChw8c, Tag::nChw4c},
                                  {Tag::nCdhw16c, Tag::nCdhw8c, Tag::nCdhw4c}};

}  // namespace

std::optional<std::int64_t> channel_block(const Desc& desc) {
  const int axes = desc.get_ndims();
  if (axes < 3 || axes > 5) return {};
  for (std::size_t i = 0; i < std::size(block_sizes); ++i)
    if (Desc(desc.get_dims(), desc.get_data_type(), block_tags[axes - 3][i]) == desc) return block_sizes[i];
  return {};
}

Desc in_channel_blocks(const Dims& dims, dnnl::memory::data_type element, std::int64_t block) {
  const auto size = std::ranges::find(block_sizes, block) - std::begin(block_sizes);
  return Desc(dims, element, block_tags[dims.size() - 3][size]);
}

std::optional<Desc> in_order_of(const Desc& other, const Type& type) {
  const auto element = data_type(type.dtype);
  const auto block = channel_block(other);
  if (!block || type.shape.rank() != other.get_ndims() || !element) return {};
  return in_channel_blocks(channels_first(type.shape), *element, *block);
}

std::optional<Layout> layout_in_order_of(const Layout& other, const Type& other_type, const Type& type) {
  if (!other.detail()) return Layout::plain();
  const auto desc = in_order_of(channels_first(desc_of(other, other_type)), type);
  if (!desc) return {};
  return layout_of(channels_last(*desc), type);
}

std::optional<Layout> weights_layout_for(const Layout& layout, const Type& given, const Type& type) {
  const Desc desc = desc_of(layout, given);
  const auto element = data_type(type.dtype);
  if (desc.get_ndims() < 3 || !element) return {};
  if (desc.get_inner_nblks() == 0) return layout_of(Desc(desc.get_dims(), *element, desc.get_strides()), type);
  const std::vector<int> permutation = weights_permutation(desc.get_ndims(), desc.get_ndims() > given.shape.rank());
  const Desc order = desc.permute_axes(permutation);
  // oneDNN has no way to change the type of a descriptor; it names most orders.
  for (int number = dnnl_format_tag_any + 1; number < dnnl_format_tag_last; ++number) {
    const auto tag = static_cast<dnnl::memory::format_tag>(number);
    if (const Desc named(order.get_dims(), order.get_data_type(), tag, true); named.get(true) && named == order)
      return layout_of(Desc(order.get_dims(), *element, tag).permute_axes(inverse(permutation)), type);
  }
  return {};
}

std::vector<int> weights_permutation(int axes, bool grouped) {
  const int spatial = axes - (grouped ? 3 : 2), first = axes - spatial;
  std::vector<int> permutation(static_cast<std::size_t>(axes));
  std::iota(permutation.begin(), permutation.begin() + spatial, first);
  permutation[static_cast<std::size_t>(spatial)] = first - 1;
  std::iota(permutation.begin() + spatial + 1, permutation.end(), 0);
  return permutation;
}

std::vector<int> inverse(const std::vector<int>& permutation) {
  std::vector<int> back(permutation.size());
  for (std::size_t i = 0; i < permutation.size(); ++i)
    back[static_cast<std::size_t>(permutation[i])] = static_cast<int>(i);
  return back;
}

Dims channels_first(const Shape& shape) {
  Dims dims = {shape[0], shape[-1]};
  dims.insert(dims.end(), shape.begin() + 1, shape.end() - 1);
  return dims;
}

PrimitiveKernel::PrimitiveKernel(const dnnl::primitive& primitive, const Desc& scratchpad, std::size_t own_bytes)
    : primitive_(primitive), scratch_bytes_(own_bytes + scratchpad.get_size()) {
  if (scratchpad.get_size() > 0) scratch(DNNL_ARG_SCRATCHPAD, own_bytes, scratchpad);
}

void PrimitiveKernel::bind(int argument, Source source, std::ptrdiff_t place, const Desc& desc) {
  bindings_.push_back({source, place, dnnl::memory(desc, engine(), DNNL_MEMORY_NONE)});
  arguments_.push_back({argument, bindings_.back().memory.get()});
}

void copy_bytes(const void* from, void* to, std::size_t count) {
  if (from == to) return;
  const auto* source = static_cast<const std::byte*>(from);
  auto* target = static_cast<std::byte*>(to);
  parallel_for(static_cast<std::int64_t>(count), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    std::copy(source + begin, source + end, target + begin);
  });
}

void PrimitiveKernel::run(const KernelArguments& arguments) {
  if (accumulated_ >= 0)
    copy_bytes(arguments.inputs[static_cast<std::size_t>(accumulated_)], arguments.outputs[0], accumulated_bytes_);
  for (Binding& binding : bindings_) {
    void* data = nullptr;
    switch (binding.source) {
      // oneDNN takes what it only reads through the same handle as what it writes.
      case Source::input: data = const_cast<void*>(arguments.inputs[static_cast<std::size_t>(binding.place)]); break;
      case Source::output: data = arguments.outputs[static_cast<std::size_t>(binding.place)]; break;
      case Source::scratch: data = static_cast<std::byte*>(arguments.scratch) + binding.place; break;
    }
    binding.memory.set_data_handle(data);
  }
  // The C function: the C++ one would build a map of the arguments at each call.
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(primitive_.get(), stream().get(), static_cast<int>(arguments_.size()), arguments_.data()),
      "oneDNN could not execute a primitive");
}

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

}  // namespace nacre::onednn
