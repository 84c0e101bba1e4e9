// Matrix products by cuBLASLt.
#pragma once

#include <cublasLt.h>

#include <memory>
#include <string>

#include "backend/cudnn/device.h"
#include "backend/cudnn/module/context.h"

namespace nacre::gpu {

struct CublasLt {
  decltype(&cublasLtGetVersion) version;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmulDescCreate) create_operation;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatrixLayoutSetAttribute) set_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmul) matmul;
};
CublasLt load_cublas_lt();  // throws an Error where there is none

// The library on one context.
class Blas : public std::enable_shared_from_this<Blas> {
 public:
  Blas(const CublasLt& library, std::shared_ptr<const Context> context);  // with the context current, as matmul
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  std::string version() const;  // "13.1"
  // Null where the library has no algorithm for it.
  std::unique_ptr<Work> matmul(const MatMulDescription& description);

 private:
  friend class MatMul;
  void check(cublasStatus_t status, std::string_view action) const;

  const CublasLt library_;
  std::shared_ptr<const Context> context_;
  cublasLtHandle_t handle_ = nullptr;
};

}  // namespace nacre::gpu
