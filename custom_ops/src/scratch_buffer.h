// Memory for the time of one task, which its thread keeps for the next: fresh memory of megabytes
// comes from the system page by page, at each run anew, and costs more than what is done with it.
#ifndef ONNXBIN_SCRATCH_BUFFER_H_
#define ONNXBIN_SCRATCH_BUFFER_H_

#include "aligned_buffer.h"

namespace onnxbin {

class ScratchBuffer {
 public:
  // Uninitialised. A thread that holds one may ask for more; it keeps the one returned last.
  explicit ScratchBuffer(size_t bytes);
  ~ScratchBuffer();
  ScratchBuffer(const ScratchBuffer&) = delete;
  ScratchBuffer& operator=(const ScratchBuffer&) = delete;

  unsigned char* data() { return memory_.buffer.data(); }

 private:
  struct Memory {
    AlignedBuffer buffer;
    size_t bytes = 0;
  };
  static Memory& Kept();

  Memory memory_;
};

}  // namespace onnxbin

#endif  // ONNXBIN_SCRATCH_BUFFER_H_
