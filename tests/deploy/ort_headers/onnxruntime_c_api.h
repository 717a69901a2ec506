// A stand-in for ONNX Runtime's header of this name, for tests where it cannot be had: what the
// example in C++ uses of it. The slots of OrtApi never move, see custom_ops/src/ort_c_abi.h; a
// comment gives the number of the slot that follows it.
#ifndef ONNXRUNTIME_C_API_STAND_IN_H_
#define ONNXRUNTIME_C_API_STAND_IN_H_

#include <cstddef>
#include <cstdint>

#define ORT_API_CALL
#define ORTCHAR_T char

struct OrtAllocator;
struct OrtEnv;
struct OrtMemoryInfo;
struct OrtRunOptions;
struct OrtSession;
struct OrtSessionOptions;
struct OrtStatus;
struct OrtTensorTypeAndShapeInfo;
struct OrtValue;

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_WARNING = 2 };
enum OrtAllocatorType { OrtArenaAllocator = 1 };
enum OrtMemType { OrtMemTypeDefault = 0 };
enum ONNXTensorElementDataType { ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1 };

struct OrtApi {
  // 0
  void* unused_0[2];
  // 2
  const char* (*GetErrorMessage)(const OrtStatus*);
  // 3
  OrtStatus* (*CreateEnv)(OrtLoggingLevel, const char* log_name, OrtEnv** out);
  // 4
  void* unused_4[3];
  // 7
  OrtStatus* (*CreateSession)(const OrtEnv*, const ORTCHAR_T* path, const OrtSessionOptions*,
                              OrtSession** out);
  // 8
  void* unused_8[1];
  // 9
  OrtStatus* (*Run)(OrtSession*, const OrtRunOptions*, const char* const* input_names,
                    const OrtValue* const* inputs, size_t input_count,
                    const char* const* output_names, size_t output_count, OrtValue** outputs);
  // 10
  OrtStatus* (*CreateSessionOptions)(OrtSessionOptions** out);
  // 11
  void* unused_11[25];
  // 36
  OrtStatus* (*SessionGetInputName)(const OrtSession*, size_t index, OrtAllocator*, char** out);
  // 37
  OrtStatus* (*SessionGetOutputName)(const OrtSession*, size_t index, OrtAllocator*, char** out);
  // 38
  void* unused_38[11];
  // 49
  OrtStatus* (*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo*, void* data, size_t bytes,
                                               const int64_t* shape, size_t rank,
                                               ONNXTensorElementDataType, OrtValue** out);
  // 50
  void* unused_50[1];
  // 51
  OrtStatus* (*GetTensorMutableData)(OrtValue*, void** out);
  // 52
  void* unused_52[9];
  // 61
  OrtStatus* (*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo*, size_t* out);
  // 62
  OrtStatus* (*GetDimensions)(const OrtTensorTypeAndShapeInfo*, int64_t* dims, size_t rank);
  // 63
  void* unused_63[1];
  // 64
  OrtStatus* (*GetTensorShapeElementCount)(const OrtTensorTypeAndShapeInfo*, size_t* out);
  // 65
  OrtStatus* (*GetTensorTypeAndShape)(const OrtValue*, OrtTensorTypeAndShapeInfo** out);
  // 66
  void* unused_66[3];
  // 69
  OrtStatus* (*CreateCpuMemoryInfo)(OrtAllocatorType, OrtMemType, OrtMemoryInfo** out);
  // 70
  void* unused_70[6];
  // 76
  OrtStatus* (*AllocatorFree)(OrtAllocator*, void* data);
  // 77
  void* unused_77[1];
  // 78
  OrtStatus* (*GetAllocatorWithDefaultOptions)(OrtAllocator** out);
  // 79
  void* unused_79[13];
  // 92
  void (*ReleaseEnv)(OrtEnv*);
  // 93
  void (*ReleaseStatus)(OrtStatus*);
  // 94
  void (*ReleaseMemoryInfo)(OrtMemoryInfo*);
  // 95
  void (*ReleaseSession)(OrtSession*);
  // 96
  void (*ReleaseValue)(OrtValue*);
  // 97
  void* unused_97[2];
  // 99
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo*);
  // 100
  void (*ReleaseSessionOptions)(OrtSessionOptions*);
};
static_assert(offsetof(OrtApi, ReleaseSessionOptions) == 100 * sizeof(void*), "slots are counted");

struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

extern "C" const OrtApiBase* OrtGetApiBase() noexcept;

#endif  // ONNXRUNTIME_C_API_STAND_IN_H_
