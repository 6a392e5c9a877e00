// SPDX-License-Identifier: Apache-2.0
#include "directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <memory>
#include <string>

#include "addon_data.h"
#include "arguments.h"
#include "errors.h"

namespace lb {

Napi::Value MakeDirectoryLock(const Napi::CallbackInfo& info) {
  const std::string path = StringArgument(info[0], "path");
  FileDescriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) throw SystemError(errno, "open", path);
  if (flock(directory.get(), LOCK_EX | LOCK_NB) != 0) throw SystemError(errno, "flock", path);
  return DirectoryLock::Create(info.Env(), std::move(directory));
}

Napi::Function DirectoryLock::Define(Napi::Env env) {
  return DefineClass(env, "DirectoryLock", {Method<&DirectoryLock::Release>("release")});
}

Napi::Object DirectoryLock::Create(Napi::Env env, FileDescriptor locked) {
  auto shared = std::make_shared<FileDescriptor>(std::move(locked));
  return env.GetInstanceData<AddonData>()->directory_lock.New({ToExternal(env, shared)});
}

DirectoryLock::DirectoryLock(const Napi::CallbackInfo& info)
    : Wrapped(info), directory_(std::move(*FromExternal<std::shared_ptr<FileDescriptor>>(info))) {}

Napi::Value DirectoryLock::Release(const Napi::CallbackInfo& info) {
  directory_.Close();
  return info.Env().Undefined();
}

}  // namespace lb
