# Toolchain for 64-bit Arm Linux: cmake -DCMAKE_TOOLCHAIN_FILE=$PWD/custom_ops/cmake/aarch64-linux-gnu.cmake
# (Debian and Ubuntu: apt-get install g++-aarch64-linux-gnu).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
