// A runtime for one node, in place of ONNX Runtime: what it hands to the library is made up freely,
// by a fuzzer, within what the real one guarantees (a tensor has the bytes that its shape says).
//
// The types that ONNX Runtime keeps to itself are defined here; the table of functions is the same.
#ifndef ONNXBIN_FAKE_RUNTIME_H_
#define ONNXBIN_FAKE_RUNTIME_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ort_c_abi.h"

struct OrtValue {
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  std::vector<int64_t> shape;
  std::unique_ptr<unsigned char[]>
      data;  // on the heap and no byte longer: a sanitizer sees its end

  // Makes room for the elements of `shape`, at most `most` of them; whether they fit.
  bool Allocate(int64_t most);
  int64_t elements() const;
  size_t bytes() const;
};

struct OrtKernelInfo {
  struct Attribute {
    enum { kInteger, kIntegers, kFloat, kOther } type;
    std::vector<int64_t> values;
    float number = 0;
  };
  std::map<std::string, Attribute> attributes;
  std::vector<OrtValue> inputs;  // X is left empty
  size_t variable = 0;           // an input that is no constant; 0, X, never is one
};

struct OrtKernelContext {
  const OrtValue* x = nullptr;
  OrtValue y;
  int64_t most_outputs = 0;  // larger outputs are refused, as by a machine without that memory
};

namespace onnxbin::fuzz {

constexpr char kNodeName[] = "fuzzed";

const OrtApi& Api();

// The operators that the library registers: those without activation come first.
std::vector<const OrtCustomOp*> RegisteredOperators(const std::string& domain);

// The message of a status, which is released; empty where it is null, which means success.
std::string Message(OrtStatus* status);

}  // namespace onnxbin::fuzz

#endif  // ONNXBIN_FAKE_RUNTIME_H_
