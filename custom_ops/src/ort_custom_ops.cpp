// The operators as ONNX Runtime sees them: registration, the making of kernels, runs.
//
// Nothing that throws leaves this file: every function that the runtime calls turns exceptions into
// a status that names the node.
#include <cmath>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "binary_conv.h"
#include "kernels/families.h"
#include "onnxbin_ops.h"
#include "ort_node.h"

namespace onnxbin {
namespace {

// The oldest version with all that is called here: ONNX Runtime 1.17.
constexpr uint32_t kApiVersion = 17;

enum Input : size_t { kX, kW, kScale, kBias, kXStep, kXZero };

// The static members of one operator; OrtCustomOp must come first, the runtime knows no more.
struct Operator : OrtCustomOp {
  std::string name;
  InputKind input;
  Activation::Kind activation;
};

// The session's own threads.
class SessionThreads : public Parallel {
 public:
  SessionThreads(const OrtApi& api, const OrtKernelContext* context)
      : api_(api), context_(context) {}

 protected:
  void Run(void (*task)(void*, size_t), size_t count, void* user) const override {
    ThrowOnError(api_, api_.KernelContext_ParallelFor(context_, task, count, 0, user));
  }

 private:
  const OrtApi& api_;
  const OrtKernelContext* context_;
};

void CheckFinite(const char* name, const float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) {
      throw InvalidModel(std::string("input ") + name + " holds " + std::to_string(values[i]) +
                         " at " + std::to_string(i) + "; expected finite numbers");
    }
  }
}

void CheckShape(const char* name, const std::vector<int64_t>& found,
                const std::vector<int64_t>& expected) {
  if (found != expected) {
    throw InvalidModel(std::string("input ") + name + " has shape " + ShapeText(found) +
                       "; expected " + ShapeText(expected));
  }
}

// One node of a session.
class Kernel {
 public:
  Kernel(const Operator& op, const OrtApi& api, const OrtKernelInfo* info) : api_(api) {
    const OrtNode node(api, info);
    label_ = op.name + " node '" + node.Name() + "': ";
    try {
      Prepare(op, node);
    } catch (const std::exception& error) {
      throw std::runtime_error(label_ + error.what());
    }
  }

  const OrtApi& api() const { return api_; }

  void Compute(OrtKernelContext* context) const {
    try {
      Run(context);
    } catch (const std::exception& error) {
      throw std::runtime_error(label_ + error.what());
    }
  }

 private:
  void Prepare(const Operator& op, const OrtNode& node) {
    const InputKind input = op.input;
    constexpr ONNXTensorElementDataType kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    ConvAttributes attributes;
    attributes.weight_shape = node.Integers("weight_shape");
    if (node.Has("strides")) attributes.strides = node.Integers("strides");
    if (node.Has("pads")) attributes.pads = node.Integers("pads");
    if (node.Has("dilations")) attributes.dilations = node.Integers("dilations");
    if (node.Has("group")) attributes.group = node.Integer("group");
    if (input == InputKind::kQuant) attributes.x_bits = node.Integer("x_bits");
    attributes.activation.kind = op.activation;
    if (op.activation == Activation::Kind::kLeakyRelu) {
      attributes.activation.slope = node.Float("alpha");
    } else if (op.activation == Activation::Kind::kClip) {
      attributes.activation.least = node.Float("min");
      attributes.activation.most = node.Float("max");
    }

    const Tensor w = node.Constant(kW, "W", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
    if (w.shape.size() != 3 || w.shape[0] < 1) {
      throw InvalidModel("input W has shape " + ShapeText(w.shape) +
                         "; expected [bases, M, ceil(K / 8)] with at least one base");
    }
    params_ = MakeConvParams(input, attributes, w.shape[0]);
    CheckShape("W", w.shape, {params_.bases, params_.out_channels, params_.row_bytes()});
    const Tensor scale = node.Constant(kScale, "scale", kFloat);
    CheckShape("scale", scale.shape, {params_.bases, params_.out_channels});
    const Tensor bias = node.Constant(kBias, "bias", kFloat);
    CheckShape("bias", bias.shape, {params_.out_channels});

    ConvConstants constants;
    constants.signs = static_cast<const uint8_t*>(w.data);
    constants.scale = static_cast<const float*>(scale.data);
    CheckFinite("scale", constants.scale, params_.bases * params_.out_channels);
    constants.bias = static_cast<const float*>(bias.data);
    if (input != InputKind::kReal) {
      const Tensor step = node.Constant(kXStep, "x_step", kFloat);
      CheckShape("x_step", step.shape, {1});
      constants.x_step = *static_cast<const float*>(step.data);
      if (!(constants.x_step > 0) || !std::isfinite(constants.x_step) ||
          !std::isfinite(1.0f / constants.x_step)) {
        throw InvalidModel("input x_step is " + std::to_string(constants.x_step) +
                           "; expected a number above 0 whose inverse is finite");
      }
      const Tensor zero = node.Constant(kXZero, "x_zero", kFloat);
      constants.x_zero_per_channel =
          input == InputKind::kSign && zero.shape != std::vector<int64_t>{1};
      CheckShape("x_zero", zero.shape, {constants.x_zero_per_channel ? params_.in_channels() : 1});
      constants.x_zero = static_cast<const float*>(zero.data);
      CheckFinite("x_zero", constants.x_zero, zero.shape[0]);
    }
    conv_ = MakeBinaryConv(params_, constants, SelectedFamily());
  }

  void Run(OrtKernelContext* context) const {
    const OrtValue* value = nullptr;
    ThrowOnError(api_, api_.KernelContext_GetInput(context, kX, &value));
    const Tensor x = ReadTensor(api_, value, "X", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
    if (x.shape.size() != 4) {
      throw InvalidModel("input X has shape " + ShapeText(x.shape) + "; expected [N, C, H, W]");
    }
    const ImageShape x_shape{x.shape[0], x.shape[1], x.shape[2], x.shape[3]};
    const ImageShape y_shape = OutputShape(params_, x_shape);
    const int64_t dims[4] = {y_shape.batch, y_shape.channels, y_shape.height, y_shape.width};
    OrtValue* y = nullptr;
    ThrowOnError(api_, api_.KernelContext_GetOutput(context, 0, dims, 4, &y));
    if (y_shape.batch == 0) return;
    void* y_data = nullptr;
    ThrowOnError(api_, api_.GetTensorMutableData(y, &y_data));
    conv_->Run(static_cast<const float*>(x.data), x_shape, static_cast<float*>(y_data), y_shape,
               SessionThreads(api_, context));
  }

  const OrtApi& api_;
  std::string label_;
  ConvParams params_;
  std::unique_ptr<BinaryConv> conv_;
};

// Calls `body` and turns what it throws into a status.
template <typename Body>
OrtStatus* Guarded(const OrtApi& api, const Body& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return api.CreateStatus(ORT_INVALID_ARGUMENT, error.what());
  } catch (...) {
    return api.CreateStatus(ORT_FAIL, "onnxbin: unknown error");
  }
}

Operator MakeOperator(const std::string& name, InputKind input, Activation::Kind activation) {
  Operator op{};
  op.name = name;
  op.input = input;
  op.activation = activation;
  op.version = kApiVersion;
  op.GetName = [](const OrtCustomOp* self) {
    return static_cast<const Operator*>(self)->name.c_str();
  };
  op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
  op.GetInputTypeCount = [](const OrtCustomOp* self) -> size_t {
    return static_cast<const Operator*>(self)->input == InputKind::kReal ? kBias + 1 : kXZero + 1;
  };
  op.GetInputType = [](const OrtCustomOp*, size_t index) {
    return index == kW ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  };
  op.GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  op.GetOutputType = [](const OrtCustomOp*, size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; };
  op.GetInputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
  op.GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
  op.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
  op.GetVariadicInputMinArity = [](const OrtCustomOp*) { return 0; };
  op.GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
  op.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 0; };
  op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
  op.CreateKernelV2 = [](const OrtCustomOp* self, const OrtApi* api, const OrtKernelInfo* info,
                         void** kernel) -> OrtStatus* {
    return Guarded(*api,
                   [&] { *kernel = new Kernel(*static_cast<const Operator*>(self), *api, info); });
  };
  op.KernelComputeV2 = [](void* kernel, OrtKernelContext* context) -> OrtStatus* {
    const Kernel& self = *static_cast<const Kernel*>(kernel);
    return Guarded(self.api(), [&] { self.Compute(context); });
  };
  op.KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  op.GetStartVersion = [](const OrtCustomOp*) { return 1; };
  op.GetEndVersion = [](const OrtCustomOp*) { return 1; };
  return op;
}

