// How the library spreads work: over whatever threads its caller lends.
#ifndef ONNXBIN_PARALLEL_H_
#define ONNXBIN_PARALLEL_H_

#include <cstddef>

namespace onnxbin {

class Parallel {
 public:
  virtual ~Parallel() = default;

  // Calls body(0) .. body(count - 1), in any order and from several threads, and returns when all
  // are done. The body must not throw.
  template <typename Body>
  void For(size_t count, const Body& body) const {
    Run([](void* user, size_t index) { (*static_cast<const Body*>(user))(index); }, count,
        const_cast<Body*>(&body));
  }

 protected:
  virtual void Run(void (*task)(void* user, size_t index), size_t count, void* user) const = 0;
};

// The calling thread alone.
class Serial : public Parallel {
 protected:
  void Run(void (*task)(void*, size_t), size_t count, void* user) const override {
    for (size_t i = 0; i < count; ++i) task(user, i);
  }
};

}  // namespace onnxbin

#endif  // ONNXBIN_PARALLEL_H_
