# The build that ships. native/CMakeLists.txt is the developer's second view of the same sources.
{
  'includes': ['native/gyp/sanitize.gypi'],
  'targets': [
    {
      'target_name': 'bpf_lb',
      'sources': ['<!@(node native/gyp/sources.js addon native/)'],
      'dependencies': [
        '<!(node -p "require(\'node-addon-api\').targets"):node_addon_api_except_all',
        'native/gyp/libbpf.gyp:libbpf',
      ],
      'include_dirs': ['native/src', 'native/generated', 'bpf'],
      'defines': [
        # 10 would crash Node 20 on load.
        'NAPI_VERSION=9',
        # While a worker thread is terminated, Node-API calls fail with nothing to throw: do not abort then.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      # libbpf's LIBBPF_OPTS leaves fields out on purpose.
      'cflags': ['-Wall', '-Wextra', '-Werror', '-Wno-missing-field-initializers', '-fvisibility=hidden'],
      'cflags_cc': ['-std=c++17'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
      'ldflags': [
        '-static-libstdc++',
        '-Wl,--gc-sections',
        '-Wl,--exclude-libs,ALL',
        '-Wl,-Bsymbolic',
        '-Wl,-z,relro,-z,now',
      ],
    },
  ],
}