// One for each way to see the input and each activation, named after both.
std::vector<Operator> MakeOperators() {
  using Kind = Activation::Kind;
  constexpr std::pair<const char*, InputKind> kInputs[] = {
      {"BinaryConv", InputKind::kReal},
      {"BinaryConvSign", InputKind::kSign},
      {"BinaryConvQuant", InputKind::kQuant},
  };
  constexpr std::pair<const char*, Kind> kActivations[] = {
      {"", Kind::kNone},     {"Relu", Kind::kRelu},           {"LeakyRelu", Kind::kLeakyRelu},
      {"Clip", Kind::kClip}, {"HardSwish", Kind::kHardSwish}, {"Silu", Kind::kSilu},
  };
  std::vector<Operator> operators;
  for (const auto& [suffix, activation] : kActivations) {
    for (const auto& [name, input] : kInputs) {
      operators.push_back(MakeOperator(std::string(name) + suffix, input, activation));
    }
  }
  return operators;
}

}  // namespace
}  // namespace onnxbin

OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* api_base) noexcept {
  using namespace onnxbin;
  const OrtApi* api = api_base->GetApi(kApiVersion);
  if (!api) {
    // Errors are made by the api itself. Version 1 is in every runtime, and CreateStatus is its
    // first entry.
    return api_base->GetApi(1)->CreateStatus(
        ORT_FAIL, (std::string("onnxbin needs ONNX Runtime 1.17 or newer; this is ") +
                   api_base->GetVersionString())
                      .c_str());
  }
  return Guarded(*api, [&] {
    OrtCustomOpDomain* domain = nullptr;
    ThrowOnError(*api, api->CreateCustomOpDomain("onnxbin", &domain));
    static const std::vector<Operator> operators = MakeOperators();  // outlive every session
    for (const Operator& op : operators) {
      ThrowOnError(*api, api->CustomOpDomain_Add(domain, &op));
    }
    ThrowOnError(*api, api->AddCustomOpDomain(options, domain));
  });
}

const char* OnnxbinInstructionSets() noexcept {
  thread_local std::string names;
  names.clear();
  try {
    const onnxbin::KernelFamily& selected = onnxbin::SelectedFamily();
    names = selected.name;
    for (const onnxbin::KernelFamily* family : onnxbin::AvailableFamilies()) {
      if (family != &selected) names += std::string(",") + family->name;
    }
  } catch (const std::exception&) {
    names.clear();  // ONNXBIN_ISA names none of them
  }
  return names.c_str();
}
