// SPDX-License-Identifier: Apache-2.0
#include "libbpf_log.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <mutex>

namespace lb {
namespace {

constexpr size_t kMaximum = 64 * 1024;

// Loads run on libuv's pool, several at a time: each thread has its own log.
thread_local LibbpfLog* current = nullptr;

int Print(libbpf_print_level level, const char* format, va_list arguments) {
  if (current == nullptr || level == LIBBPF_DEBUG) return 0;
  va_list copy;
  va_copy(copy, arguments);
  const int length = std::vsnprintf(nullptr, 0, format, copy);
  va_end(copy);
  if (length <= 0) return 0;
  // A verifier log comes as one message, which may be much longer than what is kept of it.
  std::string message(length + 1, '\0');
  std::vsnprintf(message.data(), message.size(), format, arguments);
  message.pop_back();
  current->Append(message);
  return 0;
}

}  // namespace

LibbpfLog::LibbpfLog() {
  static std::once_flag installed;
  std::call_once(installed, [] { libbpf_set_print(Print); });
  current = this;
}

LibbpfLog::~LibbpfLog() { current = nullptr; }

void LibbpfLog::Append(std::string_view message) {
  text_ += message;
  if (text_.size() > kMaximum) text_.erase(0, text_.size() - kMaximum);
}

}  // namespace lb
