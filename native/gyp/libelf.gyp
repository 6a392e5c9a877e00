{
  'includes': ['sanitize.gypi', 'vendor.gypi'],
  'targets': [
    {
      'target_name': 'libelf',
      # zlib.h comes with Node's headers, and the functions from the node executable.
      'sources': ['<!@(node sources.js libelf ../)'],
      'include_dirs': ['../elfutils-config', '../vendor/elfutils/lib', '../vendor/elfutils/libelf'],
      'defines': ['HAVE_CONFIG_H', '_GNU_SOURCE'],
      'cflags_c': ['-std=gnu99'],
      'direct_dependent_settings': {'include_dirs': ['../vendor/elfutils/libelf']},
    },
  ],
}
