// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "links.h"
#include "wrapped.h"

namespace lb {

// An attachment that its datapath may take back: null then.
using SharedAttachment = std::shared_ptr<std::unique_ptr<Attachment>>;

Direction DirectionArgument(const Napi::Value& value);

// The addon's detachLink().
Napi::Value DetachLink(const Napi::CallbackInfo& info);

// The addon's detachFilter().
Napi::Value DetachFilter(const Napi::CallbackInfo& info);

// The addon's pinnedLink().
Napi::Value GetPinnedLink(const Napi::CallbackInfo& info);

FilterPlace FilterPlaceArgument(const Napi::Value& value);

// The Link of types/native.d.ts.
class Link : public Wrapped<Link> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object Create(Napi::Env env, SharedAttachment attachment);

  explicit Link(const Napi::CallbackInfo& info);

 private:
  Napi::Value Id(const Napi::CallbackInfo& info);
  Napi::Value Filter(const Napi::CallbackInfo& info);
  Napi::Value Update(const Napi::CallbackInfo& info);
  Napi::Value Pin(const Napi::CallbackInfo& info);
  Napi::Value Attached(const Napi::CallbackInfo& info);
  Napi::Value State(const Napi::CallbackInfo& info);
  Napi::Value Cgroup(const Napi::CallbackInfo& info);
  Napi::Value Detach(const Napi::CallbackInfo& info);

  Attachment& Open() const;  // throws ClosedError

  SharedAttachment attachment_;
  uint32_t id_ = 0;
  std::optional<FilterPlace> place_;
};

}  // namespace lb
