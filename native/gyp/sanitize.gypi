# npm run build:native -- --debug --sanitize=address,undefined
{
  'variables': {'sanitize%': ''},
  'target_defaults': {
    'conditions': [
      ['sanitize!=""', {
        'cflags': ['-fsanitize=<(sanitize)', '-fno-omit-frame-pointer', '-g'],
        'ldflags': ['-fsanitize=<(sanitize)'],
      }],
    ],
  },
}
