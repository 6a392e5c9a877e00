// SPDX-License-Identifier: Apache-2.0
#include "javascript.h"

#include <cstring>
#include <string>

#include "errors.h"

namespace lb {
namespace {

void SetFailure(Napi::Env env, Napi::Object error, const SystemError& failure) {
  error.Set("errno", Napi::Number::New(env, -failure.error));
  error.Set("code", ErrorCode(failure.error));
  error.Set("syscall", failure.syscall);
  if (!failure.target.empty()) error.Set("target", failure.target);
  if (!failure.log.empty()) error.Set("log", failure.log);
}

template <typename Error>
Napi::Error WithCode(Napi::Env env, const char* message, const char* code) {
  Error error = Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

}  // namespace

Napi::Error ToJavaScript(Napi::Env env, const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Napi::Error& error) {
    return error;
  } catch (const CommitError& failure) {
    Napi::Error error = Napi::Error::New(env, failure.what());
    SetFailure(env, error.Value(), failure);
    error.Set("operation", Napi::Number::New(env, static_cast<double>(failure.operation)));
    error.Set("done", Napi::Number::New(env, static_cast<double>(failure.done)));
    return error;
  } catch (const SystemError& failure) {
    Napi::Error error = Napi::Error::New(env, failure.what());
    SetFailure(env, error.Value(), failure);
    return error;
  } catch (const ArgumentError& error) {
    return WithCode<Napi::TypeError>(env, error.what(), "ERR_INVALID_ARG_VALUE");
  } catch (const RangeError& error) {
    return WithCode<Napi::RangeError>(env, error.what(), "ERR_OUT_OF_RANGE");
  } catch (const ClosedError& error) {
    return WithCode<Napi::Error>(env, error.what(), "ERR_BPF_CLOSED");
  } catch (const std::exception& error) {
    return Napi::Error::New(env, error.what());
  }
}

Napi::Uint8Array ToUint8Array(Napi::Env env, const void* data, size_t size) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, size);
  if (size > 0) std::memcpy(array.Data(), data, size);
  return array;
}

}  // namespace lb
