// Runs convolutions from a file through every kernel family of this processor and holds them
// against the reference.
//
//   run_cases CASES OUTPUTS [THREADS]
//
// CASES, little-endian: int64 count; then for each case 22 int64 (input kind 0 real, 1 sign, 2
// quant; x_bits; bases; N, C, H, W; weight_shape 4; strides 2; pads 4; dilations 2; group; length
// of x_zero; kind of activation) and the arrays of an Activation's least, most and slope [3], W,
// scale, bias, x_step [1], x_zero, X. OUTPUTS: for each case the reference's output, float32. Exit
// status 1, with one line a case, where a family differs from the reference by more than 1e-5 of
// the largest output before activation, or is NaN elsewhere. With THREADS, each case runs twice
// more, at the same time and in as many threads each: that must not change a bit.
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "binary_conv.h"
#include "kernels/families.h"

namespace {

class Reader {
 public:
  explicit Reader(const char* path)
      : file_(path, std::ios::binary), bytes_(std::istreambuf_iterator<char>(file_), {}) {
    if (!file_) throw std::runtime_error(std::string("cannot read ") + path);
  }

  // Copies, so that a sanitizer sees the ends of every array.
  template <typename T>
  std::vector<T> Array(int64_t count) {
    std::vector<T> values(static_cast<size_t>(count));
    if (position_ + values.size() * sizeof(T) > bytes_.size())
      throw std::runtime_error("the cases end early");
    if (!values.empty()) {
      std::memcpy(values.data(), bytes_.data() + position_, values.size() * sizeof(T));
    }
    position_ += values.size() * sizeof(T);
    return values;
  }

 private:
  std::ifstream file_;
  std::vector<char> bytes_;
  size_t position_ = 0;
};

float Largest(const std::vector<float>& values) {
  float largest = 0;
  for (float value : values) {
    if (!std::isnan(value)) largest = std::max(largest, std::abs(value));
  }
  return largest;
}

// NaN outputs must be NaN in both; the others must be close.
bool Agree(const std::vector<float>& found, const std::vector<float>& expected, float largest) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i]) != std::isnan(found[i])) return false;
    if (!std::isnan(expected[i]) && !(found[i] == expected[i]) &&
        !(std::abs(found[i] - expected[i]) <= 1e-5f * largest)) {
      return false;
    }
  }
  return true;
}

// Calls body(0) .. body(count - 1), each from a thread of its own.
template <typename Body>
void InThreads(int count, const Body& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (std::thread& thread : threads) thread.join();
}

// Threads that take tasks as they come.
class Threads : public onnxbin::Parallel {
 public:
  explicit Threads(int count) : count_(count) {}

 protected:
  void Run(void (*task)(void*, size_t), size_t count, void* user) const override {
    std::atomic<size_t> next{0};
    InThreads(count_, [&](int) {
      for (size_t i = next++; i < count; i = next++) task(user, i);
    });
  }

 private:
  int count_;
};

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

int Main(const char* cases_path, const char* outputs_path, int threads) {
  using namespace onnxbin;
  Reader cases(cases_path);
  std::ofstream outputs(outputs_path, std::ios::binary);
  const int64_t count = cases.Array<int64_t>(1)[0];
  const std::vector<const KernelFamily*> families = AvailableFamilies();
  for (const KernelFamily* family : families) std::printf("%s ", family->name);
  std::printf("\n");
  int64_t failures = 0;
  for (int64_t index = 0; index < count; ++index) {
    const std::vector<int64_t> h = cases.Array<int64_t>(22);
    const InputKind input = static_cast<InputKind>(h[0]);
    const std::vector<float> bounds = cases.Array<float>(3);
    const Activation activation{static_cast<Activation::Kind>(h[21]), bounds[0], bounds[1],
                                bounds[2]};
    const ConvAttributes attributes{{h[7], h[8], h[9], h[10]},
                                    {h[11], h[12]},
                                    {h[13], h[14], h[15], h[16]},
                                    {h[17], h[18]},
                                    h[19],
                                    h[1],
                                    activation};
    const ConvParams params = MakeConvParams(input, attributes, h[2]);
    const ImageShape x_shape{h[3], h[4], h[5], h[6]};
    const ImageShape y_shape = OutputShape(params, x_shape);
    const auto signs =
        cases.Array<uint8_t>(params.bases * params.out_channels * params.row_bytes());
    const auto scale = cases.Array<float>(params.bases * params.out_channels);
    const auto bias = cases.Array<float>(params.out_channels);
    const auto x_step = cases.Array<float>(1);
    const auto x_zero = cases.Array<float>(h[20]);
    const auto x =
        cases.Array<float>(x_shape.batch * x_shape.channels * x_shape.height * x_shape.width);

    ConvConstants constants;
    constants.signs = signs.data();
    constants.scale = scale.data();
    constants.bias = bias.data();
    constants.x_step = x_step[0];
    constants.x_zero = x_zero.data();
    constants.x_zero_per_channel = input == InputKind::kSign && h[20] > 1;

    const auto report = [&](const KernelFamily* family, const char* what) {
      ++failures;
      std::printf("case %lld: %s %s\n", static_cast<long long>(index), family->name, what);
    };
    std::vector<std::vector<float>> results;
    for (const KernelFamily* family : families) {
      const size_t size =
          static_cast<size_t>(y_shape.batch * y_shape.channels * y_shape.height * y_shape.width);
      const auto conv = MakeBinaryConv(params, constants, *family);
      const auto run = [&](const Parallel& parallel) {
        std::vector<float> y(size, -12345.0f);
        conv->Run(x.data(), x_shape, y.data(), y_shape, parallel);
        return y;
      };
      results.push_back(run(Serial()));
      if (threads == 0 || family->reference) continue;
      std::vector<float> again[2];  // two callers share one object
      InThreads(2, [&](int caller) { again[caller] = run(Threads(threads)); });
      for (const std::vector<float>& y : again) {
        if (!SameBits(y, results.back())) report(family, "is another with several threads");
      }
    }
    const std::vector<float>& expected = results.back();  // the reference is the last
    ConvParams plain = params;
    plain.activation = Activation{};
    std::vector<float> sums(expected.size());
    MakeBinaryConv(plain, constants, *families.back())
        ->Run(x.data(), x_shape, sums.data(), y_shape, Serial());
    const float largest = std::max(Largest(sums), Largest(expected));
    for (size_t i = 0; i + 1 < families.size(); ++i) {
      if (!Agree(results[i], expected, largest)) report(families[i], "differs from the reference");
    }
    outputs.write(reinterpret_cast<const char*>(expected.data()),
                  static_cast<std::streamsize>(expected.size() * sizeof(float)));
  }
  outputs.close();
  if (!outputs) throw std::runtime_error(std::string("cannot write ") + outputs_path);
  return failures ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: run_cases CASES OUTPUTS [THREADS]\n");
    return 2;
  }
  try {
    return Main(argv[1], argv[2], argc == 4 ? std::atoi(argv[3]) : 0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_cases: %s\n", error.what());
    return 2;
  }
}
