#include "backend/cudnn/module/blas.h"

#include <limits>

#include "backend/core/tensor.h"
#include "backend/cudnn/module/library.h"

namespace nacre::gpu {

CublasLt load_cublas_lt() {
  const SharedLibrary library(fmt::format("libcublasLt.so.{}", CUDA_VERSION / 1000), "cuBLASLt");
  CublasLt blas{};
  library.find(blas.version, "cublasLtGetVersion");
  library.find(blas.status_string, "cublasLtGetStatusString");
  library.find(blas.create, "cublasLtCreate");
  library.find(blas.destroy, "cublasLtDestroy");
  library.find(blas.create_operation, "cublasLtMatmulDescCreate");
  library.find(blas.destroy_operation, "cublasLtMatmulDescDestroy");
  library.find(blas.set_operation, "cublasLtMatmulDescSetAttribute");
  library.find(blas.create_layout, "cublasLtMatrixLayoutCreate");
  library.find(blas.destroy_layout, "cublasLtMatrixLayoutDestroy");
  library.find(blas.set_layout, "cublasLtMatrixLayoutSetAttribute");
  library.find(blas.create_preference, "cublasLtMatmulPreferenceCreate");
  library.find(blas.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  library.find(blas.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  library.find(blas.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  library.find(blas.matmul, "cublasLtMatmul");
  return blas;
}

namespace {

constexpr std::size_t workspace_limit = std::size_t{32} << 20;
constexpr std::size_t workspace_alignment = 256;

// A description of the library's, released by the function that belongs to it.
template <class Opaque>
using Owned = std::unique_ptr<Opaque, cublasStatus_t (*)(Opaque*)>;

cudaDataType element_type(DType dtype) {
  switch (dtype) {
    case DType::float16: return CUDA_R_16F;
    case DType::bfloat16: return CUDA_R_16BF;
    case DType::float64: return CUDA_R_64F;
    default: return CUDA_R_32F;
  }
}

cudaDataType element_type(Float8Format format) {
  return format == Float8Format::e4m3fn ? CUDA_R_8F_E4M3 : CUDA_R_8F_E5M2;
}

}  // namespace

// The library takes matrices column by column. Read so, a row-major matrix is its transpose, and yᵀ = bᵀ · aᵀ: the
// library's first factor is our b, its second our a, and its rows are our n columns.
class MatMul final : public Work {
 public:
  MatMul(std::shared_ptr<Blas> blas, const MatMulDescription& d)
      : blas_(std::move(blas)),
        has_bias_(d.bias),
        has_residual_(d.residual),
        wide_(d.dtype == DType::float64),
        scaled_(d.eight_bits),
        operation_(nullptr, library().destroy_operation),
        first_(layout(d.eight_bits ? element_type(d.eight_bits->b) : element_type(d.dtype), d.transpose_b ? d.k : d.n,
                      d.transpose_b ? d.n : d.k, d.batch, d.stride_b)),
        second_(layout(d.eight_bits ? element_type(d.eight_bits->a) : element_type(d.dtype), d.transpose_a ? d.m : d.k,
                       d.transpose_a ? d.k : d.m, d.batch, d.stride_a)),
        result_(layout(element_type(d.dtype), d.n, d.m, d.batch, d.m * d.n)) {
    cublasLtMatmulDesc_t operation = nullptr;
    const bool rounds = d.tensor_float32 && d.dtype == DType::float32;
    const cublasComputeType_t compute = wide_    ? CUBLAS_COMPUTE_64F
                                        : rounds ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                 : CUBLAS_COMPUTE_32F;
    blas_->check(library().create_operation(&operation, compute, wide_ ? CUDA_R_64F : CUDA_R_32F),
                 "describe a product");
    operation_.reset(operation);
    set(CUBLASLT_MATMUL_DESC_TRANSA, d.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, d.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, d.bias && d.relu ? CUBLASLT_EPILOGUE_RELU_BIAS
                                       : d.bias         ? CUBLASLT_EPILOGUE_BIAS
                                       : d.relu         ? CUBLASLT_EPILOGUE_RELU
                                                        : CUBLASLT_EPILOGUE_DEFAULT);
    // Algorithms are chosen for addresses as aligned as those to come; nothing is read there meanwhile.
    const void* const any = reinterpret_cast<const void*>(std::uintptr_t{buffer_alignment});
    if (has_bias_) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, any);
    if (scaled_) {
      set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, any);
      set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, any);
    }
  }

  // Whether there is an algorithm.
  bool choose() {
    cublasLtMatmulPreference_t made = nullptr;
    blas_->check(library().create_preference(&made), "describe a product");
    const Owned<cublasLtMatmulPreferenceOpaque_t> preference(made, library().destroy_preference);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      blas_->check(library().set_preference(preference.get(), attribute, &value, sizeof value), "describe a product");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_limit});
    // Sums in parts are joined as wide as they were made.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      prefer(attribute, static_cast<std::uint32_t>(buffer_alignment));
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status = library().heuristic(blas_->handle_, operation_.get(), first_.get(), second_.get(),
                                                      result_.get(), result_.get(), preference.get(), 1, &best, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0)) return false;
    blas_->check(status, "choose an algorithm for a product");
    algorithm_ = best.algo, workspace_ = best.workspaceSize;
    return best.state == CUBLAS_STATUS_SUCCESS;
  }

  std::size_t scratch_bytes() const override { return workspace_ ? workspace_ + workspace_alignment : 0; }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const Current current(*blas_->context_);
    if (has_bias_) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, inputs[2]);
    if (scaled_) {
      set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, inputs[3]);
      set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, inputs[2]);
    }
    // y = factor · product + share · residual, before the epilogue.
    const float factor = 1, share = has_residual_ ? 1 : 0;
    const double wide_factor = factor, wide_share = share;
    std::size_t space = scratch_bytes();
    void* const workspace = workspace_ ? std::align(workspace_alignment, workspace_, scratch, space) : nullptr;
    blas_->check(library().matmul(blas_->handle_, operation_.get(),
                                  wide_ ? static_cast<const void*>(&wide_factor) : &factor, inputs[1], first_.get(),
                                  inputs[0], second_.get(), wide_ ? static_cast<const void*>(&wide_share) : &share,
                                  has_residual_ ? inputs.back() : outputs[0], result_.get(), outputs[0], result_.get(),
                                  &algorithm_, workspace, workspace_, blas_->context_->stream()),
                 "multiply matrices");
  }

 private:
  const CublasLt& library() const { return blas_->library_; }

  void set(cublasLtMatmulDescAttributes_t attribute, auto value) {
    blas_->check(library().set_operation(operation_.get(), attribute, &value, sizeof value), "describe a product");
  }

  Owned<cublasLtMatrixLayoutOpaque_t> layout(cudaDataType type, std::int64_t rows, std::int64_t columns,
                                             std::int64_t batch, std::int64_t stride) const {
    cublasLtMatrixLayout_t made = nullptr;
    blas_->check(library().create_layout(&made, type, static_cast<std::uint64_t>(rows),
                                         static_cast<std::uint64_t>(columns), rows),
                 "describe a matrix");
    Owned<cublasLtMatrixLayoutOpaque_t> layout(made, library().destroy_layout);
    const auto put = [&](cublasLtMatrixLayoutAttribute_t attribute, auto value) {
      blas_->check(library().set_layout(made, attribute, &value, sizeof value), "describe a matrix");
    };
    if (batch > 1) {
      put(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(batch));
      put(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
    }
    return layout;
  }

  std::shared_ptr<Blas> blas_;
  bool has_bias_, has_residual_, wide_, scaled_;
  Owned<cublasLtMatmulDescOpaque_t> operation_;
  Owned<cublasLtMatrixLayoutOpaque_t> first_, second_, result_;
  cublasLtMatmulAlgo_t algorithm_{};
  std::size_t workspace_ = 0;
};

