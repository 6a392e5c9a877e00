# How the vendored libraries are compiled: as they are (no warnings), and fit for a shared object.
{
  'target_defaults': {
    'type': 'static_library',
    'standalone_static_library': 1,
    'cflags': ['-w', '-fPIC', '-fvisibility=hidden', '-ffunction-sections', '-fdata-sections'],
  },
}
