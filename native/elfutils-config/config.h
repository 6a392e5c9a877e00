/*
 * What elfutils' configure finds on Linux with gcc or clang, reduced to what libelf asks for. There is no
 * USE_LOCKS: one thread at a time may use libelf, which the addon's loader ensures.
 */
#define PACKAGE_NAME "elfutils"
#define PACKAGE_VERSION "0.192"
#define HAVE_VISIBILITY 1
#define HAVE_GCC_STRUCT 1
#define HAVE_FALLTHROUGH 1
#define HAVE_ATTRIBUTE_PACKED 1
#define HAVE_DECL_MEMRCHR 1
#define HAVE_DECL_RAWMEMCHR 1
#define HAVE_DECL_MEMPCPY 1
#define HAVE_DECL_POWEROF2 1
#define HAVE_DECL_REALLOCARRAY 1
#define HAVE_STDATOMIC_H 1
#define CHECK_UNDEFINED 1
/* glibc has them, musl has not. */
#if __has_include(<err.h>)
#define HAVE_ERR_H 1
#endif
#if __has_include(<error.h>)
#define HAVE_ERROR_H 1
#endif
#include <eu-config.h>
