// Compiled only where the official headers are (ONNXBIN_ORT_INCLUDE_DIR): every member of
// ort_c_abi.h must stand at the offset that it has there.
#include <onnxruntime_c_api.h>

#include <cstddef>
#include <cstdint>

#undef ORT_API_CALL
namespace ours {
#include "ort_c_abi.h"
}  // namespace ours

#define SAME_OFFSET(type, member)                                         \
  static_assert(offsetof(ours::type, member) == offsetof(::type, member), \
                "ort_c_abi.h and onnxruntime_c_api.h disagree on " #type "::" #member)

SAME_OFFSET(OrtApiBase, GetApi);
SAME_OFFSET(OrtApiBase, GetVersionString);

SAME_OFFSET(OrtApi, CreateStatus);
SAME_OFFSET(OrtApi, GetErrorMessage);
SAME_OFFSET(OrtApi, CreateCustomOpDomain);
SAME_OFFSET(OrtApi, CustomOpDomain_Add);
SAME_OFFSET(OrtApi, AddCustomOpDomain);
SAME_OFFSET(OrtApi, GetTensorMutableData);
SAME_OFFSET(OrtApi, GetTensorElementType);
SAME_OFFSET(OrtApi, GetDimensionsCount);
SAME_OFFSET(OrtApi, GetDimensions);
SAME_OFFSET(OrtApi, GetTensorTypeAndShape);
SAME_OFFSET(OrtApi, KernelInfoGetAttribute_float);
SAME_OFFSET(OrtApi, KernelInfoGetAttribute_int64);
SAME_OFFSET(OrtApi, KernelContext_GetInput);
SAME_OFFSET(OrtApi, KernelContext_GetOutput);
SAME_OFFSET(OrtApi, ReleaseStatus);
SAME_OFFSET(OrtApi, ReleaseTensorTypeAndShapeInfo);
SAME_OFFSET(OrtApi, KernelInfoGetAttributeArray_int64);
SAME_OFFSET(OrtApi, KernelInfo_GetNodeName);
SAME_OFFSET(OrtApi, KernelInfoGetConstantInput_tensor);
SAME_OFFSET(OrtApi, KernelContext_ParallelFor);

SAME_OFFSET(OrtCustomOp, version);
SAME_OFFSET(OrtCustomOp, GetName);
SAME_OFFSET(OrtCustomOp, GetExecutionProviderType);
SAME_OFFSET(OrtCustomOp, GetInputType);
SAME_OFFSET(OrtCustomOp, GetInputTypeCount);
SAME_OFFSET(OrtCustomOp, GetOutputType);
SAME_OFFSET(OrtCustomOp, GetOutputTypeCount);
SAME_OFFSET(OrtCustomOp, KernelDestroy);
SAME_OFFSET(OrtCustomOp, GetInputCharacteristic);
SAME_OFFSET(OrtCustomOp, GetOutputCharacteristic);
SAME_OFFSET(OrtCustomOp, GetInputMemoryType);
SAME_OFFSET(OrtCustomOp, GetVariadicInputMinArity);
SAME_OFFSET(OrtCustomOp, GetVariadicInputHomogeneity);
SAME_OFFSET(OrtCustomOp, GetVariadicOutputMinArity);
SAME_OFFSET(OrtCustomOp, GetVariadicOutputHomogeneity);
SAME_OFFSET(OrtCustomOp, CreateKernelV2);
SAME_OFFSET(OrtCustomOp, KernelComputeV2);
SAME_OFFSET(OrtCustomOp, InferOutputShapeFn);
SAME_OFFSET(OrtCustomOp, GetStartVersion);
SAME_OFFSET(OrtCustomOp, GetEndVersion);
