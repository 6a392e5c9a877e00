// SPDX-License-Identifier: Apache-2.0
// The exports that are about the host, not about a loaded datapath.
#pragma once

#include <napi.h>

namespace lb {

Napi::Value GetNetworkNamespace(const Napi::CallbackInfo& info);
Napi::Value GetNetworkNamespaceOf(const Napi::CallbackInfo& info);
Napi::Value GetNetwork(const Napi::CallbackInfo& info);
Napi::Value ParseNetworkMessages(const Napi::CallbackInfo& info);
Napi::Value RunCanary(const Napi::CallbackInfo& info);
Napi::Value DestroySocketsByNetlink(const Napi::CallbackInfo& info);
Napi::Value AwaitGracePeriod(const Napi::CallbackInfo& info);
Napi::Value MountBpffsAt(const Napi::CallbackInfo& info);
Napi::Value GetFilesystemType(const Napi::CallbackInfo& info);
Napi::Value GetFeatures(const Napi::CallbackInfo& info);

}  // namespace lb
