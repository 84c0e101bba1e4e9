#include "backend/onednn/attention/tile_product.h"

#include "backend/core/parallel.h"

namespace nacre::onednn {

namespace {

// While it lives, primitives are made for the calling thread alone.
class OneThread {
 public:
  OneThread() {
#ifdef _OPENMP
    omp_set_num_threads(1);
#endif
  }
  ~OneThread() { engine(); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;
};

dnnl::matmul::primitive_desc describe(const dnnl::engine& cpu, const TileProduct::Form& form, DType dtype) {
  const auto matrix = [](std::int64_t rows, std::int64_t columns, bool transposed, dnnl::memory::data_type type) {
    return Desc({rows, columns}, type, transposed ? Dims{1, rows} : Dims{columns, 1});
  };
  const auto type = *data_type(dtype);
  dnnl::primitive_attr with = attributes();
  if (form.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum();
    with.set_post_ops(sum);
  }
  return {cpu, matrix(form.m, form.k, form.transpose_a, type), matrix(form.k, form.n, form.transpose_b, type),
          matrix(form.m, form.n, false, dnnl::memory::data_type::f32), with};
}

}  // namespace

TileProduct::TileProduct(const Form& form, DType dtype) {
  const dnnl::engine& cpu = engine();
  const OneThread one;
  const dnnl::matmul::primitive_desc made = describe(cpu, form, dtype);
  primitive_ = dnnl::matmul(made);
  a_ = dnnl::memory(made.src_desc(), cpu, DNNL_MEMORY_NONE);
  b_ = dnnl::memory(made.weights_desc(), cpu, DNNL_MEMORY_NONE);
  c_ = dnnl::memory(made.dst_desc(), cpu, DNNL_MEMORY_NONE);
  scratch_ = dnnl::memory(made.scratchpad_desc(), cpu, DNNL_MEMORY_NONE);
  scratch_bytes_ = made.scratchpad_desc().get_size();
}

bool TileProduct::implemented(DType dtype) {
  try {
    describe(engine(), {16, 16, 16}, dtype);
    return true;
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return false;
    throw;
  }
}

void TileProduct::operator()(const void* a, const void* b, float* c, void* scratch) {
  // oneDNN takes what it only reads through the same handle as what it writes.
  a_.set_data_handle(const_cast<void*>(a));
  b_.set_data_handle(const_cast<void*>(b));
  c_.set_data_handle(c);
  dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, a_.get()},
                                 {DNNL_ARG_WEIGHTS, b_.get()},
                                 {DNNL_ARG_DST, c_.get()},
                                 {DNNL_ARG_SCRATCHPAD, scratch_.get()}};
  if (scratch_bytes_ > 0) scratch_.set_data_handle(scratch);
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(primitive_.get(), stream().get(), scratch_bytes_ > 0 ? 4 : 3, arguments),
      "oneDNN could not execute a primitive");
}

}  // namespace nacre::onednn
