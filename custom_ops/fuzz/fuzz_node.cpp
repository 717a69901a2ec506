// Fuzzing of one node: whatever a model file may say of it, in attributes, in the shapes and bytes
// of its constants, and whatever image then comes.
//
// Bytes become a node, mostly a sound one with a few things wrong: every byte string is some node.
// What is checked, beside what the sanitizers see and the limit on memory that libFuzzer is given:
//   - an error names the operator and the node, on one line;
//   - a run writes all outputs, and as the reference kernels do.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "fake_runtime.h"
#include "onnxbin_ops.h"

namespace onnxbin::fuzz {
namespace {

// More than this many elements no tensor has, and no more products are summed in one run.
constexpr int64_t kMostElements = 1 << 15, kMostProducts = 1 << 17;
// Of bytes so many: more than one task of a run.
constexpr int64_t kMostBytes = 1 << 17;

constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
constexpr int64_t kInteger32 = std::numeric_limits<int32_t>::max();
// The convolutions without activation.
constexpr size_t kInputKinds = 3;
// At and around the limits of the types; the factors of 2^63 - 1 that are extents of weights; of
// some others the square overflows.
constexpr int64_t kHostile[] = {
    -1,        -2,       0,        kInteger32,   kInteger32 + 1,  1 << 30,
    1 << 24,   1 << 16,  kLargest, kLargest - 1, -kLargest,       -kLargest - 1,
    331974727, 82443193, 337,      3037000500,   int64_t{1} << 62};
constexpr float kSpecial[] = {0.0f,
                              -0.0f,
                              std::numeric_limits<float>::quiet_NaN(),
                              std::numeric_limits<float>::infinity(),
                              -std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::denorm_min(),
                              std::numeric_limits<float>::max(),
                              -1.0f,
                              1e-39f};

void Expect(bool condition, const char* what, const std::string& detail = "") {
  if (condition) return;
  std::fprintf(stderr, "not so: %s: %s\n", what, detail.c_str());
  std::abort();
}

// The input, read from its beginning; zeros beyond its end.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  int Next() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  // Mostly small, sometimes hostile, sometimes anything.
  int64_t Integer() {
    const int byte = Next();
    if (byte < 200) return byte;
    if (byte < 250) return kHostile[static_cast<size_t>(byte) % std::size(kHostile)];
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<uint64_t>(Next());
    return static_cast<int64_t>(value);
  }
  // Of a list that has `count` entries in a sound file.
  std::vector<int64_t> Integers(int count) {
    const int byte = Next();
    std::vector<int64_t> values(static_cast<size_t>(byte < 240 ? count : byte % 8));
    for (int64_t& value : values) value = Integer();
    return values;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

// a * b, or something that no tensor has where that does not fit.
int64_t Product(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kLargest : product;
}

// What nodes of all operators have in common: attributes and constants, kernels, their errors.
class Node {
 public:
  Node(Bytes& bytes, const OrtCustomOp* op) : bytes_(bytes), op_(op) {
    info_.inputs.resize(op->GetInputTypeCount(op));
  }
  virtual ~Node() = default;

  virtual void Run(const std::string& family) = 0;

 protected:
  // From -2 to 2, mostly.
  void Float(const char* name) {
    const int byte = bytes_.Next();
    if (byte >= 250) return;  // left out
    auto& attribute = info_.attributes[name];
    attribute.type = OrtKernelInfo::Attribute::kFloat;
    attribute.number = static_cast<float>(byte % 65 - 32) / 16;
    if (byte < 200) return;
    attribute.number = kSpecial[static_cast<size_t>(byte) % std::size(kSpecial)];
    sound_ = false;  // it may overflow, elsewhere in other kernels
  }

  void Fill(size_t input, const std::vector<int64_t>& shape, bool positive) {
    OrtValue& value = info_.inputs[input];
    value.type = op_->GetInputType(op_, input);
    value.shape = shape;
    const int kind = bytes_.Next();
    if (kind >= 224) value.shape = bytes_.Integers(static_cast<int>(shape.size()));
    if (kind >= 250) value.type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    if (!value.Allocate(kMostElements)) {  // no file could hold it
      value.shape = {1};
      value.Allocate(1);
    }
    Numbers(value, positive);
  }

  void Variable() {
    const int byte = bytes_.Next();
    info_.variable = byte < 250 ? 0 : static_cast<size_t>(byte - 249);
  }

  // Pseudo-random signs, or numbers among which one may be special. `positive`: of steps, scales.
  void Numbers(OrtValue& value, bool positive) {
    uint32_t state = static_cast<uint32_t>(bytes_.Next()) + 1;
    const auto next = [&state] { return (state = state * 1664525u + 1013904223u) >> 16; };
    const int64_t count = value.elements();
    if (value.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8) {
      for (int64_t i = 0; i < count; ++i) value.data[i] = static_cast<unsigned char>(next());
      return;
    }
    std::vector<float> numbers(static_cast<size_t>(count));
    for (float& number : numbers) {
      number = static_cast<float>(next() % 64) / 16 + 0.25f;
      if (!positive) number -= 2;
    }
    const int special = bytes_.Next();
    if (special >= 200 && count) {
      numbers[next() % numbers.size()] =
          kSpecial[static_cast<size_t>(special) % std::size(kSpecial)];
      // What overflows, overflows elsewhere in other kernels.
      sound_ = false;
    }
    if (count) std::memcpy(value.data.get(), numbers.data(), numbers.size() * sizeof(float));
  }

  // The kernel, or null where the node is refused.
  void* Make(const OrtCustomOp* op, const std::string& family) {
    setenv("ONNXBIN_ISA", family.c_str(), 1);
    void* kernel = nullptr;
    const std::string message = Message(op->CreateKernelV2(op, &Api(), &info_, &kernel));
    CheckMessage(message);
    Expect(message.empty() == (kernel != nullptr), "a kernel or an error", message);
    return kernel;
  }

  OrtKernelContext Compute(void* kernel, const OrtValue* x, int64_t most_outputs) {
    OrtKernelContext context;
    context.x = x;
    context.y.type = op_->GetOutputType(op_, 0);
    context.most_outputs = most_outputs;
    const std::string message = Message(op_->KernelComputeV2(kernel, &context));
    CheckMessage(message);
    if (!message.empty()) context.y.data.reset();
    return context;
  }

  Bytes& bytes_;
  const OrtCustomOp* op_;
  OrtKernelInfo info_;
  bool sound_ = true;  // of ordinary numbers alone

 private:
  void CheckMessage(const std::string& message) const {
    if (message.empty()) return;
    const std::string start = std::string(op_->GetName(op_)) + " node '" + kNodeName + "': ";
    Expect(message.compare(0, start.size(), start) == 0, "an error names the node", message);
    Expect(message.find('\n') == std::string::npos, "an error is one line", message);
  }
};

class ConvNode : public Node {
 public:
  // plain: the same without activation.
  ConvNode(Bytes& bytes, const OrtCustomOp* op, const OrtCustomOp* plain)
      : Node(bytes, op), plain_(plain) {
    Attributes();
    Constants();
  }

  void Run(const std::string& family) override {
    void* kernel = Make(op_, family);
    if (!kernel) return;
    OrtValue x;
    const OrtKernelContext found = Compute(kernel, Image(x), MostOutputs());
    op_->KernelDestroy(kernel);
    if (!found.y.data || !sound_) return;

    void* reference = Make(op_, "reference");
    Expect(reference, "the reference takes what others take", family);
    const OrtKernelContext expected = Compute(reference, &x, MostOutputs());
    op_->KernelDestroy(reference);
    void* plain = Make(plain_, "reference");
    Expect(plain, "an operator without activation takes what one with it takes", family);
    const OrtKernelContext sums = Compute(plain, &x, MostOutputs());
    plain_->KernelDestroy(plain);
    Compare(found.y, expected.y, sums.y, family);
  }

 private:
  void Attributes() {
    shape_ = bytes_.Integers(4);
    info_.attributes["weight_shape"] = {OrtKernelInfo::Attribute::kIntegers, shape_};
    const std::pair<const char*, int> lists[] = {{"strides", 2}, {"pads", 4}, {"dilations", 2}};
    for (const auto& [name, count] : lists) {
      const int kind = bytes_.Next();
      if (kind < 64) continue;  // left out
      auto& attribute = info_.attributes[name];
      attribute.type =
          kind < 250 ? OrtKernelInfo::Attribute::kIntegers : OrtKernelInfo::Attribute::kOther;
      attribute.values = bytes_.Integers(count);
    }
    for (const char* name : {"group", "x_bits"}) {
      const int kind = bytes_.Next();
      if (kind < 32) continue;
      auto& attribute = info_.attributes[name];
      attribute.type =
          kind < 250 ? OrtKernelInfo::Attribute::kInteger : OrtKernelInfo::Attribute::kIntegers;
      attribute.values = {bytes_.Integer()};
      if (name == std::string("group")) group_ = attribute.values.front();
    }
    const std::string op = op_->GetName(op_);
    if (op.find("LeakyRelu") != std::string::npos) Float("alpha");
    if (op.find("Clip") != std::string::npos) {
      Float("min");
      Float("max");
    }
  }

  // The shapes that fit the attributes, but where bytes say otherwise.
  void Constants() {
    const int64_t m = shape_.empty() ? 1 : shape_[0];
    int64_t k = 1;
    for (size_t i = 1; i < shape_.size(); ++i) k = Product(k, shape_[i]);
    const int64_t bases = 1 + bytes_.Next() % 3;
    const int64_t channels = Product(group_, shape_.size() > 1 ? shape_[1] : 1);
    const int64_t row = k > kLargest - 7 ? k : (k + 7) / 8;
    const std::vector<int64_t> shapes[] = {
        {}, {bases, m, row}, {bases, m}, {m}, {1}, {bytes_.Next() % 2 ? channels : 1}};
    for (size_t i = 1; i < info_.inputs.size(); ++i) Fill(i, shapes[i], i > 3);
    Variable();
    x_shape_ = {1 + bytes_.Next() % 2, channels, 0, 0};
  }

  const OrtValue* Image(OrtValue& x) {
    const int kind = bytes_.Next();
    x_shape_[2] = bytes_.Integer();
    x_shape_[3] = bytes_.Integer();
    x.shape = kind < 240 ? x_shape_ : bytes_.Integers(4);
    if (kind >= 252) x.type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    if (!x.Allocate(kMostElements)) {
      x.shape = {1};
      x.Allocate(1);
    }
    Numbers(x, false);
    return &x;
  }

  // Of the weights, so many are summed for each output pixel.
  int64_t MostOutputs() const {
    const int64_t weights = std::max<int64_t>(1, info_.inputs[1].elements() * 8);
    const int64_t m = std::max<int64_t>(1, shape_[0]);
    return std::min(kMostElements, kMostProducts / weights * m);
  }

  // To 1e-5 of the largest output, before or after the activation.
  void Compare(const OrtValue& found, const OrtValue& expected, const OrtValue& sums,
               const std::string& family) const {
    Expect(found.shape == expected.shape, "all kernels give the same shape", family);
    const size_t count = static_cast<size_t>(found.elements());
    if (!count) return;
    const auto floats = [count](const OrtValue& value) {
      std::vector<float> numbers(count);
      std::memcpy(numbers.data(), value.data.get(), count * sizeof(float));
      return numbers;
    };
    const std::vector<float> a = floats(found), b = floats(expected), before = floats(sums);
    float largest = 0;
    for (float value : b) largest = std::max(largest, std::abs(value));
    for (float value : before) largest = std::max(largest, std::abs(value));
    for (size_t i = 0; i < count; ++i) {
      Expect(std::abs(a[i] - b[i]) <= 1e-5f * largest, "all kernels agree", family);
    }
  }

  const OrtCustomOp* plain_;
  std::vector<int64_t> shape_, x_shape_;
  int64_t group_ = 1;
};

class ByteActivationNode : public Node {
 public:
  ByteActivationNode(Bytes& bytes, const OrtCustomOp* op) : Node(bytes, op) {
    if (std::string(op->GetName(op)) == "QLinearLeakyRelu") Float("alpha");
    for (size_t i = 1; i < info_.inputs.size(); ++i) {
      Fill(i, std::vector<int64_t>(static_cast<size_t>(bytes.Next() % 2), 1), true);
    }
    Variable();
  }

  void Run(const std::string& family) override {
    void* kernel = Make(op_, family);
    if (!kernel) return;
    OrtValue x;
    x.type = bytes_.Next() < 250 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
                                 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    x.shape = bytes_.Integers(4);
    if (!x.Allocate(kMostBytes)) {
      x.shape.clear();
      x.Allocate(1);
    }
    Numbers(x, false);
    const OrtKernelContext found = Compute(kernel, &x, kMostBytes);
    op_->KernelDestroy(kernel);
    if (!found.y.data) return;

    void* reference = Make(op_, "reference");
    Expect(reference, "the reference takes what others take", family);
    const OrtKernelContext expected = Compute(reference, &x, kMostBytes);
    op_->KernelDestroy(reference);
    Expect(found.y.shape == x.shape && expected.y.shape == x.shape, "the shape stays", family);
    const unsigned char *a = found.y.data.get(), *b = expected.y.data.get();
    Expect(std::equal(a, a + x.elements(), b), "all kernels agree", family);
  }
};

std::unique_ptr<Node> MakeNode(Bytes& bytes) {
  const std::vector<const OrtCustomOp*> convolutions = RegisteredOperators("onnxbin");
  const std::vector<const OrtCustomOp*> activations = RegisteredOperators("onnxbin.int8");
  const size_t number =
      static_cast<size_t>(bytes.Next()) % (convolutions.size() + activations.size());
  if (number < convolutions.size()) {
    return std::make_unique<ConvNode>(bytes, convolutions[number],
                                      convolutions[number % kInputKinds]);
  }
  return std::make_unique<ByteActivationNode>(bytes, activations[number - convolutions.size()]);
}

std::vector<std::string> Families() {
  unsetenv("ONNXBIN_ISA");
  std::vector<std::string> names(1);
  for (const char* c = OnnxbinInstructionSets(); *c; ++c) {
    if (*c == ',') {
      names.emplace_back();
    } else {
      names.back() += *c;
    }
  }
  return names;
}

}  // namespace
}  // namespace onnxbin::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace onnxbin::fuzz;
  static const std::vector<std::string> families = Families();
  Bytes bytes(data, size);
  const std::unique_ptr<Node> node = MakeNode(bytes);
  node->Run(families[static_cast<size_t>(bytes.Next()) % families.size()]);
  return 0;
}
