// The operators as ONNX Runtime sees them: registration, the making of kernels, runs.
//
// Nothing that throws leaves this file: every function that the runtime calls turns exceptions into
// a status that names the node.
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/families.h"
#include "onnxbin_ops.h"
#include "ort_kernel.h"

namespace onnxbin {
namespace {

// The oldest version with all that is called here: ONNX Runtime 1.17.
constexpr uint32_t kApiVersion = 17;

using Types = std::vector<ONNXTensorElementDataType>;
constexpr ONNXTensorElementDataType kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
constexpr ONNXTensorElementDataType kByte = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;

// The static members of one operator; OrtCustomOp must come first, the runtime knows no more.
struct Operator : OrtCustomOp {
  std::string name;
  Types inputs;
  ONNXTensorElementDataType output;
  std::function<std::unique_ptr<OrtKernel>(const OrtNode&)> make;
};

// One node of a session; its name begins all that it says of errors.
class Kernel {
 public:
  Kernel(const Operator& op, const OrtApi& api, const OrtKernelInfo* info) : api_(api) {
    const OrtNode node(api, info);
    label_ = op.name + " node '" + node.Name() + "': ";
    Labelled([&] { kernel_ = op.make(node); });
  }

  const OrtApi& api() const { return api_; }

  void Compute(OrtKernelContext* context) const {
    Labelled([&] { kernel_->Run(api_, context); });
  }

 private:
  template <typename Body>
  void Labelled(const Body& body) const {
    try {
      body();
    } catch (const std::exception& error) {
      throw std::runtime_error(label_ + error.what());
    }
  }

  const OrtApi& api_;
  std::string label_;
  std::unique_ptr<OrtKernel> kernel_;
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

Operator MakeOperator(const std::string& name, const Types& inputs,
                      ONNXTensorElementDataType output, decltype(Operator::make) make) {
  Operator op{};
  op.name = name;
  op.inputs = inputs;
  op.output = output;
  op.make = std::move(make);
  op.version = kApiVersion;
  op.GetName = [](const OrtCustomOp* self) {
    return static_cast<const Operator*>(self)->name.c_str();
  };
  op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
  op.GetInputTypeCount = [](const OrtCustomOp* self) {
    return static_cast<const Operator*>(self)->inputs.size();
  };
  op.GetInputType = [](const OrtCustomOp* self, size_t index) {
    return static_cast<const Operator*>(self)->inputs[index];
  };
  op.GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  op.GetOutputType = [](const OrtCustomOp* self, size_t) {
    return static_cast<const Operator*>(self)->output;
  };
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

using Kind = Activation::Kind;

// One for each way to see the input and each activation, named after both.
std::vector<Operator> MakeConvolutions() {
  const std::tuple<const char*, InputKind, Types> inputs[] = {
      {"BinaryConv", InputKind::kReal, {kFloat, kByte, kFloat, kFloat}},
      {"BinaryConvSign", InputKind::kSign, {kFloat, kByte, kFloat, kFloat, kFloat, kFloat}},
      {"BinaryConvQuant", InputKind::kQuant, {kFloat, kByte, kFloat, kFloat, kFloat, kFloat}},
  };
  constexpr std::pair<const char*, Kind> kActivations[] = {
      {"", Kind::kNone},     {"Relu", Kind::kRelu},           {"LeakyRelu", Kind::kLeakyRelu},
      {"Clip", Kind::kClip}, {"HardSwish", Kind::kHardSwish}, {"Silu", Kind::kSilu},
  };
  std::vector<Operator> operators;
  for (const auto& [suffix, activation] : kActivations) {
    for (const auto& [name, input, types] : inputs) {
      operators.push_back(
          MakeOperator(std::string(name) + suffix, types, kFloat,
                       [input = input, activation = activation](const OrtNode& node) {
                         return MakeConvKernel(node, input, activation);
                       }));
    }
  }
  return operators;
}

std::vector<Operator> MakeByteActivations() {
  constexpr std::pair<const char*, Kind> kActivations[] = {
      {"QLinearLeakyRelu", Kind::kLeakyRelu},
      {"QLinearHardSwish", Kind::kHardSwish},
      {"QLinearSilu", Kind::kSilu},
  };
  std::vector<Operator> operators;
  for (const auto& [name, activation] : kActivations) {
    operators.push_back(MakeOperator(name, {kByte, kFloat, kByte, kFloat, kByte}, kByte,
                                     [activation = activation](const OrtNode& node) {
                                       return MakeByteActivationKernel(node, activation);
                                     }));
  }
  return operators;
}

void Register(const OrtApi& api, OrtSessionOptions* options, const char* name,
              const std::vector<Operator>& operators) {
  OrtCustomOpDomain* domain = nullptr;
  ThrowOnError(api, api.CreateCustomOpDomain(name, &domain));
  for (const Operator& op : operators) ThrowOnError(api, api.CustomOpDomain_Add(domain, &op));
  ThrowOnError(api, api.AddCustomOpDomain(options, domain));
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
    // They outlive every session.
    static const std::vector<Operator> convolutions = MakeConvolutions();
    static const std::vector<Operator> byte_activations = MakeByteActivations();
    Register(*api, options, "onnxbin", convolutions);
    Register(*api, options, "onnxbin.int8", byte_activations);
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
