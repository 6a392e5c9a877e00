// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <memory>

#include "watcher.h"
#include "wrapped.h"

namespace lb {

// The addon's watchNetwork().
Napi::Value WatchNetwork(const Napi::CallbackInfo& info);

// The Watch of types/native.d.ts.
class Watch : public Wrapped<Watch> {
 public:
  static Napi::Function Define(Napi::Env env);
  // Starts the watcher. `callback` is the one that it calls.
  static Napi::Object Create(Napi::Env env, std::shared_ptr<Watcher> watcher,
                             Napi::Function callback);

  explicit Watch(const Napi::CallbackInfo& info);
  ~Watch() override;

 private:
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<Watcher> watcher_;
};

}  // namespace lb
