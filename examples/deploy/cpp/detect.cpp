// Finds objects in an image with a compressed model: ONNX Runtime and onnxbin's kernels, no Python.
//
//     detect model.binary.onnx image.ppm [minimum score, 0.3 by default]
//
// The model is a detector whose output has YOLOv8's layout, [1, 4 + classes, boxes], as that of
// examples/street. The image is a binary PPM (P6) of the size of the model's input, [1, 3, H, W] in
// RGB from 0 to 1. Each line of the output is an object: class, score, left, top, right, bottom.
#include <onnxbin_ops.h>
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

const OrtApi* const ort = OrtGetApiBase()->GetApi(17);

// Every call of ONNX Runtime returns null, or what went wrong.
void Check(OrtStatus* status) {
  if (!status) return;
  const std::string message = ort->GetErrorMessage(status);
  ort->ReleaseStatus(status);
  throw std::runtime_error(message);
}

template <typename T>
using Owned = std::unique_ptr<T, void(ORT_API_CALL*)(T*)>;

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> data;
};

// A network with one input and one output.
class Network {
 public:
  explicit Network(const std::string& path) {
    OrtEnv* env = nullptr;
    Check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "detect", &env));
    env_.reset(env);
    OrtSessionOptions* made = nullptr;
    Check(ort->CreateSessionOptions(&made));
    const Owned<OrtSessionOptions> options(made, ort->ReleaseSessionOptions);

    Check(RegisterCustomOps(options.get(), OrtGetApiBase()));  // all that onnxbin asks for

    OrtSession* session = nullptr;
    const std::basic_string<ORTCHAR_T> file(path.begin(), path.end());
    Check(ort->CreateSession(env, file.c_str(), options.get(), &session));
    session_.reset(session);
    input_ = Name(ort->SessionGetInputName);
    output_ = Name(ort->SessionGetOutputName);
  }

  Tensor Run(Tensor& x) const {
    OrtMemoryInfo* memory = nullptr;
    Check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    const Owned<OrtMemoryInfo> memory_owner(memory, ort->ReleaseMemoryInfo);
    OrtValue* in = nullptr;
    Check(ort->CreateTensorWithDataAsOrtValue(memory, x.data.data(), x.data.size() * sizeof(float),
                                              x.shape.data(), x.shape.size(),
                                              ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &in));
    const Owned<OrtValue> in_owner(in, ort->ReleaseValue);

    const char* const inputs[] = {input_.c_str()};
    const char* const outputs[] = {output_.c_str()};
    OrtValue* out = nullptr;
    Check(ort->Run(session_.get(), nullptr, inputs, &in, 1, outputs, 1, &out));
    const Owned<OrtValue> out_owner(out, ort->ReleaseValue);

    OrtTensorTypeAndShapeInfo* info = nullptr;
    Check(ort->GetTensorTypeAndShape(out, &info));
    const Owned<OrtTensorTypeAndShapeInfo> info_owner(info, ort->ReleaseTensorTypeAndShapeInfo);
    size_t rank = 0, count = 0;
    Check(ort->GetDimensionsCount(info, &rank));
    Check(ort->GetTensorShapeElementCount(info, &count));
    Tensor y;
    y.shape.resize(rank);
    Check(ort->GetDimensions(info, y.shape.data(), rank));
    void* data = nullptr;
    Check(ort->GetTensorMutableData(out, &data));
    y.data.assign(static_cast<float*>(data), static_cast<float*>(data) + count);
    return y;
  }

 private:
  template <typename Get>
  std::string Name(Get get) const {
    OrtAllocator* allocator = nullptr;
    Check(ort->GetAllocatorWithDefaultOptions(&allocator));
    char* text = nullptr;
    Check(get(session_.get(), 0, allocator, &text));
    const std::string name = text;
    Check(ort->AllocatorFree(allocator, text));
    return name;
  }

  Owned<OrtEnv> env_{nullptr, ort->ReleaseEnv};  // outlives the session
  Owned<OrtSession> session_{nullptr, ort->ReleaseSession};
  std::string input_, output_;
};

