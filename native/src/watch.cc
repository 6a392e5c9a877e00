// SPDX-License-Identifier: Apache-2.0
#include "watch.h"

#include "addon_data.h"
#include "arguments.h"
#include "network_changes.h"

namespace lb {

Napi::Value WatchNetwork(const Napi::CallbackInfo& info) {
  const Napi::Function on_change = FunctionArgument(info[0], "onChange");
  return Watch::Create(
      info.Env(),
      std::make_shared<Watcher>(info.Env(), std::make_unique<NetworkChanges>(), on_change),
      on_change);
}

Napi::Function Watch::Define(Napi::Env env) {
  return DefineClass(env, "Watch", {Method<&Watch::Close>("close")});
}

Napi::Object Watch::Create(Napi::Env env, std::shared_ptr<Watcher> watcher,
                           Napi::Function callback) {
  Napi::Object watch = env.GetInstanceData<AddonData>()->watch.New({ToExternal(env, watcher)});
  // A property, not a reference of ours: a callback often mentions its watch, and the garbage
  // collector has to see the cycle.
  watch.DefineProperty(
      Napi::PropertyDescriptor::Value(Napi::Symbol::New(env, "callback"), callback, napi_default));
  watcher->Start();
  return watch;
}

Watch::Watch(const Napi::CallbackInfo& info)
    : Wrapped(info), watcher_(FromExternal<std::shared_ptr<Watcher>>(info)) {}

Watch::~Watch() { watcher_->Close(); }

Napi::Value Watch::Close(const Napi::CallbackInfo& info) {
  watcher_->Close();
  return info.Env().Undefined();
}

}  // namespace lb
