// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include "file_descriptor.h"
#include "wrapped.h"

namespace lb {

// The addon's lockDirectory().
Napi::Value MakeDirectoryLock(const Napi::CallbackInfo& info);

// The DirectoryLock of types/native.d.ts: flock(2), which the kernel gives back with its owner.
class DirectoryLock : public Wrapped<DirectoryLock> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object Create(Napi::Env env, FileDescriptor locked);

  explicit DirectoryLock(const Napi::CallbackInfo& info);

 private:
  Napi::Value Release(const Napi::CallbackInfo& info);

  FileDescriptor directory_;
};

}  // namespace lb