// A binary PPM as [1, 3, height, width], 0 to 1.
Tensor ReadImage(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  int64_t width = 0, height = 0, largest = 0;
  file >> magic >> width >> height >> largest;
  file.get();  // one white space, then the pixels
  const std::vector<char> pixels{std::istreambuf_iterator<char>(file), {}};
  const int64_t plane = width * height;
  if (magic != "P6" || largest != 255 || static_cast<int64_t>(pixels.size()) != 3 * plane) {
    throw std::runtime_error(path +
                             ": not a binary PPM of 8-bit RGB; expected 'P6 WIDTH HEIGHT 255'");
  }
  Tensor x{{1, 3, height, width}, std::vector<float>(3 * plane)};
  for (int64_t i = 0; i < 3 * plane; ++i) {
    x.data[i % 3 * plane + i / 3] = static_cast<uint8_t>(pixels[i]) / 255.0f;
  }
  return x;
}

struct Box {
  int64_t label;
  float score, left, top, right, bottom;

  float Area() const { return std::max(0.0f, right - left) * std::max(0.0f, bottom - top); }
};

// Intersection over union.
float Overlap(const Box& a, const Box& b) {
  const Box shared{0,
                   0,
                   std::max(a.left, b.left),
                   std::max(a.top, b.top),
                   std::min(a.right, b.right),
                   std::min(a.bottom, b.bottom)};
  const float area = shared.Area(), both = a.Area() + b.Area() - area;
  return both > 0 ? area / both : 0;
}

// YOLOv8's layout: centre, width and height of each box in four rows, then a row of scores a class.
std::vector<Box> Decode(const Tensor& y, float min_score) {
  if (y.shape.size() != 3 || y.shape[0] != 1 || y.shape[1] < 5) {
    throw std::runtime_error(
        "the model's output is not [1, 4 + classes, boxes], as this example reads");
  }
  const int64_t count = y.shape[2];
  const auto at = [&](int64_t row, int64_t box) { return y.data[row * count + box]; };
  std::vector<Box> boxes;
  for (int64_t label = 0; label < y.shape[1] - 4; ++label) {
    for (int64_t i = 0; i < count; ++i) {
      const float score = at(4 + label, i);
      const float x = at(0, i), y0 = at(1, i), half_width = at(2, i) / 2,
                  half_height = at(3, i) / 2;
      if (score < min_score) continue;
      boxes.push_back(
          {label, score, x - half_width, y0 - half_height, x + half_width, y0 + half_height});
    }
  }
  return boxes;
}

// Non-maximum suppression: of boxes of a class that overlap by more than half, the best stays.
std::vector<Box> Suppress(std::vector<Box> boxes) {
  std::stable_sort(boxes.begin(), boxes.end(),
                   [](const Box& a, const Box& b) { return a.score > b.score; });
  std::vector<Box> kept;
  for (const Box& box : boxes) {
    const bool known = std::any_of(kept.begin(), kept.end(), [&](const Box& better) {
      return better.label == box.label && Overlap(better, box) > 0.5f;
    });
    if (!known) kept.push_back(box);
  }
  return kept;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: detect MODEL.onnx IMAGE.ppm [MIN_SCORE]\n");
    return 2;
  }
  if (!ort) {
    std::fprintf(stderr, "ONNX Runtime %s is too old: expected 1.17 or newer\n",
                 OrtGetApiBase()->GetVersionString());
    return 1;
  }
  try {
    const Network network(argv[1]);
    Tensor image = ReadImage(argv[2]);
    const float min_score = argc > 3 ? std::strtof(argv[3], nullptr) : 0.3f;
    for (const Box& box : Suppress(Decode(network.Run(image), min_score))) {
      std::printf("%lld %.4f %.2f %.2f %.2f %.2f\n", static_cast<long long>(box.label), box.score,
                  box.left, box.top, box.right, box.bottom);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
