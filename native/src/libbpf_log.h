// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace lb {

// While it lives, collects what libbpf says on this thread: its own complaints and verifier logs.
// At other times libbpf is silent.
class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  // The last 64 KiB: a verifier log ends with the reason.
  const std::string& text() const { return text_; }
  void Append(std::string_view message);

 private:
  std::string text_;
};

}  // namespace lb
