// SPDX-License-Identifier: Apache-2.0
// Where C++ and JavaScript meet: exceptions, and functions that JavaScript calls.
#pragma once

#include <napi.h>

#include <cstdint>
#include <exception>

namespace lb {

// Our exceptions as JavaScript errors, with the properties that types/native.d.ts promises.
Napi::Error ToJavaScript(Napi::Env env, const std::exception_ptr& exception);

Napi::Uint8Array ToUint8Array(Napi::Env env, const void* data, size_t size);

// Wraps a function for JavaScript so that our exceptions arrive there as errors.
template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value Callable(const Napi::CallbackInfo& info) {
  try {
    return function(info);
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw ToJavaScript(info.Env(), std::current_exception());
  }
}

}  // namespace lb
