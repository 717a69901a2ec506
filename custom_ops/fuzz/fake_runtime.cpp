#include "fake_runtime.h"

#include <cstring>
#include <memory>

#include "onnxbin_ops.h"

struct OrtStatus {
  std::string message;
};
struct OrtTensorTypeAndShapeInfo {
  const OrtValue* value;
};
struct OrtCustomOpDomain {
  std::string name;
  std::vector<const OrtCustomOp*> operators;
};
struct OrtSessionOptions {
  std::vector<std::unique_ptr<OrtCustomOpDomain>> domains;
};

int64_t OrtValue::elements() const {
  int64_t count = 1;
  for (int64_t extent : shape) count *= extent;
  return count;
}

size_t OrtValue::bytes() const {
  return static_cast<size_t>(elements()) * (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 ? 1 : 4);
}

bool OrtValue::Allocate(int64_t most) {
  int64_t count = 1;
  for (int64_t extent : shape) {
    if (extent < 0 || extent > most || count * extent > most) return false;
    count *= extent;
  }
  data = std::make_unique<unsigned char[]>(bytes());
  return true;
}

namespace onnxbin::fuzz {
namespace {

OrtStatus* Fail(const char* message) { return new OrtStatus{message}; }

const OrtKernelInfo::Attribute* Find(const OrtKernelInfo* info, const char* name) {
  const auto found = info->attributes.find(name);
  return found == info->attributes.end() ? nullptr : &found->second;
}

OrtApi MakeApi() {
  OrtApi api{};
  api.CreateStatus = [](OrtErrorCode, const char* message) { return Fail(message); };
  api.GetErrorMessage = [](const OrtStatus* status) { return status->message.c_str(); };
  api.ReleaseStatus = [](OrtStatus* status) { delete status; };

  api.CreateCustomOpDomain = [](const char* name, OrtCustomOpDomain** out) -> OrtStatus* {
    *out = new OrtCustomOpDomain{name, {}};
    return nullptr;
  };
  api.CustomOpDomain_Add = [](OrtCustomOpDomain* domain, const OrtCustomOp* op) -> OrtStatus* {
    domain->operators.push_back(op);
    return nullptr;
  };
  api.AddCustomOpDomain = [](OrtSessionOptions* options, OrtCustomOpDomain* domain) -> OrtStatus* {
    options->domains.emplace_back(domain);
    return nullptr;
  };

  api.GetTensorMutableData = [](OrtValue* value, void** out) -> OrtStatus* {
    *out = value->data.get();
    return nullptr;
  };
  api.GetTensorTypeAndShape = [](const OrtValue* value,
                                 OrtTensorTypeAndShapeInfo** out) -> OrtStatus* {
    *out = new OrtTensorTypeAndShapeInfo{value};
    return nullptr;
  };
  api.ReleaseTensorTypeAndShapeInfo = [](OrtTensorTypeAndShapeInfo* info) { delete info; };
  api.GetTensorElementType = [](const OrtTensorTypeAndShapeInfo* info,
                                ONNXTensorElementDataType* out) -> OrtStatus* {
    *out = info->value->type;
    return nullptr;
  };
  api.GetDimensionsCount = [](const OrtTensorTypeAndShapeInfo* info, size_t* out) -> OrtStatus* {
    *out = info->value->shape.size();
    return nullptr;
  };
  api.GetDimensions = [](const OrtTensorTypeAndShapeInfo* info, int64_t* dims,
                         size_t count) -> OrtStatus* {
    for (size_t i = 0; i < count; ++i) dims[i] = info->value->shape[i];
    return nullptr;
  };

  api.KernelInfoGetAttribute_float = [](const OrtKernelInfo* info, const char* name,
                                        float* out) -> OrtStatus* {
    const OrtKernelInfo::Attribute* found = Find(info, name);
    if (!found || found->type != OrtKernelInfo::Attribute::kFloat) return Fail("no such float");
    *out = found->number;
    return nullptr;
  };
  api.KernelInfoGetAttribute_int64 = [](const OrtKernelInfo* info, const char* name,
                                        int64_t* out) -> OrtStatus* {
    const OrtKernelInfo::Attribute* found = Find(info, name);
    if (!found || found->type != OrtKernelInfo::Attribute::kInteger) return Fail("no such integer");
    *out = found->values.front();
    return nullptr;
  };
  // Of an attribute of another type the real one gives an empty list.
  api.KernelInfoGetAttributeArray_int64 = [](const OrtKernelInfo* info, const char* name,
                                             int64_t* out, size_t* size) -> OrtStatus* {
    const OrtKernelInfo::Attribute* found = Find(info, name);
    if (!found) return Fail("no such attribute");
    const bool list = found->type == OrtKernelInfo::Attribute::kIntegers;
    const size_t count = list ? found->values.size() : 0;
    if (out && *size < count) return Fail("too small a buffer");
    for (size_t i = 0; out && i < count; ++i) out[i] = found->values[i];
    *size = count;
    return nullptr;
  };
  api.KernelInfo_GetNodeName = [](const OrtKernelInfo*, char* out, size_t* size) -> OrtStatus* {
    if (out) std::memcpy(out, kNodeName, sizeof(kNodeName));
    *size = sizeof(kNodeName);
    return nullptr;
  };
  api.KernelInfoGetConstantInput_tensor = [](const OrtKernelInfo* info, size_t index,
                                             int* is_constant, const OrtValue** out) -> OrtStatus* {
    if (index >= info->inputs.size()) return Fail("no such input");
    *is_constant = index != 0 && index != info->variable;
    *out = *is_constant ? &info->inputs[index] : nullptr;
    return nullptr;
  };

  api.KernelContext_GetInput = [](const OrtKernelContext* context, size_t,
                                  const OrtValue** out) -> OrtStatus* {
    *out = context->x;
    return nullptr;
  };
  api.KernelContext_GetOutput = [](OrtKernelContext* context, size_t, const int64_t* dims,
                                   size_t count, OrtValue** out) -> OrtStatus* {
    context->y.shape.assign(dims, dims + count);
    if (!context->y.Allocate(context->most_outputs)) return Fail("too large an output");
    std::memset(context->y.data.get(), 0xab, context->y.bytes());
    *out = &context->y;
    return nullptr;
  };
  // Backwards: tasks may come in any order.
  api.KernelContext_ParallelFor = [](const OrtKernelContext*, void (*task)(void*, size_t),
                                     size_t total, size_t, void* user) -> OrtStatus* {
    for (size_t i = total; i-- > 0;) task(user, i);
    return nullptr;
  };
  return api;
}

}  // namespace

const OrtApi& Api() {
  static const OrtApi api = MakeApi();
  return api;
}

std::vector<const OrtCustomOp*> RegisteredOperators(const std::string& domain) {
  const OrtApiBase base{[](uint32_t) { return &Api(); }, [] { return "fake"; }};
  OrtSessionOptions options;
  Message(RegisterCustomOps(&options, &base));
  for (const auto& known : options.domains) {
    if (known->name == domain) return known->operators;
  }
  return {};
}

std::string Message(OrtStatus* status) {
  if (!status) return "";
  const std::string message = status->message;
  delete status;
  return message;
}

}  // namespace onnxbin::fuzz
