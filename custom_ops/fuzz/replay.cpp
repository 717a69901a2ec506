// The inputs of corpus.txt once more, without a fuzzer: for processors that libFuzzer is not built
// for.
//
//   replay CORPUS
//
// CORPUS: one input a line, in hexadecimal. Prints how many there are.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  std::ifstream file(argc == 2 ? argv[1] : "");
  if (!file) {
    std::fprintf(stderr, "usage: replay CORPUS\n");
    return 2;
  }
  int count = 0;
  for (std::string line; std::getline(file, line); ++count) {
    std::vector<uint8_t> bytes;
    for (size_t i = 0; i + 1 < line.size(); i += 2) {
      bytes.push_back(static_cast<uint8_t>(std::stoi(line.substr(i, 2), nullptr, 16)));
    }
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%d inputs\n", count);
  return 0;
}
