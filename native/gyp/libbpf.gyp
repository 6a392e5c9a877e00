{
  'includes': ['sanitize.gypi', 'vendor.gypi'],
  'targets': [
    {
      'target_name': 'libbpf',
      'dependencies': ['libelf.gyp:libelf'],
      'sources': ['<!@(node sources.js libbpf ../)'],
      'include_dirs': ['../vendor/libbpf/src', '../vendor/libbpf/include', '../vendor/libbpf/include/uapi'],
      'defines': ['_LARGEFILE64_SOURCE', '_FILE_OFFSET_BITS=64'],
      'cflags_c': ['-std=gnu89'],
      'direct_dependent_settings': {'include_dirs': ['../vendor/include', '../vendor/libbpf/include/uapi']},
    },
  ],
}