Blas::Blas(const CublasLt& library, std::shared_ptr<const Context> context)
    : library_(library), context_(std::move(context)) {
  check(library_.create(&handle_), "start");
}

Blas::~Blas() {
  try {
    const Current current(*context_);
    library_.destroy(handle_);
  } catch (const Error&) {  // the driver has been shut down
  }
}

std::string Blas::version() const {
  const std::size_t version = library_.version();  // 130100
  return fmt::format("{}.{}", version / 10000, version / 100 % 100);
}

void Blas::check(cublasStatus_t status, std::string_view action) const {
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw Error("cuBLASLt failed to {}: no memory left on the GPU", action);
  if (status != CUBLAS_STATUS_SUCCESS) throw Error("cuBLASLt failed to {}: {}", action, library_.status_string(status));
}

std::unique_ptr<Work> Blas::matmul(const MatMulDescription& description) {
  if (description.batch > std::numeric_limits<std::int32_t>::max()) return nullptr;
  auto work = std::make_unique<MatMul>(shared_from_this(), description);
  if (work->choose()) return work;
  if (!description.tensor_float32) return nullptr;
  MatMulDescription exact = description;  // older devices do not round factors
  exact.tensor_float32 = false;
  work = std::make_unique<MatMul>(shared_from_this(), exact);
  return work->choose() ? std::move(work) : nullptr;
}

}  // namespace nacre::gpu
