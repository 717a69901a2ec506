// Many threads over one library, as a program with many sessions has them: all register it, make
// kernels of their own, run these and those that everybody shares, and destroy theirs again.
//
//   crowd THREADS SECONDS
//
// Prints what was done. Exit status 1 where an output has other bits than one thread gave before.
// What it is for is the thread sanitizer: ONNX Runtime, which has none, is replaced by
// fake_runtime.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "../fuzz/fake_runtime.h"

namespace onnxbin::fuzz {
namespace {

constexpr int64_t kMostElements = 1 << 20;

// The table of functions, with tasks that run in threads of their own.
OrtApi ThreadedApi() {
  OrtApi api = Api();
  api.KernelContext_ParallelFor = [](const OrtKernelContext*, void (*task)(void*, size_t),
                                     size_t total, size_t, void* user) -> OrtStatus* {
    std::atomic<size_t> next{0};
    const auto work = [&] {
      for (size_t i = next++; i < total; i = next++) task(user, i);
    };
    std::thread other(work);
    work();
    other.join();
    return nullptr;
  };
  return api;
}

void Fill(OrtValue& value, ONNXTensorElementDataType type, std::vector<int64_t> shape) {
  value.type = type;
  value.shape = std::move(shape);
  value.Allocate(kMostElements);
  uint32_t state = 1;
  for (int64_t i = 0; i < value.elements(); ++i) {
    state = state * 1664525u + 1013904223u;
    if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8) {
      value.data[i] = static_cast<unsigned char>(state >> 24);
    } else {
      const float number = static_cast<float>(state >> 24) / 64 + 0.25f;
      std::memcpy(&value.data[4 * i], &number, 4);
    }
  }
}

// A node: an operator, and a convolution of weight_shape {m, c, k, k} in groups.
struct Node {
  Node(const OrtCustomOp* op, int64_t m, int64_t c, int64_t k, int64_t group) : op(op) {
    using Attribute = OrtKernelInfo::Attribute;
    const int64_t pad = k / 2;
    info.attributes = {{"weight_shape", {Attribute::kIntegers, {m, c, k, k}}},
                       {"pads", {Attribute::kIntegers, {pad, pad, pad, pad}}},
                       {"group", {Attribute::kInteger, {group}}},
                       {"x_bits", {Attribute::kInteger, {4}}},
                       {"alpha", {Attribute::kFloat, {}, 0.1f}},
                       {"min", {Attribute::kFloat, {}, 0.0f}},
                       {"max", {Attribute::kFloat, {}, 6.0f}}};
    info.inputs.resize(op->GetInputTypeCount(op));
    const std::vector<int64_t> shapes[] = {{}, {2, m, (c * k * k + 7) / 8}, {2, m}, {m}, {1}, {1}};
    for (size_t i = 1; i < info.inputs.size(); ++i) {
      Fill(info.inputs[i], op->GetInputType(op, i), shapes[i]);
    }
    Fill(x, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {1, c * group, 17, 19});
  }

  void* Make(const OrtApi& api) const {
    void* kernel = nullptr;
    const std::string message = Message(op->CreateKernelV2(op, &api, &info, &kernel));
    if (message.empty()) return kernel;
    std::fprintf(stderr, "crowd: %s\n", message.c_str());
    std::exit(2);
  }

  std::vector<unsigned char> Run(void* kernel) const {
    OrtKernelContext context;
    context.x = &x;
    context.most_outputs = kMostElements;
    const std::string message = Message(op->KernelComputeV2(kernel, &context));
    if (!message.empty()) std::fprintf(stderr, "crowd: %s\n", message.c_str());
    const unsigned char* data = context.y.data.get();
    return {data, data + (data ? 4 * context.y.elements() : 0)};
  }

  const OrtCustomOp* op;
  OrtKernelInfo info;
  OrtValue x;
};

int Main(int thread_count, int seconds) {
  const OrtApi api = ThreadedApi();
  std::vector<Node> nodes;
  for (const OrtCustomOp* op : RegisteredOperators("onnxbin")) {
    nodes.emplace_back(op, 35, 40, 3, 1);
    nodes.emplace_back(op, 4, 70, 1, 2);
    nodes.emplace_back(op, 24, 1, 3, 24);
  }
  std::vector<void*> shared;
  std::vector<std::vector<unsigned char>> expected;
  for (const Node& node : nodes) {
    shared.push_back(node.Make(api));
    expected.push_back(node.Run(shared.back()));
  }

  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  std::atomic<int64_t> made{0}, runs{0}, wrong{0};
  const auto work = [&](size_t thread) {
    for (size_t turn = thread; std::chrono::steady_clock::now() < end; ++turn) {
      const size_t index = turn % nodes.size();
      RegisteredOperators("onnxbin");
      void* own = nodes[index].Make(api);
      for (void* kernel : {own, shared[index], own}) {
        if (nodes[index].Run(kernel) != expected[index]) ++wrong;
        ++runs;
      }
      nodes[index].op->KernelDestroy(own);
      ++made;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < thread_count; ++i) threads.emplace_back(work, static_cast<size_t>(i));
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < nodes.size(); ++i) nodes[i].op->KernelDestroy(shared[i]);
  std::printf("%d threads: %lld kernels, %lld runs, %lld with other bits\n", thread_count,
              static_cast<long long>(made), static_cast<long long>(runs),
              static_cast<long long>(wrong));
  return wrong ? 1 : 0;
}

}  // namespace
}  // namespace onnxbin::fuzz

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: crowd THREADS SECONDS\n");
    return 2;
  }
  return onnxbin::fuzz::Main(std::atoi(argv[1]), std::atoi(argv[2]));
}
