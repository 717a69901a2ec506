#include "ort_node.h"

#include <memory>
#include <stdexcept>

#include "conv_params.h"

namespace onnxbin {

void ThrowOnError(const OrtApi& api, OrtStatus* status) {
  if (!status) return;
  const std::string message = api.GetErrorMessage(status);
  api.ReleaseStatus(status);
  throw std::runtime_error(message);
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::string OrtNode::Name() const {
  size_t size = 0;
  ThrowOnError(api_, api_.KernelInfo_GetNodeName(info_, nullptr, &size));
  std::string name(size, '\0');
  ThrowOnError(api_, api_.KernelInfo_GetNodeName(info_, &name[0], &size));
  return name.c_str();  // without the closing zero
}

// A list of integers can be asked of an attribute of any type (others give an empty one), but not
// of one that is missing.
bool OrtNode::Has(const char* attribute) const {
  size_t size = 0;
  OrtStatus* status = api_.KernelInfoGetAttributeArray_int64(info_, attribute, nullptr, &size);
  if (!status) return true;
  api_.ReleaseStatus(status);
  return false;
}

int64_t OrtNode::Integer(const char* attribute) const {
  int64_t value = 0;
  OrtStatus* status = api_.KernelInfoGetAttribute_int64(info_, attribute, &value);
  if (!status) return value;
  api_.ReleaseStatus(status);
  throw InvalidModel(std::string("attribute ") + attribute + " is missing or of another type; " +
                     "expected an integer");
}

float OrtNode::Float(const char* attribute) const {
  float value = 0;
  OrtStatus* status = api_.KernelInfoGetAttribute_float(info_, attribute, &value);
  if (!status) return value;
  api_.ReleaseStatus(status);
  throw InvalidModel(std::string("attribute ") + attribute +
                     " is missing or of another type; expected a float");
}

std::vector<int64_t> OrtNode::Integers(const char* attribute) const {
  if (!Has(attribute)) {
    throw InvalidModel(std::string("attribute ") + attribute +
                       " is missing; expected a list of integers");
  }
  size_t size = 0;
  ThrowOnError(api_, api_.KernelInfoGetAttributeArray_int64(info_, attribute, nullptr, &size));
  std::vector<int64_t> values(size);
  if (size) {
    ThrowOnError(api_,
                 api_.KernelInfoGetAttributeArray_int64(info_, attribute, values.data(), &size));
  }
  return values;
}

Tensor OrtNode::Constant(size_t index, const char* name, ONNXTensorElementDataType type) const {
  int is_constant = 0;
  const OrtValue* value = nullptr;
  ThrowOnError(api_, api_.KernelInfoGetConstantInput_tensor(info_, index, &is_constant, &value));
  if (!is_constant || !value) {
    throw InvalidModel(
        std::string("input ") + name +
        " changes at run time; expected an initializer that is not a graph input as well");
  }
  return ReadTensor(api_, value, name, type);
}

Tensor ReadTensor(const OrtApi& api, const OrtValue* value, const char* name,
                  ONNXTensorElementDataType type) {
  OrtTensorTypeAndShapeInfo* raw = nullptr;
  ThrowOnError(api, api.GetTensorTypeAndShape(value, &raw));
  const auto release = [&api](OrtTensorTypeAndShapeInfo* info) {
    api.ReleaseTensorTypeAndShapeInfo(info);
  };
  const std::unique_ptr<OrtTensorTypeAndShapeInfo, decltype(release)> info(raw, release);

  ONNXTensorElementDataType found = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  ThrowOnError(api, api.GetTensorElementType(info.get(), &found));
  if (found != type) {
    throw InvalidModel(std::string("input ") + name + " has element type " + std::to_string(found) +
                       "; expected " + std::to_string(type) + " (1 is float32, 2 is uint8)");
  }
  Tensor tensor;
  size_t rank = 0;
  ThrowOnError(api, api.GetDimensionsCount(info.get(), &rank));
  tensor.shape.resize(rank);
  ThrowOnError(api, api.GetDimensions(info.get(), tensor.shape.data(), rank));
  void* data = nullptr;
  ThrowOnError(api, api.GetTensorMutableData(const_cast<OrtValue*>(value), &data));
  tensor.data = data;
  return tensor;
}

}  // namespace onnxbin
