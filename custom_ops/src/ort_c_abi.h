// The part of ONNX Runtime's C ABI that a library of custom operators needs.
//
// ONNX Runtime hands a library a table of function pointers, OrtApi, whose slots never move: newer
// runtimes only append. So a library needs no SDK, only the positions and the signatures of what it
// calls, and those stand here; slots that we do not call are left without a name. The names are the
// official ones, so the library builds unchanged against onnxruntime_c_api.h (CMake option
// ONNXBIN_ORT_INCLUDE_DIR), and ort_c_abi_check.cpp then proves that every offset here is that of
// the official header.
#ifndef ONNXBIN_ORT_C_ABI_H_
#define ONNXBIN_ORT_C_ABI_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define ORT_API_CALL __stdcall
#else
#define ORT_API_CALL
#endif

struct OrtCustomOpDomain;
struct OrtKernelContext;
struct OrtKernelInfo;
struct OrtSessionOptions;
struct OrtShapeInferContext;
struct OrtStatus;
struct OrtTensorTypeAndShapeInfo;
struct OrtValue;
struct OrtAllocator;

enum OrtErrorCode { ORT_OK = 0, ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2 };
enum OrtMemType { OrtMemTypeDefault = 0 };
enum OrtCustomOpInputOutputCharacteristic { INPUT_OUTPUT_REQUIRED = 0 };
enum ONNXTensorElementDataType {
  ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED = 0,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 = 2,
};

// Function table of the runtime. A comment gives the number of the slot that follows it.
struct OrtApi {
  // 0
  OrtStatus*(ORT_API_CALL* CreateStatus)(OrtErrorCode code, const char* message);
  // 1
  void* unused_1[1];
  // 2
  const char*(ORT_API_CALL* GetErrorMessage)(const OrtStatus* status);
  // 3
  void* unused_3[23];
  // 26
  OrtStatus*(ORT_API_CALL* CreateCustomOpDomain)(const char* domain, OrtCustomOpDomain** out);
  // 27
  OrtStatus*(ORT_API_CALL* CustomOpDomain_Add)(OrtCustomOpDomain* domain,
                                               const struct OrtCustomOp* op);
  // 28
  OrtStatus*(ORT_API_CALL* AddCustomOpDomain)(OrtSessionOptions* options,
                                              OrtCustomOpDomain* domain);
  // 29
  void* unused_29[22];
  // 51
  OrtStatus*(ORT_API_CALL* GetTensorMutableData)(OrtValue* value, void** out);
  // 52
  void* unused_52[8];
  // 60
  OrtStatus*(ORT_API_CALL* GetTensorElementType)(const OrtTensorTypeAndShapeInfo* info,
                                                 ONNXTensorElementDataType* out);
  // 61
  OrtStatus*(ORT_API_CALL* GetDimensionsCount)(const OrtTensorTypeAndShapeInfo* info, size_t* out);
  // 62
  OrtStatus*(ORT_API_CALL* GetDimensions)(const OrtTensorTypeAndShapeInfo* info, int64_t* dims,
                                          size_t count);
  // 63
  void* unused_63[2];
  // 65
  OrtStatus*(ORT_API_CALL* GetTensorTypeAndShape)(const OrtValue* value,
                                                  OrtTensorTypeAndShapeInfo** out);
  // 66
  void* unused_66[19];
  // 85
  OrtStatus*(ORT_API_CALL* KernelInfoGetAttribute_float)(const OrtKernelInfo* info,
                                                         const char* name, float* out);
  // 86
  OrtStatus*(ORT_API_CALL* KernelInfoGetAttribute_int64)(const OrtKernelInfo* info,
                                                         const char* name, int64_t* out);
  // 87
  void* unused_87[3];
  // 90
  OrtStatus*(ORT_API_CALL* KernelContext_GetInput)(const OrtKernelContext* context, size_t index,
                                                   const OrtValue** out);
  // 91
  OrtStatus*(ORT_API_CALL* KernelContext_GetOutput)(OrtKernelContext* context, size_t index,
                                                    const int64_t* dims, size_t count,
                                                    OrtValue** out);
  // 92
  void* unused_92[1];
  // 93
  void(ORT_API_CALL* ReleaseStatus)(OrtStatus* status);
  // 94
  void* unused_94[5];
  // 99
  void(ORT_API_CALL* ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo* info);
  // 100
  void* unused_100[63];
  // 163: called with out = null it gives the size.
  OrtStatus*(ORT_API_CALL* KernelInfoGetAttributeArray_int64)(const OrtKernelInfo* info,
                                                              const char* name, int64_t* out,
                                                              size_t* size);
  // 164
  void* unused_164[80];
  // 244: the size counts the closing zero; called with out = null it gives the size.
  OrtStatus*(ORT_API_CALL* KernelInfo_GetNodeName)(const OrtKernelInfo* info, char* out,
                                                   size_t* size);
  // 245
  void* unused_245[4];
  // 249: the value belongs to the session, and is null where the input is no constant.
  OrtStatus*(ORT_API_CALL* KernelInfoGetConstantInput_tensor)(const OrtKernelInfo* info,
                                                              size_t index, int* is_constant,
                                                              const OrtValue** out);
  // 250
  void* unused_250[24];
  // 274: the newest entry that we call, since API version 17.
  OrtStatus*(ORT_API_CALL* KernelContext_ParallelFor)(const OrtKernelContext* context,
                                                      void (*fn)(void* user_data, size_t index),
                                                      size_t total, size_t num_batch,
                                                      void* user_data);
};

