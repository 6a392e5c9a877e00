// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <utility>

#include "addon_data.h"
#include "arguments.h"
#include "errors.h"
#include "javascript.h"

namespace lb {

Napi::Function Link::Define(Napi::Env env) {
  return DefineClass(env, "Link",
                     {InstanceAccessor<&Link::Id>("id"), Method<&Link::Pin>("pin"),
                      Method<&Link::Attached>("attached"), Method<&Link::Detach>("detach")});
}

Napi::Object Link::Create(Napi::Env env, SharedAttachment attachment) {
  return env.GetInstanceData<AddonData>()->link.New({ToExternal(env, attachment)});
}

Link::Link(const Napi::CallbackInfo& info)
    : Wrapped(info), attachment_(FromExternal<SharedAttachment>(info)), id_((*attachment_)->id()) {}

Attachment& Link::Open() const {
  if (!*attachment_) throw ClosedError("link");
  return **attachment_;
}

Napi::Value Link::Id(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), id_); }

Napi::Value Link::Pin(const Napi::CallbackInfo& info) {
  Open().Pin(StringArgument(info[0], "path"));
  return info.Env().Undefined();
}

Napi::Value Link::Attached(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), Open().Attached());
}

Napi::Value Link::Detach(const Napi::CallbackInfo& info) {
  if (*attachment_) (*attachment_)->Detach();
  return info.Env().Undefined();
}

}  // namespace lb
