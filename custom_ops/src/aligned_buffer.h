// Memory for vectors: uninitialised, and aligned to a cache line.
#ifndef ONNXBIN_ALIGNED_BUFFER_H_
#define ONNXBIN_ALIGNED_BUFFER_H_

#include <cstddef>
#include <memory>
#include <new>

namespace onnxbin {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes)
      : data_(static_cast<unsigned char*>(::operator new(bytes, std::align_val_t{kAlignment}))) {}

  unsigned char* data() { return data_.get(); }
  const unsigned char* data() const { return data_.get(); }

 private:
  static constexpr size_t kAlignment = 64;
  struct Deleter {
    void operator()(unsigned char* data) const {
      ::operator delete(data, std::align_val_t{kAlignment});
    }
  };
  std::unique_ptr<unsigned char, Deleter> data_;
};

}  // namespace onnxbin

#endif  // ONNXBIN_ALIGNED_BUFFER_H_
