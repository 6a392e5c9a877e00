// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace lb {

// A system call, or a libbpf call in place of one, that failed.
class SystemError : public std::exception {
 public:
  // `error` is a positive errno, or one of libbpf's own numbers (4000 and up).
  SystemError(int error, std::string syscall, std::string target = "", std::string log = "");

  const char* what() const noexcept override { return message_.c_str(); }

  const int error;
  const std::string syscall;
  const std::string target;  // what it was done to: a map, program, path or device
  const std::string log;     // what libbpf and the verifier said

 private:
  std::string message_;
};

// A commit that stopped half-way.
class CommitError : public SystemError {
 public:
  CommitError(const SystemError& cause, size_t operation, size_t done)
      : SystemError(cause), operation(operation), done(done) {}

  const size_t operation;  // index of the failed operation
  const size_t done;       // elements of it that were carried out
};

// An argument of the wrong type (std::range_error's counterpart for types and names).
class ArgumentError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// A number or a size that does not fit.
class RangeError : public std::out_of_range {
 public:
  using std::out_of_range::out_of_range;
};

// The object was closed before.
class ClosedError : public std::logic_error {
 public:
  explicit ClosedError(const std::string& what) : std::logic_error(what + " is closed") {}
};

// 'EPERM'. Node's name where Node has one.
std::string ErrorCode(int error);

}  // namespace lb
