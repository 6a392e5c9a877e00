// SPDX-License-Identifier: Apache-2.0
#include "errors.h"

#include <bpf/libbpf.h>
#include <uv.h>

#include <array>
#include <cstring>
#include <utility>

namespace lb {
namespace {

// "Not supported" inside the kernel, not meant for user space; BPF system calls return it all the
// same.
constexpr int kKernelNotSupported = 524;

bool KnownToNode(const char* name) { return std::strncmp(name, "Unknown", 7) != 0; }

std::string Description(int error) {
  std::array<char, 128> text{};
  if (error == kKernelNotSupported) return "operation not supported by this kernel object";
  if (error >= __LIBBPF_ERRNO__START) {
    libbpf_strerror(error, text.data(), text.size());
    return text.data();
  }
  uv_strerror_r(-error, text.data(), text.size());
  return KnownToNode(text.data()) ? text.data() : std::strerror(error);
}

std::string Message(int error, const std::string& syscall, const std::string& target) {
  std::string message = ErrorCode(error) + ": " + Description(error) + ", " + syscall;
  if (!target.empty()) message += " '" + target + "'";
  return message;
}

}  // namespace

SystemError::SystemError(int error, std::string syscall, std::string target, std::string log)
    : error(error),
      syscall(std::move(syscall)),
      target(std::move(target)),
      log(std::move(log)),
      message_(Message(error, this->syscall, this->target)) {}

std::string ErrorCode(int error) {
  if (error == kKernelNotSupported) return "ENOTSUPP";
  if (error >= __LIBBPF_ERRNO__START) return "ELIBBPF";
  std::array<char, 64> name{};
  uv_err_name_r(-error, name.data(), name.size());
  if (KnownToNode(name.data())) return name.data();
#ifdef __GLIBC__
  if (const char* known = strerrorname_np(error)) return known;
#endif
  return "E" + std::to_string(error);
}

}  // namespace lb
