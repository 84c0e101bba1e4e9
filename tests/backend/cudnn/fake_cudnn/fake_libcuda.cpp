// A libcuda.so.1 for cuDNN alone, where there is no driver: kernels are loaded, which is part of planning those that
// cuDNN compiles itself, and there is no device for anything else. Without cuda.h, whose declarations say more.
namespace {
int something;
constexpr int success = 0, no_device = 100;  // of CUresult
}  // namespace

#define WITHOUT_DEVICE(name) \
  int name() { return no_device; }

extern "C" {

int cuLibraryLoadData(void** library) { return *library = &something, success; }
int cuLibraryGetKernel(void** kernel) { return *kernel = &something, success; }
int cuLibraryUnload() { return success; }

// What else cuDNN looks for.
WITHOUT_DEVICE(cuCtxGetCurrent)
WITHOUT_DEVICE(cuCtxGetLimit)
WITHOUT_DEVICE(cuCtxPopCurrent)
WITHOUT_DEVICE(cuCtxPushCurrent)
WITHOUT_DEVICE(cuDeviceGet)
WITHOUT_DEVICE(cuDeviceGetCount)
WITHOUT_DEVICE(cuDriverGetVersion)
WITHOUT_DEVICE(cuGetErrorName)
WITHOUT_DEVICE(cuGetErrorString)
WITHOUT_DEVICE(cuInit)
WITHOUT_DEVICE(cuKernelGetAttribute)
WITHOUT_DEVICE(cuKernelSetAttribute)
WITHOUT_DEVICE(cuLaunchCooperativeKernel)
WITHOUT_DEVICE(cuLaunchKernel)
WITHOUT_DEVICE(cuLaunchKernelEx)
WITHOUT_DEVICE(cuLibraryLoadFromFile)
WITHOUT_DEVICE(cuLinkAddData)
WITHOUT_DEVICE(cuLinkComplete)
WITHOUT_DEVICE(cuLinkCreate)
WITHOUT_DEVICE(cuLinkDestroy)
WITHOUT_DEVICE(cuOccupancyMaxPotentialClusterSize)
WITHOUT_DEVICE(cuStreamGetCtx)

}  // extern "C"