// What RegisterCustomOps gets: the way to a function table of a given version (null where the
// runtime is older).
struct OrtApiBase {
  const OrtApi*(ORT_API_CALL* GetApi)(uint32_t version);
  const char*(ORT_API_CALL* GetVersionString)();
};

// One custom operator. The library fills it in; the runtime reads the members that `version`
// covers.
struct OrtCustomOp {
  uint32_t version;
  void* unused_create_kernel;  // CreateKernelV2 takes its place
  const char*(ORT_API_CALL* GetName)(const OrtCustomOp* op);
  const char*(ORT_API_CALL* GetExecutionProviderType)(const OrtCustomOp* op);  // null: the CPU
  ONNXTensorElementDataType(ORT_API_CALL* GetInputType)(const OrtCustomOp* op, size_t index);
  size_t(ORT_API_CALL* GetInputTypeCount)(const OrtCustomOp* op);
  ONNXTensorElementDataType(ORT_API_CALL* GetOutputType)(const OrtCustomOp* op, size_t index);
  size_t(ORT_API_CALL* GetOutputTypeCount)(const OrtCustomOp* op);
  void* unused_kernel_compute;  // KernelComputeV2 takes its place
  void(ORT_API_CALL* KernelDestroy)(void* kernel);
  OrtCustomOpInputOutputCharacteristic(ORT_API_CALL* GetInputCharacteristic)(const OrtCustomOp* op,
                                                                             size_t index);
  OrtCustomOpInputOutputCharacteristic(ORT_API_CALL* GetOutputCharacteristic)(const OrtCustomOp* op,
                                                                              size_t index);
  OrtMemType(ORT_API_CALL* GetInputMemoryType)(const OrtCustomOp* op, size_t index);
  int(ORT_API_CALL* GetVariadicInputMinArity)(const OrtCustomOp* op);
  int(ORT_API_CALL* GetVariadicInputHomogeneity)(const OrtCustomOp* op);
  int(ORT_API_CALL* GetVariadicOutputMinArity)(const OrtCustomOp* op);
  int(ORT_API_CALL* GetVariadicOutputHomogeneity)(const OrtCustomOp* op);
  OrtStatus*(ORT_API_CALL* CreateKernelV2)(const OrtCustomOp* op, const OrtApi* api,
                                           const OrtKernelInfo* info, void** kernel);
  OrtStatus*(ORT_API_CALL* KernelComputeV2)(void* kernel, OrtKernelContext* context);
  OrtStatus*(ORT_API_CALL* InferOutputShapeFn)(const OrtCustomOp* op,
                                               OrtShapeInferContext* context);
  int(ORT_API_CALL* GetStartVersion)(const OrtCustomOp* op);
  int(ORT_API_CALL* GetEndVersion)(const OrtCustomOp* op);
};

#endif  // ONNXBIN_ORT_C_ABI_H_
