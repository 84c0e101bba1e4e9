#include "tests/backend/cudnn/fake_cudnn/fake_cudnn.h"

#include <dlfcn.h>

#include <cstring>
#include <map>

namespace {

using nacre::test::FakeCudnn;

FakeCudnn& fake() {
  static FakeCudnn one;
  return one;
}

// The real library's function of that name: it comes after this one.
template <class Function>
Function* real(Function*, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

int no_handle;                                     // its address is the handle
std::map<cudnnBackendDescriptor_t, bool> choices;  // descriptors of a choice of engines: whether they know the device

cudnnStatus_t set(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                  cudnnBackendAttributeType_t type, std::int64_t count, const void* values) {
  static const auto function = real(&cudnnBackendSetAttribute, "cudnnBackendSetAttribute");
  return function(descriptor, name, type, count, values);
}

cudnnBackendDescriptor_t device() {
  static const cudnnBackendDescriptor_t made = [] {
    cudnnBackendDescriptor_t descriptor = nullptr;
    real(&cudnnBackendCreateDescriptor, "cudnnBackendCreateDescriptor")(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR,
                                                                        &descriptor);
    set(descriptor, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, std::strlen(nacre::test::h200),
        nacre::test::h200);
    real(&cudnnBackendFinalize, "cudnnBackendFinalize")(descriptor);
    return descriptor;
  }();
  return made;
}

// What a descriptor of operands and results was given.
std::map<cudnnBackendDescriptor_t, FakeCudnn::Execution> given;

template <class Element>
std::vector<Element> copy(const void* values, std::int64_t count) {
  const auto* const first = static_cast<const Element*>(values);
  return {first, first + count};
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) FakeCudnn& nacre_fake_cudnn() { return fake(); }

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  if (fake().start != CUDNN_STATUS_SUCCESS) return fake().start;
  ++fake().handles;
  *handle = reinterpret_cast<cudnnHandle_t>(&no_handle);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t) {
  --fake().handles;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t stream) {
  fake().stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetStream(cudnnHandle_t, cudaStream_t* stream) {
  *stream = fake().stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  const cudnnStatus_t status = real(&cudnnBackendCreateDescriptor, "cudnnBackendCreateDescriptor")(type, descriptor);
  choices.erase(*descriptor), given.erase(*descriptor);
  if (type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) choices[*descriptor] = false;
  return status;
}

// A handle stands for the device.
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, std::int64_t count, const void* values) {
  if (name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE) return CUDNN_STATUS_SUCCESS;
  if (name == CUDNN_ATTR_ENGINEHEUR_DEVICEPROP) choices[descriptor] = true;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE) {
    const cudnnBackendDescriptor_t stands_for = device();
    return set(descriptor, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &stands_for);
  }
  if (name == CUDNN_ATTR_VARIANT_PACK_WORKSPACE) given[descriptor].workspace = copy<void*>(values, count).at(0);
  if (name == CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS) given[descriptor].ids = copy<std::int64_t>(values, count);
  if (name == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) given[descriptor].places = copy<void*>(values, count);
  if (name == CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG) ++fake().plans_built;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION) ++fake().plans_read;
  return set(descriptor, name, type, count, values);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  if (const auto choice = choices.find(descriptor); choice != choices.end() && !choice->second) {
    const cudnnBackendDescriptor_t stands_for = device();
    set(descriptor, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &stands_for);
  }
  return real(&cudnnBackendFinalize, "cudnnBackendFinalize")(descriptor);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t,
                                  cudnnBackendDescriptor_t variant_pack) {
  if (handle != reinterpret_cast<cudnnHandle_t>(&no_handle)) return CUDNN_STATUS_BAD_PARAM;
  fake().executions.push_back(given[variant_pack]);
  return CUDNN_STATUS_SUCCESS;
}

}  // extern "C"
