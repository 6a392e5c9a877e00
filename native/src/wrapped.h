// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <exception>

#include "javascript.h"

namespace lb {

// Base of the classes that JavaScript gets instances of, but cannot construct itself.
template <typename T>
class Wrapped : public Napi::ObjectWrap<T> {
 public:
  using Napi::ObjectWrap<T>::ObjectWrap;

 protected:
  // Describes a method for DefineClass().
  template <Napi::Value (T::*method)(const Napi::CallbackInfo&)>
  static Napi::ClassPropertyDescriptor<T> Method(const char* name) {
    return Napi::ObjectWrap<T>::InstanceMethod(name, static_cast<Callback>(&Wrapped::Call<method>));
  }

  // A constructor takes its native half from its only argument, which JavaScript has no way to
  // make.
  template <typename Native>
  static Napi::Value ToExternal(Napi::Env env, Native& native) {
    return Napi::External<Native>::New(env, &native);
  }
  template <typename Native>
  static Native FromExternal(const Napi::CallbackInfo& info) {
    if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Illegal constructor");
    return *info[0].As<Napi::External<Native>>().Data();
  }

 private:
  using Callback = Napi::Value (T::*)(const Napi::CallbackInfo&);

  // Our exceptions arrive in JavaScript as errors.
  template <Callback method>
  Napi::Value Call(const Napi::CallbackInfo& info) {
    try {
      return (static_cast<T*>(this)->*method)(info);
    } catch (const Napi::Error&) {
      throw;
    } catch (...) {
      throw ToJavaScript(info.Env(), std::current_exception());
    }
  }
};

}  // namespace lb
